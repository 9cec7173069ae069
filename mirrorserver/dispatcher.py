"""The thread in every worker's main process that runs a dispatch round every few seconds.

The rule: no error ends the rounds. Each is a thread of its own, so that one nobody foresaw ends
that round, shows its traceback, and the next round comes all the same.
"""

import logging
import os
import threading

from django.db import Error, connections

from mirrorserver import environment
from workers.dispatch import dispatch_round

logger = logging.getLogger(__name__)

_stopping = threading.Event()

# A pool process forked in the middle of a round would inherit locks that nobody releases there;
# so forking waits for the end of the round, when the database connections are closed as well.
_rounds = threading.RLock()
os.register_at_fork(
    before=_rounds.acquire, after_in_parent=_rounds.release, after_in_child=_rounds.release
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
        one = threading.Thread(target=_round, name="dispatch round", daemon=True)
        one.start()
        one.join()
        _stopping.wait(pause)


def _round() -> None:
    with _rounds:
        try:
            dispatch_round()
        except (Error, OSError) as error:
            logger.warning("A dispatch round failed (%s); the next one tries again.", error)
        finally:
            connections.close_all()
