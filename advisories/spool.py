"""Records on disk between reading an archive and writing to the database.

Rule: nothing is written before the whole archive was read. One that is damaged, cut off or larger
than what its caps allow changes nothing, and the memory that an import takes does not grow.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from advisories.compression import compress
from advisories.formats.report import LARGEST_RECORD, BadRecord, shown

MOST_BYTES = 16 << 30
"""Of all records of an archive, decoded. All of OSV is about 2 GiB."""
MOST_RECORDS = 3_000_000
BATCH = 200
"""Records of one transaction: some thousand rows, less than 0.1 s of work."""
BATCH_BYTES = 4 << 20
"""Or fewer, where they are large: compressed bytes."""

_LENGTH = struct.Struct("<I")


class BadArchive(Exception):
    """What was received is not data that can be imported; `str()` is a sentence."""


@contextmanager
def temporary(folder: Path) -> Iterator[Spool]:
    """A spool whose file has no name, so that it is gone whatever happens."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield Spool(file)


class Spool:
    """Texts in a temporary file, each compressed as the database stores it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.count = self.size = 0
        self.broken: list[BadRecord] = []
        """Records that are too large for any reader."""
        self._file = file

    def add(self, text: bytes) -> None:
        """Append a record; `BadArchive` beyond the caps."""
        # Before the write: beyond the cap nothing more reaches the disk.
        self._grow(len(text))
        body = compress(text)
        self._file.write(_LENGTH.pack(len(body)))
        self._file.write(body)

    def skip(self, name: str) -> None:
        """Count a record that is larger than what is read of one."""
        # Its true size is unknown, as it was not read to its end; this is the least that it has.
        self._grow(LARGEST_RECORD)
        why = f"it has more than {LARGEST_RECORD} bytes"
        self.broken.append(BadRecord(why, shown(name)))

    def _grow(self, size: int) -> None:
        self.count += 1
        self.size += size
        if self.count > MOST_RECORDS or self.size > MOST_BYTES:
            raise BadArchive(
                f"The archive holds more than {MOST_RECORDS:,} records or {MOST_BYTES:,} bytes."
            )

    def batches(self) -> Iterator[list[bytes]]:
        """All records from the first on, compressed, in batches for one transaction each."""
        # Whoever reads comes after the last `add`, so one position for both is enough.
        self._file.seek(0)
        batch: list[bytes] = []
        size = 0
        while header := self._file.read(_LENGTH.size):
            body = self._file.read(_LENGTH.unpack(header)[0])
            batch.append(body)
            size += len(body)
            if len(batch) == BATCH or size > BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
