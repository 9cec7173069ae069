"""Compare two revisions of a channel: what one lists and the other does not.

The work of one call is bounded by rows and records, whatever the revisions are. Only rows that came
or went between the two are read, in the order in which they did, and a call ends with the cursor
at which the next one goes on.
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
    listed: int = 0
    """How many files of that row are listed; 0 = all, as those of the rows before it."""
    added: int = 0
    replaced: int = 0
    removed: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, (int(self.phase), *self[1:])))

    @classmethod
    def read(cls, text: str) -> Cursor:
        """The cursor that `str` wrote; ValueError for any other text."""
        if not re.fullmatch(r"[01](\.[0-9]{1,18}){6}", text, re.ASCII):
            raise ValueError(f'"{text[:60]}" is not the "next" of an earlier answer')
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
    """What `b` lists otherwise than `a`: up to `limit` files behind the cursor `after`.

    The counts are of the whole difference, not of the part. ValueError for a wrong `after`.
    """
    low, high = sorted((a, b))
    start = Cursor.read(after) if after else Cursor(revision=low)
    if not low <= start.revision <= high:
        raise ValueError(f'"{after}" is the "next" of another comparison')
    comparison = _Comparison(channel, low, high, limit, start)
    comparison.run()
    counts, exact = dict(comparison.counts), comparison.ended
    if not exact and (published := _published_counts(channel, low, high)):
        counts, exact = published, True
    # It is read from the older revision to the newer one; backwards, what came is what goes.
    forward_kinds = dict(zip(KINDS, KINDS if a <= b else KINDS[::-1], strict=True))
    return Difference(
        a,
        b,
        **{kind: sorted(comparison.files[forward]) for kind, forward in forward_kinds.items()},
        counts={kind: counts[forward] for kind, forward in forward_kinds.items()},
        exact=exact,
        following=comparison.following,
    )


def _published_counts(channel: Channel, low: int, high: int) -> dict[str, int] | None:
    """What the publication of `high` counted, if it followed on `low` and nothing came later."""
    # Over several revisions counts do not add up: a file may have come and gone in between.
    if high != low + 1:
        return None
    row = Revision.objects.filter(channel=channel, number=high).first()
    # Rows of sections without records are written once asked for, into counted revisions.
    lazy_sections = [
        section
        for ecosystem in map(registry.get, registry.kinds())
        if ecosystem.names_only
        for section in ecosystem.sections([])
    ]
    written_later = Package.objects.filter(channel=channel, section__in=lazy_sections)
    if row is None or written_later.exists():
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
    """A package that differs: its row in the phase's revision, and what the other one has."""

    phase: _Phase
    row: _Row
    counterpart: str = ""
    """Of the other revision: the SHA-256 of the shard, "" where it lists nothing."""
    counterpart_files: int = 0

    @property
    def whole(self) -> str:
        """What became of all its files; "" where they must be compared one by one."""
        if self.counterpart:
            return ""
        return "added" if self.phase == _Phase.CAME else "removed"


class _Comparison:
    """One call: compares from a cursor on until there is no more, or enough was read."""

    def __init__(self, channel: Channel, low: int, high: int, limit: int, start: Cursor) -> None:
        self.channel, self.low, self.high = channel, low, high
        self.limit, self.start = limit, start
        self.files: dict[str, list[str]] = {kind: [] for kind in KINDS}
        self.counts = Counter({kind: getattr(start, kind) for kind in KINDS})
        self.ended, self.following = False, ""
        self._rows = self._records = self._listed = 0
        self._behind = start
        self._last: tuple[_Phase, _Row] | None = None

    def run(self) -> None:
        """Count and list what differs."""
        pending: list[_Pair] = []
        weight = 0
        for pair in self._pairs():
            pending.append(pair)
            weight += pair.row.files + pair.counterpart_files
            if weight >= RECORDS_AT_ONCE:
                self._compare(pending)
                pending, weight = [], 0
                # Only between packages: the cursor is behind a row whose files are all counted.
                if self._records >= RECORDS:
                    break
        else:
            self._compare(pending)
            self.ended = self._rows < ROWS
            if self._last:
                self._behind = self._cursor(*self._last)
        if not self.ended and not self.following:
            self.following = str(self._behind)

    def _pairs(self) -> Iterator[_Pair]:
        """The packages that differ, from the cursor on, until enough rows were read."""
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
            # The row whose files are not all listed is read again.
            revision, row = self.start.revision, self.start.row - bool(self.start.listed)
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
        columns = ("family", "section", "name", "shard_id", "files", "added_in", "removed_in")
        return [_Row(*row) for row in rows.values_list("pk", column, *columns)[:ROWS_AT_ONCE]]

    def _paired(self, phase: _Phase, rows: list[_Row]) -> Iterator[_Pair]:
        revision = self.low if phase == _Phase.CAME else self.high
        counterparts: dict[tuple[str, str], tuple[str, int]] = {}
        for section in {row.section for row in rows}:
            names = [row.name for row in rows if row.section == section]
            packages = Package.objects.at(revision).filter(
                channel=self.channel, section=section, name__in=names, shard__isnull=False
            )
            for name, shard, files in packages.values_list("name", "shard_id", "files"):
                counterparts[section, name] = shard, files
        for row in rows:
            shard, files = counterparts.get((row.section, row.name), ("", 0))
            # What both revisions list is a row that came and one that went: the first counts.
            if shard != row.shard and not (shard and phase == _Phase.WENT):
                yield _Pair(phase, row, shard, files)

    def _compare(self, pairs: list[_Pair]) -> None:
        """List the files of these packages as far as there is room, and count the rest."""
        full = self._listed >= self.limit
        bodies = self._bodies([pair for pair in pairs if not (full and pair.whole)])
        for pair in pairs:
            if full and pair.whole:
                # Only counted: its row says how many files it has, so no record need be read.
                self.following = self.following or str(self._behind)
                self.counts[pair.whole] += pair.row.files - self._done(pair)
            else:
                self._list(pair, self._lines(pair, bodies))
            self._behind = self._cursor(pair.phase, pair.row)

    def _bodies(self, pairs: list[_Pair]) -> dict[str, bytes]:
        hashes = {shard for pair in pairs for shard in (pair.row.shard, pair.counterpart) if shard}
        self._records += sum(pair.row.files + pair.counterpart_files for pair in pairs)
        rows = Shard.objects.filter(pk__in=hashes).values_list("pk", "body")
        return {pk: shards.decompress(body) for pk, body in rows} if hashes else {}

    def _lines(self, pair: _Pair, bodies: dict[str, bytes]) -> list[tuple[str, str]]:
        """What became of the files of a package, by name."""
        entries = registry.of_family(pair.row.family).entries
        new = entries(bodies.get(pair.row.shard, b"")) if pair.row.shard in bodies else {}
        if pair.whole:
            return [(pair.whole, file) for file in sorted(new)]
        old = entries(bodies[pair.counterpart]) if pair.counterpart in bodies else {}
        changes = file_difference(old, new)._asdict().items()
        lines = [(kind, filename) for kind, filenames in changes for filename in filenames]
        return sorted(lines, key=lambda line: line[1])

    def _list(self, pair: _Pair, lines: list[tuple[str, str]]) -> None:
        done = self._done(pair)
        for at, (kind, file) in enumerate(lines[done:], done):
            if self._listed >= self.limit and not self.following:
                # Within the package where some of its files are listed, else before it.
                within = self._cursor(pair.phase, pair.row, listed=at)
                self.following = str(within if at else self._behind)
            if self._listed < self.limit:
                self.files[kind].append(f"{pair.row.section}/{file}")
                self._listed += 1
            self.counts[kind] += 1

    def _done(self, pair: _Pair) -> int:
        """How many of its files an earlier call listed."""
        start, row = self.start, pair.row
        same = (start.phase, start.revision, start.row) == (pair.phase, row.revision, row.pk)
        return start.listed if same else 0

    def _cursor(self, phase: _Phase, row: _Row, listed: int = 0) -> Cursor:
        return Cursor(phase, row.revision, row.pk, listed, **self.counts)
