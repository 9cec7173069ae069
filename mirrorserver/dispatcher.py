"""The thread in every worker's main process that runs a dispatch round every few seconds.

The rule: a round that fails on the database is logged and the next one tries again; the thread
ends only with its worker.
"""

import logging
import os
import threading

from django.db import Error, connections
from kombu.exceptions import OperationalError

from mirrors.dispatch import dispatch_round
from mirrorserver import environment

logger = logging.getLogger(__name__)

_stopping = threading.Event()

# A pool process forked in the middle of a round would inherit locks that nobody releases there;
# so forking waits for the end of the round, when the database connections are closed as well.
_round = threading.RLock()
os.register_at_fork(
    before=_round.acquire, after_in_parent=_round.release, after_in_child=_round.release
)


def start() -> None:
    """Begin the rounds."""
    threading.Thread(target=_run, name="dispatcher", daemon=True).start()


def stop() -> None:
    """Let the current round be the last."""
    _stopping.set()


def _run() -> None:
    pause = environment.load().dispatch_seconds
    while not _stopping.is_set():
        with _round:
            try:
                dispatch_round()
            except (Error, OperationalError):
                logger.exception("A dispatch round failed; the next one tries again.")
            finally:
                connections.close_all()
        _stopping.wait(pause)
