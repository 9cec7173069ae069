"""Since when files have been public: for the rule on age, and in records that do not say it.

Rule: the server's own word comes first, then the day on which we first saw the file. What was
there when its index was first read counts by its build time, which its author could forge.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecosystems.base import Ecosystem
from ecosystems.records import Record
from filters.rules.age import Ages, PublicSince, looks_at_age
from mirrors import appearances
from mirrors.appearances import Appearances
from publishing.outcomes import PackageRecords, SectionInputs, Source, SourceRecords

FIRST_SEEN = "was first seen here"


class FileTimes:
    """The times of one package's files in one index."""

    def __init__(self, first_read_at: int, of_package: Appearances) -> None:
        self.first_read_at = first_read_at
        self._appearances = of_package

    def appeared_at(self, record: Record) -> int | None:
        """When we first saw the file; None where it was there from the first."""
        return appearances.appeared_at(self._appearances, record)

    def public_since(self, record: Record) -> PublicSince:
        """What the rule on age counts from."""
        if record.indexed_at is not None:
            return PublicSince(record.indexed_at)
        at = self.appeared_at(record)
        if at is not None:
            return PublicSince(at, FIRST_SEEN)
        if record.timestamp is not None:
            # A build time of the future: it was listed here all the same.
            return PublicSince(min(record.timestamp, self.first_read_at), "was built")
        return PublicSince(self.first_read_at, FIRST_SEEN)


def date(section: SectionInputs, batch: Sequence[PackageRecords]) -> None:
    """Give each source's records what is known of their time. Call it before rules look at them.

    Records that state none are published with ours, where their type has a field for it.
    """
    for number, source in enumerate(section.sources):
        parts = {package.name: package.sources[number] for package in batch}
        aged = any(looks_at_age(rules) for rules in (source.rules, *section.channel_rules))
        # Times of other packages are not read: most filters ask for no age.
        names = [name for name, part in parts.items() if aged or _is_stamped(source, part)]
        if not names:
            continue
        # One query for the batch, as with advisories.
        by_name = appearances.load(source.history, names) if source.history else {}
        first_read_at = source.history.first_read_at if source.history else section.now
        for name in names:
            times = FileTimes(first_read_at, by_name.get(name, {}))
            if _is_stamped(source, parts[name]):
                _stamp(section.ecosystem, parts[name], times)
            if aged:
                key = section.ecosystem.version_key
                parts[name].ages = Ages(section.now, times.public_since, key)


def of_published(ecosystem: Ecosystem, now: int) -> Ages:
    """What records that were published say of their files' age themselves."""

    def public_since(record: Record) -> PublicSince:
        if record.indexed_at is not None:
            return PublicSince(record.indexed_at)
        # Those that appeared after the first run have a time, ours if no other.
        return PublicSince(record.timestamp or 0, "was built")

    return Ages(now, public_since, ecosystem.version_key)


def _is_stamped(source: Source, part: SourceRecords) -> bool:
    return (
        source.stamps
        and source.history is not None
        and any(isinstance(record, Record) and record.indexed_at is None for record in part.records)
    )


def _stamp(ecosystem: Ecosystem, part: SourceRecords, times: FileTimes) -> None:
    for at, record in enumerate(part.records):
        if not isinstance(record, Record) or record.indexed_at is not None:
            continue
        appeared = times.appeared_at(record)
        stamped = ecosystem.stamped(
            record,
            times.first_read_at if appeared is None else appeared,
            at_first_run=appeared is None,
        )
        if stamped is not record:
            part.records[at] = stamped
            part.altered = True
