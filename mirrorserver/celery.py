"""The Celery app, and what happens as a worker starts and ends.

The rule: pool processes learn of the end through `workers.shutdown`, and every worker's main
process runs the dispatcher, so that work starts without a scheduler and without a broker too.
"""

import os
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from mirrorserver import orphans
from workers import shutdown

# It warns of root because of pickle, and messages here are JSON only.
warnings.filterwarnings("ignore", category=SecurityWarning)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")

app = Celery("mirrorserver")
app.config_from_object("mirrorserver.celery_config")
app.autodiscover_tasks(["workers"])


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Django's LOGGING setting is the one in force; a receiver keeps Celery from adding its own."""


@signals.worker_init.connect
def prepare(**_: Any) -> None:
    shutdown.begin()


@signals.worker_process_init.connect
def bind_to_worker(**_: Any) -> None:
    orphans.follow_parent()


@signals.worker_ready.connect
def start_dispatcher(**_: Any) -> None:
    from mirrorserver import dispatcher  # noqa: PLC0415 - needs Django's apps to be ready

    dispatcher.start()


@signals.worker_shutting_down.connect
def end(**_: Any) -> None:
    from mirrorserver import dispatcher  # noqa: PLC0415

    shutdown.announce()
    dispatcher.stop()
