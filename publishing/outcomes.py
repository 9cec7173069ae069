"""What is judged and what comes of it: sources, cases, and the verdicts on one package name."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from enum import StrEnum

from channels.blobs import Audience
from ecosystems.base import Ecosystem
from ecosystems.pack import Layered, Pack
from ecosystems.records import Invalid, Record
from filters.rules import Reason, Rules
from publishing.published import Earlier, Listed


class State(StrEnum):
    """What became of a record, as tallies and lists call it."""

    ACTIVE = "active"
    """Kept, and its bytes are here."""
    PASSIVE = "passive"
    """Kept, and its bytes come when a client asks."""
    MISSING = "missing"
    """Kept, and not listed before its bytes are here."""
    LEFT_OUT = "left_out"
    STAYS = "stays"
    """The upstream no longer lists it; it is listed here until a run is complete."""


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


@dataclass(frozen=True, slots=True)
class Case:
    """A section of a channel to be judged: its sources, oldest mirror first."""

    ecosystem: Ecosystem
    section: str
    sources: tuple[Source, ...]
    channel_rules: tuple[Rules, ...]
    earlier: Earlier
    """What the channel lists of it now."""
    audience: Audience
    """Whom the section's files are for; decides which bytes count as present."""

    def names(self) -> list[str]:
        """All package names of the section, sorted; with those that only stay for a while."""
        found: set[str] = set()
        for source in self.sources:
            found.update(source.pack.names())
        if any(source.incomplete for source in self.sources):
            found.update(self.earlier.names())
        return sorted(found)


@dataclass(slots=True)
class Part:
    """One source's records of a name with a verdict each (None = kept) and what becomes of them.

    `stays`: records, listed now, that go on being listed, by file name: in place of a new one whose
    bytes are not here, or because the upstream's new index is not complete here yet.
    """

    source: Source
    body: bytes
    records: list[Record | Invalid]
    reasons: list[Reason | None]
    altered: bool = False
    """Whether a record is listed otherwise than the body says it."""
    licenses: bool = False
    """Whether rules look at licenses."""
    states: list[State] = field(default_factory=list)
    stays: dict[str, Listed] = field(default_factory=dict)
    instead: dict[str, Record] = field(default_factory=dict)
    """By the name of a `.conda` that is not here: the `.tar.bz2` to bring should it fail."""

    def kept(self) -> Iterator[Record]:
        """The records no rule refuses."""
        for record, reason in zip(self.records, self.reasons, strict=True):
            if reason is None:
                assert isinstance(record, Record)
                yield record

    def in_state(self, *states: State) -> Iterator[Record]:
        """The records that these things became of."""
        for record, state in zip(self.records, self.states, strict=True):
            if state in states:
                assert isinstance(record, Record)
                yield record

    def filenames(self) -> set[str]:
        """The files that it lists."""
        shown = self.in_state(State.ACTIVE, State.PASSIVE)
        return {record.filename for record in shown} | set(self.stays)

    def dropped(self) -> list[str]:
        """The files it lists although the upstream does not."""
        new = {record.filename for record in self.kept()}
        return [filename for filename in self.stays if filename not in new]

    def leave_out(self, at: int, reason: Reason) -> None:
        """Refuse the record at this place."""
        self.reasons[at], self.states[at] = reason, State.LEFT_OUT


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
    return [digest(record), *map(digest, record.companions)]


def complete(record: Record, here: Set[str]) -> bool:
    """Whether a record's bytes and the files beside it are among those that are here."""
    return digest(record) in here and all(digest(one) in here for one in record.companions)
