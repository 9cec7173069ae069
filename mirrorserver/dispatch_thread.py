"""The thread in every worker's main process that runs a dispatch round every few seconds.

What a round does stands in `workers.dispatch`; this one only repeats it. No error ends the rounds:
each is a thread of its own, so that an error nobody foresaw ends that round, shows its traceback,
and the next round comes all the same.
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
_round_lock = threading.RLock()
os.register_at_fork(
    before=_round_lock.acquire,
    after_in_parent=_round_lock.release,
    after_in_child=_round_lock.release,
)


def start() -> None:
    """Begin the rounds."""
    # A daemon: a round that waits for the database must not keep the worker from ending.
    threading.Thread(target=_repeat, name="dispatcher", daemon=True).start()


def stop() -> None:
    """Let the current round be the last."""
    _stopping.set()


def _repeat() -> None:
    pause = environment.load().dispatch_seconds
    while not _stopping.is_set():
        thread = threading.Thread(target=_round, name="dispatch round", daemon=True)
        thread.start()
        thread.join()
        _stopping.wait(pause)


def _round() -> None:
    with _round_lock:
        try:
            dispatch_round()
        except (Error, OSError) as error:
            # The database or the broker is away: expected at times, so no traceback.
            logger.warning("A dispatch round failed (%s); the next one tries again.", error)
        finally:
            connections.close_all()
