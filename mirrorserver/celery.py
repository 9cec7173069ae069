"""The Celery app, and what happens as a worker starts and ends.

Pool processes learn of the end through `workers.shutdown`, and every worker's main
process runs dispatch rounds, so that work starts without a scheduler and without a broker too.
"""

import os
import warnings

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from mirrorserver import parent_watch
from workers import shutdown

# It warns of root because of pickle, and messages here are JSON only.
warnings.filterwarnings("ignore", category=SecurityWarning)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorserver.settings")

app = Celery("mirrorserver")
app.config_from_object("mirrorserver.celery_config")
app.autodiscover_tasks(["workers"])


@signals.setup_logging.connect
def keep_logging(**_: object) -> None:
    """Django's LOGGING setting is the one in force; a receiver keeps Celery from adding its own."""


@signals.worker_init.connect
def prepare_shutdown(**_: object) -> None:
    # Before the pool forks: its processes inherit what announces the end.
    shutdown.begin()


@signals.worker_process_init.connect
def bind_to_worker(**_: object) -> None:
    parent_watch.exit_with_parent()


@signals.worker_ready.connect
def start_dispatch_thread(**_: object) -> None:
    from mirrorserver import dispatch_thread  # noqa: PLC0415 - needs Django's apps to be ready

    dispatch_thread.start()


@signals.worker_shutting_down.connect
def announce_shutdown(**_: object) -> None:
    from mirrorserver import dispatch_thread  # noqa: PLC0415

    # Celery waits for its tasks: they stop at their next check, and hand their rows back.
    shutdown.announce()
    dispatch_thread.stop()
