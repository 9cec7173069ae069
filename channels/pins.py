"""Files of which an index has no hash: their first bytes are the right ones ever after.

The rule: a pin goes by where the index lies and by the file's name there, not by
the file's own address: a version that moves to an archive stays what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from channels.models import FileSource, Pin
from ecosystems.records import Record
from ecosystems.upstream import Digest

BATCH = 500
HELD_BACK = (
    "The upstream has other bytes for {name} now than when it first came; they are held back."
)

File = tuple[int, str]
"""The id of the origin, and the file's name."""


def pinned_hashes(files: Iterable[File]) -> dict[File, str]:
    """The SHA-256 of those of the files that have a pin."""
    asked = set(files)
    if not asked:
        return {}
    bases = dict(
        FileSource.objects.filter(pk__in={origin for origin, _ in asked}).values_list(
            "pk", "base_url"
        )
    )
    keys = {file: _key(bases.get(file[0], ""), file[1]) for file in asked}
    names = list(set(keys.values()))
    pins: dict[str, str] = {}
    for start in range(0, len(names), BATCH):
        rows = Pin.objects.filter(pk__in=names[start : start + BATCH])
        pins.update(rows.values_list("key", "sha256"))
    return {file: pins[key] for file, key in keys.items() if key in pins}


def apply_pins(records: Iterable[tuple[int, Record]]) -> None:
    """Give the records of these origins that have no hash the one of their pin."""
    bare = [(origin, record) for origin, record in records if not record.sha256 and not record.md5]
    pins = pinned_hashes((origin, record.filename) for origin, record in bare)
    for origin, record in bare:
        record.sha256 = pins.get((origin, record.filename), "")


def add_pin(origin: FileSource, filename: str, digest: Digest) -> None:
    """Pin a file that has just come, unless it is pinned; call in the transaction of its row."""
    pin = Pin(key=_key(origin.base_url, filename), sha256=digest.sha256, size=digest.size)
    Pin.objects.bulk_create([pin], ignore_conflicts=True)


def _key(base_url: str, filename: str) -> str:
    return hashlib.sha256(f"{base_url}\0{filename}".encode()).hexdigest()
