"""What becomes of each record of a package: the one place that decides it. Pure.

Counts, file lists, "why", the difference, the download plan, previews and the text of a client's
404 read the outcomes that `decide` computes; none of them decides again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from channels.blobs import Audience
from ecosystems.base import Ecosystem
from ecosystems.kinds import Family
from ecosystems.pack import Layered, Pack
from ecosystems.records import Invalid, Record
from filters.rules import Reason, Rules, twins
from filters.rules.age import Ages
from filters.rules.model import Rule
from filters.rules.vulnerabilities import Lookup
from mirrors.models import IndexHistory
from publishing.published_records import PublishedRecord, PublishedSection


class State(StrEnum):
    """What became of a record; the values are the API's words."""

    PRESENT = "active"
    """Kept, and its bytes are here."""
    ON_DEMAND = "passive"
    """Kept, and its bytes come when a client asks."""
    MISSING = "missing"
    """Kept, and not listed before its bytes are here."""
    STAYS = "stays"
    """The upstream no longer lists it; it is listed here until a run is complete."""
    EXCLUDED = "left_out"


class Outcome(NamedTuple):
    """What becomes of one record: kept, or excluded for a reason."""

    state: State
    reason: Reason | None = None
    """Why it is excluded; None for a kept record."""
    published: PublishedRecord | None = None
    """What goes on being listed in place of a kept record, because it works now."""

    @property
    def kept(self) -> bool:
        return self.reason is None

    @property
    def key(self) -> str:
        """The outcome in tallies and lists: the state, or "mirror.license", "channel.date", ..."""
        return str(self.state) if self.reason is None else f"{self.reason.by}.{self.reason.rule}"


WAITING = frozenset({Rule.AGE, Rule.REPLACED})
"""Rules that exclude a file for now, so that what it replaces stays."""

PRESENT = Outcome(State.PRESENT)
ON_DEMAND = Outcome(State.ON_DEMAND)
MISSING = Outcome(State.MISSING)


def excluded(reason: Reason) -> Outcome:
    """The outcome of a record that a rule refuses."""
    return Outcome(State.EXCLUDED, reason)


@dataclass(frozen=True, slots=True)
class Source:
    """One mirror's part of a section: where its records are and which rules hold."""

    mirror_id: int
    mirror_name: str
    active: bool
    rules: Rules
    pack: Pack | Layered
    file_source_id: int
    incomplete: bool = False
    """No run has brought all files of this index yet: what was listed before stays."""
    history: IndexHistory | None = None
    """When the index was first read."""
    held: Mapping[str, str] = field(default_factory=dict)
    """New bytes that wait for a release: their hash by file name."""
    stamps: bool = False
    """Whether records that state no time may be published with ours."""


@dataclass(frozen=True, slots=True)
class SectionInputs:
    """A section of a channel to be judged: its sources, oldest mirror first."""

    ecosystem: Ecosystem
    section: str
    sources: tuple[Source, ...]
    channel_rules: tuple[Rules, ...]
    published: PublishedSection
    """What the channel lists of it now."""
    audience: Audience
    """Whom the section's files are for; decides which bytes count as present."""
    now: int
    """The time that ages are counted to, in milliseconds since 1970."""

    def names(self) -> list[str]:
        """All package names of the section, sorted; with those that only stay for a while."""
        names: set[str] = set()
        for source in self.sources:
            names.update(source.pack.names())
        if any(source.incomplete for source in self.sources):
            names.update(self.published.names())
        return sorted(names)


@dataclass(frozen=True, slots=True)
class StayingRecords:
    """What a mirror's part of a package lists now and may go on listing, by file name.

    Rules let these records through today, and their bytes are here. `withdrawn`: files that the
    upstream has taken back; they stay only where it lists them again.
    """

    records: Mapping[str, PublishedRecord]
    withdrawn: frozenset[str] = frozenset()


@dataclass(slots=True)
class SourceRecords:
    """One source's records of a package, each with what the rules say and with its outcome."""

    source: Source
    body: bytes
    records: list[Record | Invalid]
    reasons: list[Reason | None]
    """Why rules exclude each record; None where none does."""
    altered: bool = False
    """Whether a record is listed otherwise than the body says it."""
    licenses: bool = False
    """Whether rules look at licenses."""
    scores: bool = False
    """Whether rules look at the scores of advisories."""
    advisories: Lookup | None = None
    """What is known of each file; None where no advisory is about the package."""
    ages: Ages | None = None
    """What is known of the age of its files; None where no rule looks at it."""
    outcomes: list[Outcome] = field(default_factory=list)
    """What becomes of each record; `decide` fills it."""
    dropped: dict[str, PublishedRecord] = field(default_factory=dict)
    """Records that stay although the upstream no longer lists them, by file name."""
    fallbacks: dict[str, Record] = field(default_factory=dict)
    """By the name of a missing `.conda`: the `.tar.bz2` to download should it fail."""

    def waits(self, at: int) -> bool:
        """Whether a record is excluded only for now: it is too young, or held."""
        reason = self.reasons[at]
        return reason is not None and reason.rule in WAITING

    def passing(self) -> Iterator[Record]:
        """The records that rules let through, before it is known what becomes of them."""
        for record, reason in zip(self.records, self.reasons, strict=True):
            if reason is None and isinstance(record, Record):
                yield record

    def decided(self) -> Iterator[tuple[Record | Invalid, Outcome]]:
        """The records that the upstream lists, each with its outcome."""
        return zip(self.records, self.outcomes, strict=True)

    def in_state(self, *states: State) -> Iterator[Record]:
        """The upstream's records whose outcome is one of these."""
        for record, outcome in self.decided():
            if outcome.state in states and isinstance(record, Record):
                yield record

    def kept(self) -> Iterator[Record]:
        """The upstream's records that are not excluded."""
        return self.in_state(State.PRESENT, State.ON_DEMAND, State.MISSING)

    def staying(self) -> dict[str, PublishedRecord]:
        """The records that go on being listed as they are, by file name."""
        in_place = {
            record.filename: outcome.published
            for record, outcome in self.decided()
            if outcome.published is not None
        }
        return in_place | self.dropped

    def listed(self) -> list[Record]:
        """The records that clients get: new ones, then those that stay."""
        staying = self.staying()
        fresh = self.in_state(State.PRESENT, State.ON_DEMAND)
        return [
            *(record for record in fresh if record.filename not in staying),
            *(published.record for published in staying.values()),
        ]

    def filenames(self) -> set[str]:
        """The files that clients get."""
        return {record.filename for record in self.listed()}


@dataclass(slots=True)
class PackageRecords:
    """All records of one package name in a section, by source, oldest mirror first."""

    name: str
    sources: list[SourceRecords] = field(default_factory=list)


def digest(record: Record) -> str:
    """What identifies a record's bytes: SHA-256, or MD5 where that is all there is."""
    return record.sha256 or record.md5


def stated_hash(record: Record) -> str:
    """What the index states of a record's bytes; of hashes longer than SHA-256 the end."""
    return record.sha256 or record.md5 or record.checksum[-64:]


def digests(record: Record) -> list[str]:
    """Of a record's bytes and of its companions."""
    return [digest(record), *map(digest, record.companions)]


def is_present(record: Record, present: Set[str]) -> bool:
    """Whether a record's bytes and its companions are among those present."""
    return digest(record) in present and all(
        digest(companion) in present for companion in record.companions
    )


def decide(
    package: PackageRecords,
    present: Set[str],
    staying: Mapping[int, StayingRecords],
    *,
    family: Family,
    planning: bool = False,
) -> None:
    """Compute the outcome of every record of a package.

    `present`: digests of the files that clients may have now. `staying`: by mirror id.
    `planning`: a `.tar.bz2` gives way also to a `.conda` that is still to be downloaded.
    """
    listed_by: dict[str, str] = {}
    for part in package.sources:
        part.outcomes = [
            _by_rules_and_bytes(record, reason, present, active=part.source.active)
            for record, reason in zip(part.records, part.reasons, strict=True)
        ]
        # Before legacy files are looked at: what stays is listed, so its twin gives way to it.
        if part.source.mirror_id in staying:
            _let_stay(part, staying[part.source.mirror_id], planning=planning)
        if family == Family.CONDA and not part.source.rules.keep_legacy:
            _exclude_legacy(part, listed_by, planning=planning)
        # Last: a file that gave way to its `.conda`, or waits for its bytes, takes no name from
        # others.
        _exclude_duplicates(part, listed_by)
    # Only now: a mirror with no record of its own may have some that stay.
    package.sources = [part for part in package.sources if part.records or part.dropped]


def _by_rules_and_bytes(
    record: Record | Invalid, reason: Reason | None, present: Set[str], *, active: bool
) -> Outcome:
    if isinstance(record, Invalid) or reason is not None:
        return Outcome(State.EXCLUDED, reason)
    # Also of a passive mirror: bytes that are here for any reason need no request to the
    # upstream.
    if is_present(record, present):
        return PRESENT
    return MISSING if active else ON_DEMAND


def _let_stay(part: SourceRecords, staying: StayingRecords, *, planning: bool) -> None:
    """Let records stay that work now, where the source has nothing as good yet."""
    states = {
        record.filename: outcome.state
        for record, outcome in part.decided()
        if isinstance(record, Record)
    }
    awaits_current = _awaits_current(part)
    for at, record in enumerate(part.records):
        old = staying.records.get(record.filename)
        if old is None or isinstance(record, Invalid):
            continue
        # A version stays the current one until the bytes of the next one are here.
        still_current = awaits_current and not old.record.archived
        state = states[record.filename]
        # The new bytes may not be used yet: the old ones are as good as they were.
        waits = part.waits(at)
        unfinished = state == State.MISSING or (state == State.PRESENT and still_current)
        if waits or (unfinished and not planning):
            part.outcomes[at] = part.outcomes[at]._replace(published=old)
    if planning:
        return
    # Without those that the upstream dropped, a package would be gone whose new files all failed.
    all_failed = State.MISSING in states.values() and not any(part.listed())
    if part.source.incomplete or all_failed:
        part.dropped = {
            filename: old
            for filename, old in staying.records.items()
            if filename not in states and filename not in staying.withdrawn
        }


def _awaits_current(part: SourceRecords) -> bool:
    """Whether the upstream has a current version, and the bytes of none are here."""
    states = {
        outcome.state
        for record, outcome in part.decided()
        if isinstance(record, Record) and not record.archived
    }
    return State.MISSING in states and State.PRESENT not in states


def _exclude_legacy(part: SourceRecords, listed_by: dict[str, str], *, planning: bool) -> None:
    """A `.tar.bz2` gives way to its `.conda` only where that is listed, or is planned to be."""
    planned = {record.filename for record in part.in_state(State.MISSING)} if planning else set()
    listed = part.filenames() | set(listed_by) | planned
    filenames = [record.filename for record in part.records]
    for at, (_, new) in twins(filenames, listed).items():
        record, outcome = part.records[at], part.outcomes[at]
        if outcome.state == State.EXCLUDED or isinstance(record, Invalid):
            continue
        if new in planned and outcome.state == State.MISSING:
            part.fallbacks[new] = record
        detail = f"the same package is kept as {new}"
        reason = Reason(part.source.rules.by, Rule.LEGACY, detail)
        part.outcomes[at] = excluded(reason)
    for old, _ in twins(list(part.dropped), listed).values():
        del part.dropped[old]


def _exclude_duplicates(part: SourceRecords, listed_by: dict[str, str]) -> None:
    """The older mirror that lists a file wins its name; the other's is excluded.

    One that has yet to download the file does not keep it from those that have it.
    """
    mine = part.source.mirror_name
    for at, record in enumerate(part.records):
        winner = listed_by.get(record.filename, mine)
        outcome = part.outcomes[at]
        listed = outcome.state != State.EXCLUDED or outcome.published is not None
        if winner != mine and listed:
            detail = f"the mirror {winner} already provides this file"
            part.outcomes[at] = excluded(Reason("channel", Rule.DUPLICATE, detail))
    part.dropped = {
        filename: old
        for filename, old in part.dropped.items()
        if listed_by.get(filename, mine) == mine
    }
    listed_by.update(dict.fromkeys(part.filenames(), mine))
