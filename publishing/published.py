"""What a channel lists of a section now: an input of judging, as data.

An update takes nothing away that works: a file whose new bytes are not here keeps the record that
is listed, and what the upstream dropped stays until a run of its mirror is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard
from django.db.models import QuerySet

from channels.listed_from import ListedFrom
from channels.models import Package
from ecosystems.base import Ecosystem
from ecosystems.records import Record


@dataclass(frozen=True, slots=True)
class Listed:
    """A record that is listed, the package's body it stands in, and where it came from."""

    record: Record
    body: bytes
    file_source_id: int


ByMirror = dict[int, list[Listed]]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The rows of one section in the revision that clients get."""

    channel_id: int
    revision: int
    ecosystem: Ecosystem
    section: str

    def names(self) -> list[str]:
        """The names of which anything is listed."""
        return list(self._rows().values_list("name", flat=True))

    def of(self, names: Sequence[str]) -> dict[str, ByMirror]:
        """The listed records of these packages, by the mirror that brought them."""
        expand = zstandard.ZstdDecompressor()
        values = self._rows().filter(name__in=names)
        return {
            name: self._by_mirror(name, expand.decompress(bytes(body)), sources)
            for name, body, sources in values.values_list("name", "shard__body", "sources")
        }

    def _rows(self) -> QuerySet[Package]:
        rows: QuerySet[Package] = Package.objects.at(self.revision)
        return rows.filter(
            channel=self.channel_id,
            section=self.section,
            family=self.ecosystem.family,
            shard__isnull=False,
        )

    def _by_mirror(self, name: str, body: bytes, sources: list[ListedFrom]) -> ByMirror:
        found: ByMirror = {}
        named = {filename: entry for entry in sources for filename in entry.filenames or ()}
        rest = next((entry for entry in sources if entry.filenames is None), None)
        for record in self.ecosystem.records(body, section=self.section, name=name):
            entry = named.get(record.filename, rest)
            if entry is not None and isinstance(record, Record):
                listed = Listed(record, body, entry.file_source_id)
                found.setdefault(entry.mirror_id, []).append(listed)
        return found
