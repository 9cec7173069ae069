"""The records that a channel lists in a section now: an input of judging, as data.

An update never takes away what works: a file whose new bytes are not here keeps the record that
is listed, and what the upstream dropped stays until a run of its mirror is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from channels import shards
from channels.listed_from import ListedFrom
from channels.models import Package
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.records import Record


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """A record that is listed, the package's body it stands in, and where its file comes from."""

    record: Record
    body: bytes
    file_source_id: int


RecordsByMirror = dict[int, list[PublishedRecord]]


@dataclass(frozen=True, slots=True)
class PublishedSection:
    """The rows of one section in the revision that clients get."""

    channel_id: int
    revision: int
    ecosystem: Ecosystem
    section: str

    def names(self) -> list[str]:
        """The names of which anything is listed."""
        return list(self._rows().values_list("name", flat=True))

    def by_mirror(self, names: Sequence[str]) -> dict[str, RecordsByMirror]:
        """The listed records of these packages, by package and by the mirror that brought them."""
        rows = self._rows().filter(name__in=names)
        return {
            name: self._records(name, shards.decompress(stored), sources)
            for name, stored, sources in rows.values_list("name", "shard__body", "sources")
        }

    def _rows(self) -> QuerySet[Package]:
        rows: QuerySet[Package] = Package.objects.at(self.revision)
        return rows.filter(
            channel=self.channel_id,
            section=self.section,
            family=self.ecosystem.family,
            shard__isnull=False,
        )

    def _records(self, name: str, body: bytes, sources: list[ListedFrom]) -> RecordsByMirror:
        records: RecordsByMirror = {}
        # A row may have thousands of files, so they are looked up at once, not by `entry_of`.
        named = {filename: entry for entry in sources for filename in entry.filenames or ()}
        unnamed = next((entry for entry in sources if entry.filenames is None), None)
        for record in self.ecosystem.records(body, section=self.section, name=name):
            entry = named.get(record.filename, unnamed)
            # A record without a source is of no mirror, so no mirror can let it stay.
            if entry is not None and isinstance(record, Record):
                published = PublishedRecord(record, body, entry.file_source_id)
                records.setdefault(entry.mirror_id, []).append(published)
        return records


def records_of(package: Package) -> list[Record]:
    """The records that a row lists, whatever rules say of them today."""
    if package.shard is None:
        return []
    body = shards.decompress(package.shard.body)
    ecosystem = registry.of_family(package.family)
    records = ecosystem.records(body, section=package.section, name=package.name)
    return [record for record in records if isinstance(record, Record)]
