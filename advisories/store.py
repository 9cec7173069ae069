"""Writes records in batches, and keeps every advisory the sum of its records.

One batch is one short transaction: it renews the lease, leaves out what is not newer than what is
stored, joins the records with those that share an id, and writes them. Where joining is more than
an addition (a record changed, or one connects two advisories), the advisories concerned are taken
apart: their records are read again and written together with the new ones.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

import msgspec
from django.db import transaction
from django.db.models import Max

from advisories import change_log, rows
from advisories.change_log import Changes, ProjectNames
from advisories.compression import decompress
from advisories.formats import nvd, osv
from advisories.formats.report import BadRecord, Report, shown
from advisories.formats.scores import Score, ScoreVersion, best, severity_of
from advisories.lease import Lease
from advisories.matching.joining import Summary, components, merged
from advisories.models import Advisory, AffectedPackage, Identifier, Record, Source

NAMED = 20
"""So many broken records are named; the others are counted."""

READERS = {Source.OSV: osv, Source.NVD: nvd}

Package = tuple[str, str]
"""Ecosystem and name."""

_ENCODER = msgspec.msgpack.Encoder()
_SUMMARY = (
    *("name", "severity", "score", "score_version", "malware", "withdrawn"),
    *("modified", "published", "summary"),
)
_RECORD = ("id", "advisory_id", "source", "name", "modified", "malware", "withdrawn", "body")

_TOUCHED = f"""
    SELECT record.advisory_id, identifier.text, identifier.upstream, advisory.score
    FROM {Identifier._meta.db_table} identifier
    JOIN {Record._meta.db_table} record ON record.id = identifier.record_id
    JOIN {Advisory._meta.db_table} advisory ON advisory.id = record.advisory_id
    WHERE identifier.text IN ({{in}})"""

log = logging.getLogger(__name__)


class Item(NamedTuple):
    """A record to be written: its source, what was read of it, and its compressed text."""

    source: Source
    report: Report
    body: bytes


@dataclass
class Written:
    """What batches changed."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    broken: int = 0
    broken_names: list[str] = field(default_factory=list)
    """The first of them, each as a sentence."""
    packages: set[Package] = field(default_factory=set)
    """Packages whose affected versions, scores or classes may be others now."""

    def note_broken(self, error: BadRecord) -> None:
        """Count a record that cannot be used, and name it if it is among the first."""
        self.broken += 1
        if len(self.broken_names) < NAMED:
            why = shown(str(error))
            self.broken_names.append(f"{error.id or 'A record without an id'}: {why}.")


class _Group(NamedTuple):
    """The items of one advisory, and the advisories that stand already and share an id."""

    items: list[Item]
    standing: list[int]


class Writer:
    """Writes records. Nobody else does while the lease is held, so it gives rows their ids."""

    def __init__(self, lease: Lease) -> None:
        self.written = Written()
        self._lease = lease
        self._changes = Changes()
        self._projects = ProjectNames()
        # Ids are given here, so that identifiers and packages are written without asking the
        # database for those of their records.
        self._last_record = _last(Record)
        self._last_advisory = _last(Advisory)

    def write(self, source: Source, bodies: Sequence[bytes]) -> None:
        """Write a batch of compressed records; of equal ids the newest counts."""
        fresh, replaced = self._read(source, bodies)
        self._changes = Changes()
        with transaction.atomic():
            # Its row stays locked until the transaction ends: nobody can take over in between.
            self._lease.renew()
            if fresh:
                self._write_groups(self._grouped(source, fresh, replaced))
            change_log.note(self._changes, self._projects)
        self.written.packages |= self._changes.packages
        self.written.updated += len(replaced)
        self.written.added += len(fresh) - len(replaced)

    def _read(self, source: Source, bodies: Sequence[bytes]) -> tuple[list[Item], list[str]]:
        """The records that are new or newer than what is stored, and the ids of the latter."""
        reader = READERS[source]
        read = [(body, decompress(body)) for body in bodies]
        # Nearly all records of a fetched archive are stored already: their heads are enough to
        # see it.
        heads = [reader.head(raw) for _, raw in read]
        times = _stored_times(source, [head[0] for head in heads if head])
        fresh: dict[str, Item] = {}
        for (body, raw), head in zip(read, heads, strict=True):
            # An older record is no news either: an upload may be older than what a feed brought.
            if head and head[0] in times and times[head[0]] >= head[1]:
                self.written.unchanged += 1
                continue
            try:
                report = reader.parse(raw)
            except BadRecord as error:
                self.written.note_broken(error)
                continue
            held = fresh.get(report.id)
            if held is None or held.report.modified < report.modified:
                fresh[report.id] = Item(source, report, body)
        return list(fresh.values()), [name for name in fresh if name in times]

    def _grouped(
        self, source: Source, fresh: Sequence[Item], replaced: Collection[str]
    ) -> list[_Group]:
        """Items joined to groups with one advisory that stands, or with none."""
        items = list(fresh)
        standing, apart = _touched(items)
        if replaced:
            records = Record.objects.filter(source=source, name__in=replaced)
            apart |= set(records.values_list("advisory_id", flat=True))
        without = {(source, name) for name in replaced}
        # Taking advisories apart brings back records whose ids may join further advisories. Each
        # round takes at least one more apart, so it ends.
        while True:
            if apart:
                items += self._take_apart(apart, without=without)
                standing = {pk: texts for pk, texts in standing.items() if pk not in apart}
            groups = _groups(items, standing)
            apart = {pk for group in groups if len(group.standing) > 1 for pk in group.standing}
            if not apart:
                return groups

    def _take_apart(
        self, advisories: Collection[int], *, without: Collection[tuple[str, str]]
    ) -> list[Item]:
        """Delete advisories; their records as items, but for those that are replaced."""
        items = []
        for record in Record.objects.filter(advisory__in=advisories).order_by("pk"):
            if (record.source, record.name) not in without:
                try:
                    source = Source(record.source)
                    report = READERS[source].parse(record.text)
                    items.append(Item(source, report, bytes(record.body)))
                except BadRecord as error:
                    log.warning("the stored record %s is dropped: %s", record.name, error)
        # Before the rows go: packages that the new records do not name have to be judged again,
        # too.
        packages = AffectedPackage.objects.filter(record__advisory__in=advisories)
        self._changes.packages |= set(packages.values_list("ecosystem", "name"))
        malware = packages.filter(record__advisory__malware=True)
        self._changes.malware |= set(malware.values_list("ecosystem", "name"))
        # From the leaves up: a cascade would load every record to find what hangs on it.
        packages.delete()
        Identifier.objects.filter(record__advisory__in=advisories).delete()
        Record.objects.filter(advisory__in=advisories).delete()
        Advisory.objects.filter(pk__in=advisories).delete()
        return items

    def _write_groups(self, groups: Sequence[_Group]) -> None:
        before = _summaries([pk for group in groups for pk in group.standing])
        summaries = [_summed(group, before) for group in groups]
        summaries = _with_upstream_scores(groups, summaries)
        new: list[Sequence[object]] = []
        changed: list[Sequence[object]] = []
        owners: list[int] = []
        as_stored = rows.time_adapter()
        for group, summary in zip(groups, summaries, strict=True):
            values = _values(summary, as_stored)
            if not group.standing:
                self._last_advisory += 1
                owners.append(self._last_advisory)
                new.append((self._last_advisory, *values))
            else:
                owners.append(group.standing[0])
                changed.append((*values, group.standing[0]))
        rows.insert(Advisory, ("id", *_SUMMARY), new)
        rows.update(Advisory, _SUMMARY, changed)
        self._changes.packages |= _packages_of(groups, summaries, before)
        # What was malware until now counts, too: it is to come back.
        malicious = [
            (group, summary)
            for group, summary in zip(groups, summaries, strict=True)
            if summary.malware or any(before[pk].malware for pk in group.standing)
        ]
        self._changes.malware |= _packages_of(
            [group for group, _ in malicious], [summary for _, summary in malicious], before
        )
        self._write_records(groups, owners)

    def _write_records(self, groups: Sequence[_Group], owners: Sequence[int]) -> None:
        records: list[Sequence[object]] = []
        identifiers: list[Sequence[object]] = []
        packages: list[Sequence[object]] = []
        as_stored = rows.time_adapter()
        for group, owner in zip(groups, owners, strict=True):
            for source, report, body in group.items:
                self._last_record += 1
                pk = self._last_record
                modified = as_stored(report.modified)
                about = (report.id, modified, report.malware, report.withdrawn)
                records.append((pk, owner, str(source), *about, body))
                same = report.same
                identifiers += [(pk, text, False) for text in same]
                identifiers += [(pk, text, True) for text in report.upstream if text not in same]
                # What is withdrawn affects nothing, but keeps its ids: another source may still
                # stand by it.
                if not report.withdrawn:
                    packages += [
                        (pk, affected.ecosystem, affected.name, _ENCODER.encode(affected))
                        for affected in report.affected
                    ]
        rows.insert(Record, _RECORD, records)
        rows.insert(Identifier, ("record_id", "text", "upstream"), identifiers)
        rows.insert(AffectedPackage, ("record_id", "ecosystem", "name", "body"), packages)


def _stored_times(source: Source, names: Sequence[str]) -> dict[str, dt.datetime]:
    """When the stored records of these names were last changed at their source."""
    query = (
        f"SELECT name, modified FROM {Record._meta.db_table} WHERE source = %s AND name IN ({{in}})"
    )
    stored = rows.select(query, names, str(source))
    return {name: rows.aware(modified) for name, modified in stored}


def _last(model: type[Advisory | Record]) -> int:
    last: int | None = model.objects.aggregate(last=Max("pk"))["last"]
    return last or 0


def _touched(items: Iterable[Item]) -> tuple[dict[int, set[str]], set[int]]:
    """Advisories that share ids with items, by pk; and those that wait for one's score.

    An advisory waits that comes from several others (`upstream`) and has no score of its own.
    """
    texts = list({text for item in items for text in item.report.same})
    standing: dict[int, set[str]] = {}
    waiting = set()
    for pk, text, upstream, score in rows.select(_TOUCHED, texts):
        if not upstream:
            standing.setdefault(pk, set()).add(text)
        elif score is None:
            waiting.add(pk)
    return standing, waiting


def _groups(items: Sequence[Item], standing: dict[int, set[str]]) -> list[_Group]:
    advisories = sorted(standing)
    keys = [*(item.report.same for item in items), *(standing[pk] for pk in advisories)]
    groups = []
    for places in components(keys):
        mine = [items[place] for place in places if place < len(items)]
        present = [advisories[place - len(items)] for place in places if place >= len(items)]
        groups.append(_Group(mine, present))
    return groups


def _summaries(advisories: Sequence[int]) -> dict[int, Summary]:
    # Without instances: nearly every second record joins an advisory that stands already.
    stored = Advisory.objects.filter(pk__in=advisories).values_list(
        *("pk", "name", "score", "score_version", "malware"),
        *("withdrawn", "modified", "published", "summary"),
    )
    return {
        pk: Summary(
            name=name,
            score=None if score is None else Score(score, ScoreVersion(version)),
            malware=malware,
            withdrawn=withdrawn,
            modified=modified,
            published=published,
            text=text,
        )
        for pk, name, score, version, malware, withdrawn, modified, published, text in stored
    }


def _summed(group: _Group, before: dict[int, Summary]) -> Summary:
    parts = [before[pk] for pk in group.standing]
    return reduce(merged, [*parts, *(Summary.of(item.report) for item in group.items)])


def _with_upstream_scores(groups: Sequence[_Group], summaries: Sequence[Summary]) -> list[Summary]:
    """An advisory without a score has the best of those that it comes from."""
    wanting = {
        place: {text for item in group.items for text in item.report.upstream}
        for place, (group, summary) in enumerate(zip(groups, summaries, strict=True))
        if summary.score is None and not summary.withdrawn
    }
    texts = {text for upstream in wanting.values() for text in upstream}
    if not texts:
        return list(summaries)
    scores: dict[str, Score | None] = {
        text: Score(float(score or 0), ScoreVersion(version))
        for text, score, version in Identifier.objects.filter(
            text__in=texts, upstream=False, record__advisory__score__isnull=False
        ).values_list("text", "record__advisory__score", "record__advisory__score_version")
    }
    for group, summary in zip(groups, summaries, strict=True):
        scores.update((text, summary.score) for item in group.items for text in item.report.same)
    return [
        msgspec.structs.replace(summary, score=best(scores.get(text) for text in wanting[place]))
        if wanting.get(place)
        else summary
        for place, summary in enumerate(summaries)
    ]


def _values(summary: Summary, as_stored: rows.TimeAdapter) -> tuple[object, ...]:
    """In the order of `_SUMMARY`."""
    score = summary.score
    return (
        summary.name,
        str(severity_of(score)),
        score.value if score else None,
        str(score.version) if score else "",
        summary.malware,
        summary.withdrawn,
        as_stored(summary.modified),
        as_stored(summary.published),
        summary.text,
    )


def _packages_of(
    groups: Sequence[_Group], summaries: Sequence[Summary], before: dict[int, Summary]
) -> set[Package]:
    """The packages of new records, and all those of advisories whose score or class changed."""
    packages = {
        (affected.ecosystem, affected.name)
        for group in groups
        for item in group.items
        for affected in item.report.affected
    }
    rescored = [
        group.standing[0]
        for group, summary in zip(groups, summaries, strict=True)
        if group.standing and _differs(before[group.standing[0]], summary)
    ]
    if rescored:
        stored = AffectedPackage.objects.filter(record__advisory__in=rescored)
        packages |= set(stored.values_list("ecosystem", "name"))
    return packages


def _differs(before: Summary, after: Summary) -> bool:
    return (before.name, before.score, before.malware) != (after.name, after.score, after.malware)
