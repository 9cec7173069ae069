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
    wanted = set(files)
    if not wanted:
        return {}
    bases = dict(
        FileSource.objects.filter(pk__in={origin for origin, _ in wanted}).values_list(
            "pk", "base_url"
        )
    )
    keys = {file: _key(bases.get(file[0], ""), file[1]) for file in wanted}
    names = list(set(keys.values()))
    found: dict[str, str] = {}
    for start in range(0, len(names), BATCH):
        rows = Pin.objects.filter(pk__in=names[start : start + BATCH])
        found.update(rows.values_list("key", "sha256"))
    return {file: found[key] for file, key in keys.items() if key in found}


def apply_pins(records: Iterable[tuple[int, Record]]) -> None:
    """Give the records of these origins that have no hash the one of their pin."""
    bare = [(origin, one) for origin, one in records if not one.sha256 and not one.md5]
    found = pinned_hashes((origin, one.filename) for origin, one in bare)
    for origin, one in bare:
        one.sha256 = found.get((origin, one.filename), "")


def add_pin(origin: FileSource, filename: str, digest: Digest) -> None:
    """Pin a file that has just come, unless it is pinned; call in the transaction of its row."""
    pin = Pin(key=_key(origin.base_url, filename), sha256=digest.sha256, size=digest.size)
    Pin.objects.bulk_create([pin], ignore_conflicts=True)


def _key(base_url: str, filename: str) -> str:
    return hashlib.sha256(f"{base_url}\0{filename}".encode()).hexdigest()
