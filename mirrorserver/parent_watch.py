"""No process outlives the one that forked it, even if that one is killed outright.

Web and pool processes watch their parent themselves. The kernel's own signal for this (used in
`mirrorserver.launch`) would come when the forking *thread* ends, which is too early here.
"""

import os
import signal
import threading
import time

_POLL_SECONDS = 0.5


def exit_with_parent() -> None:
    """Start a thread that kills this process once its parent is gone."""
    parent = os.getppid()
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    # The kernel gives an orphan another parent, so the number changes.
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    # Not sys.exit, which would end this thread alone.
    os.kill(os.getpid(), signal.SIGKILL)
