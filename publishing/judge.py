"""Judges what the mirrors of a channel have in one section, package by package.

Reads packs, rules and what is listed now; writes nothing. A run plans downloads from it, a
publication lists from it, a preview only counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import islice

from channels import blobs, companions, pins
from channels.blobs import Audience
from ecosystems.base import Ecosystem
from ecosystems.progress import Stop
from ecosystems.records import Invalid, Record
from filters.rules import Reason, Rule, Rules, judge
from filters.rules.age import Ages
from filters.rules.vulnerabilities import Lookup
from publishing import file_advisories, file_ages, file_licenses
from publishing.outcomes import (
    PackageRecords,
    SectionInputs,
    Source,
    SourceRecords,
    StayingRecords,
    decide,
    digest,
    digests,
    is_present,
    stated_hash,
)
from publishing.published_records import PublishedRecord, RecordsByMirror

NAMES_AT_ONCE = 100


def judge_packages(
    section: SectionInputs, names: Iterable[str], *, stop: Stop, planning: bool = False
) -> Iterator[list[PackageRecords]]:
    """The outcomes of these packages' records, in batches.

    `planning`: as if every file came that is to be downloaded, which is what a run plans.
    """
    remaining = iter(names)
    while batch_names := list(islice(remaining, NAMES_AT_ONCE)):
        stop()
        batch = apply_rules(section, batch_names)
        decide_batch(section, batch, planning=planning)
        yield batch


def apply_rules(section: SectionInputs, names: Sequence[str]) -> list[PackageRecords]:
    """The records of these packages, each with what the mirror's and the channel's rules say."""
    batch = [
        PackageRecords(name, [_read(section, source, name) for source in section.sources])
        for name in names
    ]
    file_ages.date(section, batch)
    # Of all packages at once: some queries for the batch, not for each name.
    need = file_advisories.need_of(
        (*(source.rules for source in section.sources), *section.channel_rules)
    )
    records = {
        package.name: [record for part in package.sources for record in part.records]
        for package in batch
    }
    facts = file_advisories.load(section.ecosystem.family, records, need)
    for package in batch:
        for part in package.sources:
            part.advisories = facts.get(package.name)
            part.reasons = _reasons(section, part, package.name, part.records, part.advisories)
            _hold_replaced(part)
    return batch


def _hold_replaced(part: SourceRecords) -> None:
    """Exclude new bytes under a listed name that nobody has released yet."""
    held = part.source.held
    for at, record in enumerate(part.records if held else ()):
        digest = held.get(record.filename)
        if digest is None or isinstance(record, Invalid) or stated_hash(record) != digest:
            continue
        if part.reasons[at] is None or part.waits(at):
            detail = (
                f"the upstream has replaced it: its new bytes ({digest[:12]}…) are held until "
                "they are released"
            )
            part.reasons[at] = Reason(part.source.rules.by, Rule.REPLACED, detail)


def _read(section: SectionInputs, source: Source, name: str) -> SourceRecords:
    """What the source has of a package, before rules look at it."""
    body, records = b"", list[Record | Invalid]()
    if name in source.pack.names():
        body = source.pack.read(name)
        records = section.ecosystem.records(body, section=section.section, name=name)
    rules = (source.rules, *section.channel_rules)
    return SourceRecords(
        source,
        body,
        records,
        [],
        licenses=file_licenses.needed(rules),
        scores=any(filter_.cve_score is not None for filter_ in rules),
    )


def decide_batch(
    section: SectionInputs, batch: Sequence[PackageRecords], *, planning: bool = False
) -> None:
    """Compute the outcomes, now that it is known whose bytes are here."""
    _strip_withheld_companions(section, batch)
    passing = (
        (part.source.file_source_id, record)
        for package in batch
        for part in package.sources
        for record in part.passing()
    )
    present = present_digests(passing, section.audience)
    present |= _state_facts(section, batch, present)
    staying = _staying(section, batch, present, planning=planning)
    for package in batch:
        decide(
            package,
            present,
            staying.get(package.name, {}),
            family=section.ecosystem.family,
            planning=planning,
        )


def rule_reasons(
    ecosystem: Ecosystem,
    section: str,
    name: str,
    records: Sequence[Record | Invalid],
    *,
    mirror_rules: Rules,
    channel_rules: Sequence[Rules],
    advisories: Lookup | None,
    ages: Ages | None,
) -> list[Reason | None]:
    """Why today's rules exclude each of a package's records; None where none does.

    `advisories`, `ages`: what is known of each file; None where nothing is.
    """
    if not records:
        return []
    if file_licenses.needed((mirror_rules, *channel_rules)):
        file_licenses.fill(ecosystem, records)
    return judge(
        section,
        name,
        records,
        mirror=mirror_rules,
        channels=channel_rules,
        kind=ecosystem.family,
        advisories=advisories,
        ages=ages,
    )


def _reasons(
    section: SectionInputs,
    part: SourceRecords,
    name: str,
    records: Sequence[Record | Invalid],
    advisories: Lookup | None,
) -> list[Reason | None]:
    return rule_reasons(
        section.ecosystem,
        section.section,
        name,
        records,
        mirror_rules=part.source.rules,
        channel_rules=section.channel_rules,
        advisories=advisories,
        ages=part.ages,
    )


def _strip_withheld_companions(section: SectionInputs, batch: Sequence[PackageRecords]) -> None:
    """Let files be listed alone whose metadata cannot be had, so that it is not offered."""
    with_companions = [
        (package.name, part)
        for package in batch
        for part in package.sources
        if any(record.companions for record in part.passing())
    ]
    if not with_companions:
        return
    withheld = companions.unavailable(
        {part.source.file_source_id for _, part in with_companions},
        {name for name, _ in with_companions},
    )
    for _, part in with_companions if withheld else ():
        file_source_id = part.source.file_source_id
        for at, record in enumerate(part.records):
            if isinstance(record, Record) and companions.key(file_source_id, record) in withheld:
                part.records[at] = section.ecosystem.without_companions(record)
                part.altered = True


def _state_facts(
    section: SectionInputs, batch: Sequence[PackageRecords], present: Set[str]
) -> Set[str]:
    """Publish what files that are here tell, and their index does not: SHA-256, metadata.

    Returns the digests of the metadata.
    """
    ecosystem = section.ecosystem
    if not ecosystem.learns_from_files:
        return set()
    stored = [
        (part, at, record)
        for package in batch
        for part in package.sources
        for at, record in enumerate(part.records)
        if isinstance(record, Record) and record.sha256 in present
    ]
    own = companions.own_digests((record for *_, record in stored), ecosystem, section.audience)
    for part, at, record in stored:
        stated = record
        if record.checksum or record.unhashed:
            stated = ecosystem.with_sha256(stated)
        if not record.companions and record.sha256 in own:
            stated = ecosystem.with_companion(stated, own[record.sha256])
        if stated is not record:
            part.records[at], part.altered = stated, True
    return set(own.values())


def present_digests(records: Iterable[tuple[int, Record]], audience: Audience) -> Set[str]:
    """Digests of those records (each with its file source's id) that the audience may have now.

    Records without a hash get that of the bytes that came first, and those without a size the one
    of the bytes that are here.
    """
    sourced = list(records)
    pins.apply_pins(sourced)
    sizes = blobs.available((name for _, record in sourced for name in digests(record)), audience)
    for _, record in sourced:
        if record.size < 0:
            record.size = sizes.get(digest(record), -1)
    return sizes.keys()


def _staying(
    section: SectionInputs, batch: Sequence[PackageRecords], present: Set[str], *, planning: bool
) -> dict[str, dict[int, StayingRecords]]:
    """What may go on being listed as it is, by package and mirror.

    Read only where an active mirror has nothing as good yet: of most packages there is none.
    """
    unfinished = {
        package.name: parts
        for package in batch
        if (
            parts := [
                part for part in package.sources if _unfinished(part, present, planning=planning)
            ]
        )
    }
    if not unfinished:
        return {}
    published = section.published.by_mirror(list(unfinished))
    records = [
        (old.file_source_id, old.record)
        for by_mirror in published.values()
        for listed in by_mirror.values()
        for old in listed
    ]
    published_present = present_digests(records, section.audience)
    # Loaded anew: records that were listed before may state other purls than those of today.
    rules = (*(source.rules for source in section.sources), *section.channel_rules)
    facts = file_advisories.load(
        section.ecosystem.family,
        {
            name: [old.record for listed in by_mirror.values() for old in listed]
            for name, by_mirror in published.items()
        },
        file_advisories.need_of(rules),
    )
    return {
        name: _staying_of(
            section, name, unfinished[name], by_mirror, published_present, facts.get(name)
        )
        for name, by_mirror in published.items()
    }


def _unfinished(part: SourceRecords, present: Set[str], *, planning: bool) -> bool:
    """Whether a file waits, or an active mirror has yet to bring one, or its whole index."""
    if any(part.waits(at) for at in range(len(part.reasons))):
        return True
    if planning:
        # As if all of it had come.
        return False
    return part.source.active and (
        part.source.incomplete or any(not is_present(record, present) for record in part.passing())
    )


def _staying_of(
    section: SectionInputs,
    name: str,
    parts: Iterable[SourceRecords],
    published: RecordsByMirror,
    present: Set[str],
    advisories: Lookup | None,
) -> dict[int, StayingRecords]:
    """Rules act at once, and so does what the upstream says it has taken back."""
    staying: dict[int, StayingRecords] = {}
    for part in parts:
        mine = published.get(part.source.mirror_id, [])
        records = _still_allowed(section, part, name, mine, present, advisories)
        if not records:
            continue
        withdrawn = section.ecosystem.withdrawn(part.body, next(iter(records.values())).body)
        if withdrawn is not None:
            staying[part.source.mirror_id] = StayingRecords(records, withdrawn)
    return staying


def _still_allowed(
    section: SectionInputs,
    part: SourceRecords,
    name: str,
    published: Sequence[PublishedRecord],
    present: Set[str],
    advisories: Lookup | None,
) -> dict[str, PublishedRecord]:
    """Of the published records those whose bytes are here and that rules let through today."""
    with_bytes = [old for old in published if is_present(old.record, present)]
    records = [old.record for old in with_bytes]
    reasons = _reasons(section, part, name, records, advisories)
    return {
        old.record.filename: old
        for old, reason in zip(with_bytes, reasons, strict=True)
        if reason is None
    }
