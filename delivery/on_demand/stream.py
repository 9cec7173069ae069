"""The body of a file that is sent while it still arrives."""

from __future__ import annotations

import hashlib
import os
from io import FileIO
from pathlib import Path

from channels import blobs
from delivery.on_demand.errors import StreamAborted
from delivery.on_demand.pending import HELD_BACK, PendingFetch

CHUNK = 256 * 1024


class Stream:
    """The bytes of a pending fetch in order; the last ones only when the whole has its hash."""

    def __init__(self, fetch: PendingFetch) -> None:
        self._fetch = fetch
        self._size = fetch.request.listed.size
        self._sent = 0
        self._digest = hashlib.sha256()
        self.ended = False

    def read(self) -> bytes:
        """The next bytes; b"" where there are none yet, and at the end. Raises `StreamAborted`."""
        fetch = self._fetch
        if fetch.error is not None:
            raise StreamAborted(str(fetch.error))
        if fetch.blob is None:
            return self._count(_read(fetch.part, self._sent, self._size - HELD_BACK))
        # All but the end first: the end decides, and needs the digest of everything before it.
        path = blobs.path(fetch.blob.sha256)
        if chunk := self._count(_read(path, self._sent, self._size - HELD_BACK)):
            return chunk
        end = self._count(_read(path, self._sent, self._size))
        # What was sent before may have come from an attempt that was begun anew since.
        if self._digest.hexdigest() != fetch.blob.sha256:
            name = fetch.request.listed.filename
            raise StreamAborted(f"The upstream changed {name} while it was sent.")
        self.ended = True
        return end

    def _count(self, chunk: bytes) -> bytes:
        self._digest.update(chunk)
        self._sent += len(chunk)
        return chunk


def _read(path: Path | None, start: int, end: int) -> bytes:
    """What is in the file from `start` on, up to `end`."""
    if path is None or start >= end:
        return b""
    try:
        # Opened anew each time: a leader that takes over writes to another file.
        with FileIO(path) as file:
            return os.pread(file.fileno(), min(CHUNK, end - start), start)
    except FileNotFoundError:
        # The leader has just settled or given it up; the next poll says which.
        return b""
