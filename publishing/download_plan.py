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
from channels.batches import BATCH_ROWS
from ecosystems.records import Record
from publishing.outcomes import SourceRecords, State


class CompanionItem(msgspec.Struct, frozen=True, array_like=True):
    """A small file that is downloaded with the one that it belongs to."""

    filename: str
    size: int
    sha256: str
    md5: str
    address: str = ""
    checksum: str = ""


class DownloadItem(msgspec.Struct, frozen=True, array_like=True):
    """One file to be fetched, with its companions. Texts, sizes, addresses as in `Record`."""

    section: str
    name: str
    filename: str
    size: int
    sha256: str
    md5: str
    file_source_id: int
    address: str = ""
    checksum: str = ""
    companions: tuple[CompanionItem, ...] = ()
    fallback: DownloadItem | None = None
    """The file to fetch should this one fail: a package's older form."""
    stored: bool = False
    """Its bytes lie here: they came for another channel, and are tried before a download."""

    @property
    def room(self) -> int:
        """How many bytes it takes on the disk with its companions, as far as sizes are known."""
        companions = sum(max(file.size, 0) for file in self.companions)
        return companions if self.stored else companions + max(self.size, 0)


class DownloadPlan:
    """The files that a run downloads, and how many bytes they are."""

    def __init__(self, purpose: str) -> None:
        self.path: Path = blobs.temporary_path(purpose)
        self.files = 0
        self.bytes = 0
        self._room = 0
        self._unwritten: list[DownloadItem] = []
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

    def add_missing(self, section: str, name: str, part: SourceRecords) -> None:
        """Plan a package's missing files: of conda's two forms the new one, while it can be had."""
        for record in part.in_state(State.MISSING):
            item = _item(section, name, part, record)
            legacy = part.fallbacks.get(record.filename)
            if legacy is not None:
                item = msgspec.structs.replace(item, fallback=_item(section, name, part, legacy))
            self.add(item)

    def add(self, item: DownloadItem) -> None:
        """Append one file."""
        self._unwritten.append(item)
        self.files += 1
        self.bytes += max(item.size, 0)
        if len(self._unwritten) >= BATCH_ROWS:
            self._write()

    @property
    def room(self) -> int:
        """How many bytes it takes on the disk; see `DownloadItem.room`."""
        self._write()
        return self._room

    def _write(self) -> None:
        # One query for a batch tells which bytes are here.
        stored = blobs.existing(item.sha256 for item in self._unwritten)
        for item in self._unwritten:
            line = msgspec.structs.replace(item, stored=item.sha256 in stored)
            self._file.write(msgspec.json.encode(line) + b"\n")
            self._room += line.room
        self._unwritten.clear()

    def __iter__(self) -> Iterator[DownloadItem]:
        self._write()
        self._file.flush()
        decoder = msgspec.json.Decoder(DownloadItem)
        # A handle of its own: the plan may be read several times, and still be added to.
        with self.path.open("rb") as lines:
            for line in lines:
                yield decoder.decode(line)


def _item(section: str, name: str, part: SourceRecords, record: Record) -> DownloadItem:
    return DownloadItem(
        section,
        name,
        record.filename,
        record.size,
        record.sha256,
        record.md5,
        part.source.file_source_id,
        record.address,
        record.checksum,
        tuple(
            CompanionItem(
                file.filename, file.size, file.sha256, file.md5, file.address, file.checksum
            )
            for file in record.companions
        ),
    )
