"""One server per data folder: the lock that a second start meets.

The lock belongs to an open file that all processes of the server inherit, so it is free
exactly when the last of them is gone, however they ended.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

# After a kill of the whole server its last processes need a moment to notice (`parent_watch`).
WAIT_SECONDS = 3.0


class AlreadyRunning(Exception):
    """Another server holds this data folder; the text names it."""


def claim(folder: Path, part: str) -> IO[str]:
    """Hold `part` of the server on this data folder, or raise `AlreadyRunning`.

    The open file is the lock: keep it, and pass its descriptor to every child.
    """
    run = folder / "run"
    run.mkdir(exist_ok=True)
    opened = (run / f"{part}.lock").open("a+", encoding="ascii")
    deadline = time.monotonic() + WAIT_SECONDS
    while not _locked(opened):
        opened.seek(0)
        holder = opened.read().strip()
        if _alive(holder) or time.monotonic() >= deadline:
            opened.close()
            raise AlreadyRunning(
                f"A server (process {holder or 'unknown'}) already uses the data folder {folder}. "
                "End it first, or set DATA to another folder."
            )
        time.sleep(0.1)
    # Only now: until then the text is the holder's.
    opened.truncate(0)
    opened.write(f"{os.getpid()}\n")
    opened.flush()
    return opened


def _locked(opened: IO[str]) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    """Whether that process exists here; in another container it does not, yet holds the lock."""
    return pid.isdigit() and Path(f"/proc/{pid}").exists()
