"""No process outlives the one that forked it, even if that one is killed outright.

The rule: web and pool processes watch their parent themselves. The kernel's own signal for this
(used in `mirrorserver.launch`) would come when the forking *thread* ends, which is too early here.
"""

import os
import signal
import threading
import time

_LOOK_SECONDS = 0.5


def follow_parent() -> None:
    """Start a thread that kills this process once its parent is gone."""
    parent = os.getppid()
    threading.Thread(target=_follow, args=(parent,), name="follow-parent", daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
