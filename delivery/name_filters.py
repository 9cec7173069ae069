"""Which package names a section has listed: most misses are answered by it, without a query.

The rule: what a filter does not contain is in no revision up to its own, so it holds for as long
as the channel stands at that revision. What it seems to contain is looked for in the database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from channels.models import Channel, Package
from ecosystems.memo import Sized

MEMORY = 16 * 1024 * 1024
"""Bytes of all filters of a process."""
FROM_MISSES = 32
"""So many misses in a section are looked up one by one: to read all its names costs as much."""
MOST_NAMES = 1_000_000
"""Sections with more are never read whole."""
BITS_A_NAME = 16
_BATCH = 2000
_COUNT_BYTES = 200

Key = tuple[int, int, str]
"""A channel's id, its current revision, and a section of it."""


class BloomFilter:
    """A Bloom filter (Bloom 1970) of three bits a name: wrong about one absent name in 200."""

    def __init__(self, names: Iterable[str], count: int) -> None:
        bits = 1 << max(10, (count * BITS_A_NAME - 1).bit_length())
        self._mask = bits - 1
        self._bits = bytearray(bits // 8)
        for name in names:
            for position in self._positions(name):
                self._bits[position >> 3] |= 1 << (position & 7)

    def __contains__(self, name: str) -> bool:
        return all(
            self._bits[position >> 3] >> (position & 7) & 1 for position in self._positions(name)
        )

    @property
    def weight(self) -> int:
        """Bytes."""
        return len(self._bits)

    def _positions(self, name: str) -> tuple[int, int, int]:
        # Python's hash has a key that no client knows: nobody can choose names that collide.
        digest = hash(name)
        return digest & self._mask, digest >> 20 & self._mask, digest >> 40 & self._mask


class NameFilters:
    """The names of the sections in which much is missed; bounded in bytes."""

    def __init__(self) -> None:
        self._filters: Sized[BloomFilter | None] = Sized(MEMORY)
        self._misses: Sized[int] = Sized(MEMORY // 16)
        self._reading = threading.Lock()

    def lacks(self, channel: Channel, section: str, name: str) -> bool:
        """Whether no revision up to the current one has the name; false where that is not known."""
        names = self._filters.items.get(_key(channel, section))
        return names is not None and name not in names

    def count_miss(self, channel: Channel, section: str) -> None:
        """Count a name that the section has never listed; read all names after a few."""
        key = _key(channel, section)
        if key in self._filters.items:
            return
        # Under the revision's number: the next one begins to count anew, with its own names.
        count = (self._misses.find(key) or 0) + 1
        self._misses.put(key, count, _COUNT_BYTES)
        # Whoever comes while another thread reads them has his own miss looked up only.
        if count >= FROM_MISSES and self._reading.acquire(blocking=False):
            try:
                names = _read(key)
                self._filters.put(key, names, names.weight if names else _COUNT_BYTES)
            finally:
                self._reading.release()


def _key(channel: Channel, section: str) -> Key:
    return channel.pk, channel.current, section


def _read(key: Key) -> BloomFilter | None:
    """The names of a section by the database; None where they are too many."""
    channel, number, section = key
    rows = Package.objects.filter(channel=channel, section=section, added_in__lte=number)
    names = rows.order_by().values_list("name", flat=True)
    count = names.count()
    return BloomFilter(names.iterator(_BATCH), count) if count <= MOST_NAMES else None
