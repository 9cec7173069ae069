"""Reads small files at once where the system has them in memory.

The rule: no look at the disk, so that the event loop may call this. One read says both what is in
the file and whether it has its size.
"""

from __future__ import annotations

import os

LARGEST = 128 * 1024
"""Bytes; what is larger is sent by the server's own threads at the client's pace."""


def read(path: str, size: int) -> bytearray | None:
    """All of the file, if it has `size` bytes and they are in memory; else None.

    Raises FileNotFoundError.
    """
    # One byte more than it should have: a file that grew is not served as whole.
    content = _at_once(path, 0, size + 1)
    return content if content is not None and len(content) == size else None


def read_part(path: str, first: int, length: int) -> bytearray | None:
    """A part of the file, if it is in memory; else None. Raises FileNotFoundError."""
    content = _at_once(path, first, length)
    return content if content is not None and len(content) == length else None


def _at_once(path: str, first: int, most: int) -> bytearray | None:
    if most > LARGEST:
        return None
    buffer = bytearray(most)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        count = os.preadv(handle, [buffer], first, os.RWF_NOWAIT)
    except OSError:  # not in memory, or a file system that cannot tell
        return None
    finally:
        os.close(handle)
    del buffer[count:]
    return buffer
