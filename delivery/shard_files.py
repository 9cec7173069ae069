"""The files that a shard lists, by file name: what the last used shards hold stays in memory."""

from __future__ import annotations

from channels import shards
from channels.models import Package, Shard
from delivery.prepared_queries import Prepared
from ecosystems import registry
from ecosystems.memo import Sized
from ecosystems.records import Record

MEMORY = 48 * 1024 * 1024
"""Bytes of all shards that a process remembers."""
ENTRY_BYTES = 400
"""What a file weighs beside its texts: the tuple, its dictionary entry, and the strings' heads."""

# A bare tuple: some hundred thousand of them stay in memory, and the garbage collector stops
# looking at tuples of texts and numbers, which it never does at objects of a class.
FileEntry = tuple[str, str, int, str, str]
"""sha256, md5, size, address and checksum of a file, as in `ecosystems.records.Record`."""


class ShardFiles:
    """The files of the last used shards. Shards are immutable, so nothing here gets old."""

    def __init__(self, memory: int) -> None:
        self._shards: Sized[dict[str, FileEntry]] = Sized(memory)

    def of(self, package: Package) -> dict[str, FileEntry]:
        """The files of the package's shard, their companions included."""
        key = package.shard_id
        if key is None:
            return {}
        return self._shards.get(
            key, lambda: _read(package, key), lambda entries: sum(map(weigh, entries.items()))
        )


def weigh(item: tuple[str, FileEntry]) -> int:
    """The bytes of memory that a file's name and entry take."""
    filename, (sha256, md5, _, address, checksum) = item
    return ENTRY_BYTES + sum(map(len, (filename, sha256, md5, address, checksum)))


_shard = Prepared(lambda sha256: Shard.objects.filter(pk=sha256).only("body"), str)


def _read(package: Package, key: str) -> dict[str, FileEntry]:
    (shard,) = _shard(key)
    plain = shards.decompress(shard.body)
    ecosystem = registry.of_family(package.family)
    records = ecosystem.records(plain, section=package.section, name=package.name)
    return {
        file.filename: (file.sha256, file.md5, file.size, file.address, file.checksum)
        for record in records
        if isinstance(record, Record)
        for file in (record, *record.companions)
    }


SHARED = ShardFiles(MEMORY)
"""Those of this process."""
