"""Files of which an index has no hash, or another than files are stored by.

Without a hash their first bytes are the right ones ever after. With one that verified them, their
SHA-256 is remembered for as long as the index states that hash.

The rule: a pin goes by where the index lies and by the file's name there, not by
the file's own address: a version that moves to an archive stays what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from channels.batches import batched
from channels.models import FileSource, Pin
from ecosystems.records import Record
from ecosystems.upstream import Digest

HELD_BACK = (
    "The upstream has other bytes for {name} now than when it first came; they are held back."
)


class HashedFile(Protocol):
    """The name and the hashes of a file that an index states, as in `Record`; "" for none."""

    @property
    def filename(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def md5(self) -> str: ...
    @property
    def checksum(self) -> str: ...


File = tuple[int, str, str]
"""The file source's id, the file's name, and the checksum that its index states ("" for none)."""


def file_of(source_id: int, record: HashedFile) -> File | None:
    """What a file is pinned by; None where its index states a hash that files are found by."""
    if record.sha256 or record.md5:
        return None
    return source_id, record.filename, record.checksum


def pinned_hashes(files: Iterable[File]) -> dict[File, str]:
    """The SHA-256 of those of the files that have a pin."""
    unique = set(files)
    if not unique:
        return {}
    sources = FileSource.objects.filter(pk__in={source_id for source_id, _, _ in unique})
    base_urls = dict(sources.values_list("pk", "base_url"))
    keys = {file: _key(base_urls.get(file[0], ""), file[1], file[2]) for file in unique}
    pins: dict[str, str] = {}
    for batch in batched(set(keys.values())):
        pins.update(Pin.objects.filter(pk__in=batch).values_list("key", "sha256"))
    return {file: pins[key] for file, key in keys.items() if key in pins}


def apply_pins(records: Iterable[tuple[int, Record]]) -> None:
    """Give the records that have no hash the one of their pin; by file source id."""
    unpinned = [
        (file, record)
        for source_id, record in records
        if (file := file_of(source_id, record)) is not None
    ]
    pins = pinned_hashes(file for file, _ in unpinned)
    for file, record in unpinned:
        record.sha256 = pins.get(file, "")


def add_pin(source: FileSource, record: HashedFile, digest: Digest) -> None:
    """Pin a file that has just come, unless it is pinned or needs no pin.

    Call it in the transaction of the file's row.
    """
    if file_of(source.pk, record) is None:
        return
    key = _key(source.base_url, record.filename, record.checksum)
    pin = Pin(key=key, sha256=digest.sha256, size=digest.size)
    # Of two that bring the file at once, the first to commit decides.
    Pin.objects.bulk_create([pin], ignore_conflicts=True)


def _key(base_url: str, filename: str, checksum: str) -> str:
    # Where the index changes the checksum, it means another file.
    text = "\0".join([base_url, filename, *([checksum] if checksum else [])])
    return hashlib.sha256(text.encode()).hexdigest()
