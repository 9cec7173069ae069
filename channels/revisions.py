"""Compare two revisions of a channel: what one lists and the other does not.

The rule: the work of one call is bounded by rows and records, whatever the revisions are. Only rows
that came or went between the two are read, in the order in which they did, and a call ends with the
place at which the next one goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from django.db.models import QuerySet

from channels import shards
from channels.file_difference import file_difference
from channels.models import Channel, Package, Revision, Shard
from ecosystems import registry

ROWS = 10_000
"""Rows of packages that one call reads."""
RECORDS = 20_000
"""Records that one call reads; it ends behind the package that exceeds them."""
ROWS_AT_ONCE = 500
RECORDS_AT_ONCE = 2_000
KINDS = ("added", "replaced", "removed")


class _Phase(IntEnum):
    CAME = 0
    """Rows that the newer revision lists and the older does not: files added, replaced, removed."""
    WENT = 1
    """Rows that the older one lists, of packages of which the newer one lists nothing."""


_COLUMN = {_Phase.CAME: "added_in", _Phase.WENT: "removed_in"}


class Cursor(NamedTuple):
    """Where a call ended: behind a row, or behind some of the files of one; and what it counted."""

    phase: int = _Phase.CAME
    revision: int = 0
    row: int = 0
    told: int = 0
    """How many files of that row are told; 0 = all, as those of the rows before it."""
    added: int = 0
    replaced: int = 0
    removed: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, (int(self.phase), *self[1:])))

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The place that `str` wrote; ValueError for any other text."""
        if not re.fullmatch(r"[01](\.[0-9]{1,18}){6}", text, re.ASCII):
            raise ValueError(f'"{text[:60]}" is no place in a difference')
        return cls(*map(int, text.split(".")))


@dataclass(slots=True)
class Difference:
    """What became of files from revision `a` to `b`; a part of the names, as `section/file`."""

    a: int
    b: int
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    exact: bool = True
    """False: there are at least as many as counted."""
    following: str = ""
    """Where the next part begins; "" behind the last."""


def difference(
    channel: Channel, a: int, b: int, *, limit: int = 1000, after: str = ""
) -> Difference:
    """What `b` lists otherwise than `a`: up to `limit` files from the place `after` on.

    The counts are of the whole difference, not of the part. ValueError for a wrong `after`.
    """
    low, high = min(a, b), max(a, b)
    start = Cursor.read(after) if after else Cursor(revision=low)
    if not low <= start.revision <= high:
        raise ValueError(f'"{after}" is no place between the revisions {a} and {b}')
    walk = _Walk(channel, low, high, limit, start)
    walk.go()
    counts, exact = dict(walk.counts), walk.ended
    if not exact and (stored := _stored(channel, low, high)):
        counts, exact = stored, True
    kinds = dict(zip(KINDS, KINDS if a <= b else KINDS[::-1], strict=True))
    return Difference(
        a,
        b,
        **{kind: sorted(walk.files[other]) for kind, other in kinds.items()},
        counts={kind: counts[other] for kind, other in kinds.items()},
        exact=exact,
        following=walk.following,
    )


def _stored(channel: Channel, low: int, high: int) -> dict[str, int] | None:
    """What the publication of `high` counted, if it followed on `low` and nothing came later."""
    if high != low + 1:
        return None
    row = Revision.objects.filter(channel=channel, number=high).first()
    growing = [
        section
        for ecosystem in map(registry.get, registry.kinds())
        if ecosystem.names_only
        for section in ecosystem.sections([])
    ]
    late = Package.objects.filter(channel=channel, section__in=growing)
    if row is None or late.exists():
        return None
    return {kind: getattr(row, kind) for kind in KINDS}


class _Row(NamedTuple):
    """A row of a package, and the place behind it."""

    pk: int
    revision: int
    family: str
    section: str
    name: str
    shard: str
    files: int
    added_in: int
    removed_in: int


@dataclass(slots=True)
class _Pair:
    """A package that differs: its row in the phase's revision, and its shard in the other one."""

    phase: _Phase
    row: _Row
    other: str = ""
    other_files: int = 0

    @property
    def whole(self) -> str:
        """What became of all its files; "" where they must be compared one by one."""
        if self.other:
            return ""
        return "added" if self.phase == _Phase.CAME else "removed"


class _Walk:
    """One call: goes from a place on until there is no more, or enough was read."""

    def __init__(self, channel: Channel, low: int, high: int, limit: int, start: Cursor) -> None:
        self.channel, self.low, self.high, self.limit = channel, low, high, limit
        self.start = start
        self.files: dict[str, list[str]] = {kind: [] for kind in KINDS}
        self.counts = Counter({kind: getattr(start, kind) for kind in KINDS})
        self.ended = False
        self.following = ""
        self._rows = self._records = self._told = 0
        self._behind = start
        self._last: tuple[_Phase, _Row] | None = None

    def go(self) -> None:
        """Count and tell what differs."""
        pending: list[_Pair] = []
        weight = 0
        for pair in self._pairs():
            pending.append(pair)
            weight += pair.row.files + pair.other_files
            if weight >= RECORDS_AT_ONCE:
                self._compare(pending)
                pending, weight = [], 0
                if self._records >= RECORDS:
                    break
        else:
            self._compare(pending)
            self.ended = self._rows < ROWS
            if self._last:
                self._behind = self._place(*self._last)
        if not self.ended and not self.following:
            self.following = str(self._behind)

    def _pairs(self) -> Iterator[_Pair]:
        """The packages that differ, from the place on, until enough rows were read."""
        for phase in _Phase:
            if phase < self.start.phase:
                continue
            for batch in self._batches(phase):
                if phase == _Phase.CAME:
                    rows = [row for row in batch if row.shard and row.removed_in > self.high]
                else:
                    rows = [row for row in batch if row.shard and row.added_in <= self.low]
                yield from self._paired(phase, rows)
                self._last = phase, batch[-1]
                if self._rows >= ROWS:
                    return

    def _batches(self, phase: _Phase) -> Iterator[list[_Row]]:
        """The rows of a phase in the order of their change, by the index over it."""
        column = _COLUMN[phase]
        rows = Package.objects.filter(channel=self.channel).order_by(column, "pk")
        revision, row = self.low, 0
        if phase == self.start.phase:
            # The row whose files are not all told is read again.
            revision, row = self.start.revision, self.start.row - bool(self.start.told)
        while True:
            # Of the revision where the last batch ended, then of those behind it.
            same = rows.filter(**{column: revision, "pk__gt": row})
            batch = self._read(same, column) if revision > self.low else []
            if not batch:
                later = rows.filter(**{f"{column}__gt": revision, f"{column}__lte": self.high})
                batch = self._read(later, column)
            if not batch:
                return
            self._rows += len(batch)
            yield batch
            revision, row = batch[-1].revision, batch[-1].pk

    def _read(self, rows: QuerySet[Package], column: str) -> list[_Row]:
        values = rows.values_list(
            "pk", column, "family", "section", "name", "shard_id", "files", "added_in", "removed_in"
        )
        return [_Row(*value) for value in values[:ROWS_AT_ONCE]]

    def _paired(self, phase: _Phase, rows: list[_Row]) -> Iterator[_Pair]:
        other = self.low if phase == _Phase.CAME else self.high
        others: dict[tuple[str, str], tuple[str, int]] = {}
        for section in {row.section for row in rows}:
            names = [row.name for row in rows if row.section == section]
            there = Package.objects.at(other).filter(
                channel=self.channel, section=section, name__in=names, shard__isnull=False
            )
            for name, shard, files in there.values_list("name", "shard_id", "files"):
                others[section, name] = shard, files
        for row in rows:
            shard, files = others.get((row.section, row.name), ("", 0))
            # What both revisions list is told where it came.
            if shard != row.shard and not (shard and phase == _Phase.WENT):
                yield _Pair(phase, row, shard, files)

    def _compare(self, pairs: list[_Pair]) -> None:
        """Tell the files of these packages as far as there is room, and count the others."""
        full = self._told >= self.limit
        bodies = self._bodies([pair for pair in pairs if not (full and pair.whole)])
        for pair in pairs:
            if full and pair.whole:
                self.following = self.following or str(self._behind)
                self.counts[pair.whole] += pair.row.files - self._done(pair)
            else:
                self._tell(pair, self._lines(pair, bodies))
            self._behind = self._place(pair.phase, pair.row)

    def _bodies(self, pairs: list[_Pair]) -> dict[str, bytes]:
        hashes = {shard for pair in pairs for shard in (pair.row.shard, pair.other) if shard}
        self._records += sum(pair.row.files + pair.other_files for pair in pairs)
        rows = Shard.objects.filter(pk__in=hashes).values_list("pk", "body")
        return {pk: shards.decompress(body) for pk, body in rows} if hashes else {}

    def _lines(self, pair: _Pair, bodies: dict[str, bytes]) -> list[tuple[str, str]]:
        """What became of the files of a package, by name."""
        entries = registry.of_family(pair.row.family).entries
        new = entries(bodies.get(pair.row.shard, b"")) if pair.row.shard in bodies else {}
        if pair.whole:
            return [(pair.whole, file) for file in sorted(new)]
        old = entries(bodies[pair.other]) if pair.other in bodies else {}
        changes = file_difference(old, new)._asdict().items()
        lines = [(kind, filename) for kind, filenames in changes for filename in filenames]
        return sorted(lines, key=lambda line: line[1])

    def _tell(self, pair: _Pair, lines: list[tuple[str, str]]) -> None:
        done = self._done(pair)
        for at, (kind, file) in enumerate(lines[done:], done):
            if self._told >= self.limit and not self.following:
                here = self._place(pair.phase, pair.row, told=at)
                self.following = str(here if at else self._behind)
            if self._told < self.limit:
                self.files[kind].append(f"{pair.row.section}/{file}")
                self._told += 1
            self.counts[kind] += 1

    def _done(self, pair: _Pair) -> int:
        """How many of its files an earlier call told."""
        start, row = self.start, pair.row
        same = (start.phase, start.revision, start.row) == (pair.phase, row.revision, row.pk)
        return start.told if same else 0

    def _place(self, phase: _Phase, row: _Row, told: int = 0) -> Cursor:
        return Cursor(phase, row.revision, row.pk, told, **self.counts)
