"""Whether the worker this process belongs to has been told to end.

Whoever loops asks `requested()` in every round and hands its work back when it is
true. One byte of memory shared between the worker and its pool processes carries the answer, so
asking costs nothing and no file can be left behind. Outside a worker it is always false.
"""

import mmap

_flag: mmap.mmap | None = None


def begin() -> None:
    """Called in the worker's main process, before its pool processes are forked."""
    global _flag
    _flag = mmap.mmap(-1, 1)


def announce() -> None:
    """Called in the worker's main process when it is told to end."""
    if _flag is not None:
        _flag[0] = 1


def requested() -> bool:
    """Whether this worker has been told to end."""
    return _flag is not None and _flag[0] == 1
