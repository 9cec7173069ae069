"""What a run is to download: written while judging, read while downloading.

A file of JSON lines, so that neither a large mirror nor a long download holds
the whole plan in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from channels import blobs


class Beside(msgspec.Struct, frozen=True, array_like=True):
    """A small file that goes with a wanted one."""

    filename: str
    size: int
    sha256: str
    md5: str
    address: str = ""


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """One file to be fetched, with those beside it."""

    section: str
    name: str
    filename: str
    size: int
    sha256: str
    md5: str
    file_source_id: int
    address: str = ""
    """As in `Record`."""
    beside: tuple[Beside, ...] = ()
    instead: Wanted | None = None
    """The file to fetch should this one fail: a package's older form."""
    stored: bool = False
    """Its bytes lie here: they came for another channel, and are tried before a download."""

    @property
    def need(self) -> int:
        """How much room it takes with those beside it, as far as the index states sizes."""
        beside = sum(max(file.size, 0) for file in self.beside)
        return beside if self.stored else beside + max(self.size, 0)


class Plan:
    """The files a run wants, and how many bytes they are."""

    def __init__(self, purpose: str) -> None:
        self.path: Path = blobs.temporary(purpose)
        self.files = 0
        self.bytes = 0
        self._need = 0
        self._new: list[Wanted] = []
        self._file = self.path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def add(self, wanted: Wanted) -> None:
        """Append one file."""
        self._new.append(wanted)
        self.files += 1
        self.bytes += max(wanted.size, 0)
        if len(self._new) >= blobs.BATCH:
            self._write()

    @property
    def need(self) -> int:
        """How much room on the disk it takes; see `Wanted.need`."""
        self._write()
        return self._need

    def _write(self) -> None:
        stored = blobs.stored(wanted.sha256 for wanted in self._new)
        for wanted in self._new:
            told = msgspec.structs.replace(wanted, stored=wanted.sha256 in stored)
            self._file.write(msgspec.json.encode(told) + b"\n")
            self._need += told.need
        self._new.clear()

    def __iter__(self) -> Iterator[Wanted]:
        self._write()
        self._file.flush()
        decoder = msgspec.json.Decoder(Wanted)
        with self.path.open("rb") as lines:
            for line in lines:
                yield decoder.decode(line)
