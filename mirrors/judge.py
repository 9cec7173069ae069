"""Judge what the mirrors of a channel have in one section, name by name.

Reads packs and rules, writes nothing. A run plans downloads from it, a
publication lists from it, a preview only counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from channels import blobs, pins
from channels.listing import Listing
from ecosystems.base import Ecosystem, Invalid, Record, Stop
from ecosystems.pack import Layered, Pack
from filters.rules import Reason, Rules, judge
from mirrors import held

NAMES_AT_ONCE = 100
UNKNOWN_LICENSE = "license_unknown"
"""Counts kept files on which licence rules cannot act, because nobody has said the licence."""


@dataclass(frozen=True, slots=True)
class Source:
    """One mirror's part of a section: where its records are and which rules hold."""

    mirror_id: int
    mirror_name: str
    active: bool
    rules: Rules
    pack: Pack | Layered
    origin_id: int


@dataclass(frozen=True, slots=True)
class Case:
    """A section of a channel to be judged: its sources, oldest mirror first."""

    ecosystem: Ecosystem
    section: str
    sources: tuple[Source, ...]
    channel_rules: tuple[Rules, ...]

    def names(self) -> list[str]:
        """All package names of the section, sorted."""
        found: set[str] = set()
        for source in self.sources:
            found.update(source.pack.names())
        return sorted(found)


@dataclass(slots=True)
class Part:
    """One source's records of a name with a verdict each; None = kept."""

    source: Source
    body: bytes
    records: list[Record | Invalid]
    reasons: list[Reason | None]
    licenses: bool = False
    """Whether rules look at licences."""

    def kept(self) -> Iterator[Record]:
        """The records no rule refuses."""
        for record, reason in zip(self.records, self.reasons, strict=True):
            if reason is None:
                assert isinstance(record, Record)
                yield record


@dataclass(slots=True)
class Judged:
    """All verdicts on one name."""

    name: str
    parts: list[Part] = field(default_factory=list)


def digest(record: Record) -> str:
    """What identifies a record's bytes: SHA-256, or MD5 where that is all there is."""
    return record.sha256 or record.md5


def digests(record: Record) -> list[str]:
    """Of a record's bytes and of the files beside it."""
    return [digest(record), *map(digest, record.beside)]


def complete(record: Record, here: set[str]) -> bool:
    """Whether a record's bytes and the files beside it are among those that are here."""
    return digest(record) in here and all(digest(one) in here for one in record.beside)


def judged(case: Case, names: Iterable[str], *, stop: Stop) -> Iterator[list[Judged]]:
    """Verdicts in batches of names."""
    rest = iter(names)
    while some := list(islice(rest, NAMES_AT_ONCE)):
        stop()
        yield [judge_name(case, name) for name in some]


def judge_name(case: Case, name: str) -> Judged:
    """The verdict of every mirror's and the channel's rules on each record of `name`."""
    result = Judged(name)
    claimed: dict[str, str] = {}
    for source in case.sources:
        if name not in source.pack.names():
            continue
        body = source.pack.read(name)
        records = case.ecosystem.records(body, section=case.section, name=name)
        licenses = held.wanted((source.rules, *case.channel_rules))
        if licenses:
            held.fill(case.ecosystem, records)
        reasons = judge(
            case.section,
            name,
            records,
            mirror=source.rules,
            channels=case.channel_rules,
            kind=case.ecosystem.family,
        )
        part = Part(source, body, records, reasons, licenses)
        if len(case.sources) > 1:
            _claim(part, claimed)
        result.parts.append(part)
    return result


def listings(case: Case, names: Iterable[str], *, stop: Stop) -> Iterator[Listing]:
    """What is to be listed of each name, with the tally of everything else."""
    for batch in judged(case, names, stop=stop):
        here = present(batch)
        for one in batch:
            yield listing(case, one, here)


def present(batch: Sequence[Judged]) -> set[str]:
    """Digests of the batch's kept records whose bytes are here.

    Records without a hash get that of the bytes that came first.
    """
    parts = [part for one in batch for part in one.parts]
    pins.fill((part.source.origin_id, record) for part in parts for record in part.kept())
    return blobs.present(
        known for part in parts for record in part.kept() for known in digests(record)
    )


def _claim(part: Part, claimed: dict[str, str]) -> None:
    """The older mirror wins a file name; the other's record is left out, with that reason."""
    for index, record in enumerate(part.records):
        if part.reasons[index] is None:
            winner = claimed.setdefault(record.filename, part.source.mirror_name)
            if winner != part.source.mirror_name:
                part.reasons[index] = Reason(
                    "channel", "duplicate", f"the mirror {winner} already provides this file"
                )


def listing(case: Case, one: Judged, here: set[str]) -> Listing:
    """What is to be listed of a name whose files are `here`."""
    entries: list[tuple[str, bytes]] = []
    listing = Listing(one.name, b"", [], 0)
    whole = len(one.parts) == 1
    for part in one.parts:
        tally: dict[str, int] = {}
        listed = _list_part(part, here, tally, listing)
        whole = whole and len(listed) == len(part.records)
        entries += [(record.filename, record.raw) for record in listed]
        listing.tally[str(part.source.mirror_id)] = tally
        if listed:
            files = [record.filename for record in listed] if len(case.sources) > 1 else None
            listing.origins.append([part.source.origin_id, part.source.mirror_id, files])
    listing.filenames = [filename for filename, _ in entries]
    if not entries:
        return listing
    part = one.parts[0]
    if whole and not case.ecosystem.rewrites(part.body):
        listing.body = part.body
        listing.digest = part.source.pack.names()[one.name].digest.hex()
        listing.packed = part.source.pack.read_compressed(one.name)
    else:
        listing.body = case.ecosystem.build(entries, [part.body for part in one.parts])
    return listing


def _list_part(part: Part, here: set[str], tally: dict[str, int], listing: Listing) -> list[Record]:
    """The part's records to be listed; counts all of them in `tally`."""
    active = part.source.active
    listed: list[Record] = []
    for record, reason in zip(part.records, part.reasons, strict=True):
        if reason is not None:
            key = f"{reason.by}.{reason.rule}"
            tally[key] = tally.get(key, 0) + 1
            continue
        assert isinstance(record, Record)
        if part.licenses and not record.license_known:
            tally[UNKNOWN_LICENSE] = tally.get(UNKNOWN_LICENSE, 0) + 1
        is_here = complete(record, here)
        if active and not is_here:
            tally["missing"] = tally.get("missing", 0) + 1
            listing.stale = True
            continue
        key = "active" if is_here else "passive"
        tally[key] = tally.get(key, 0) + 1
        listing.present += is_here
        listing.size += max(record.size, 0)
        listed.append(record)
    return listed


def count(tallies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Tallies of one mirror added up, in the API's shape (`count` of `sync_state`)."""
    total: dict[str, int] = {}
    for tally in tallies:
        for key, value in tally.items():
            total[key] = total.get(key, 0) + value
    counts: dict[str, Any] = {
        "active": total.pop("active", 0),
        "passive": total.pop("passive", 0),
        "missing": total.pop("missing", 0),
        "mirror_filtered": {},
        "channel_filtered": {},
    }
    if unknown := total.pop(UNKNOWN_LICENSE, 0):
        counts[UNKNOWN_LICENSE] = unknown
    for key, value in sorted(total.items()):
        by, rule = key.split(".", 1)
        counts[f"{by}_filtered"][rule] = value
    return counts
