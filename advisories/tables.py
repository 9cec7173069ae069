"""Writes what is no record of a vulnerability: the name mapping, and what people decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from advisories import change_log
from advisories.bundle import CurationLine, curation_line
from advisories.change_log import Changes
from advisories.formats.mapping import Names
from advisories.formats.openvex import Read
from advisories.formats.purl import PYPI
from advisories.formats.report import BadRecord, check_id, check_time, shown
from advisories.formats.statement import FAMILIES, LONGEST_REASON, Status
from advisories.lease import Lease
from advisories.matching.facts import spec_test
from advisories.models import LONGEST_PACKAGE, Curation, Mapping
from advisories.store import Written
from ecosystems.errors import SpecError
from history.models import EventType, record

BATCH = 500
"""Rows of one transaction."""
LONGEST_SPEC = 200
LONGEST_FILE = 300

_Item = TypeVar("_Item")


def write_mapping(
    names: dict[str, Names], written: Written, lease: Lease, *, by_hand: bool
) -> None:
    """Take over the entries of a mapping; those that it does not have stay."""
    for batch in _batches(names.items()):
        with transaction.atomic():
            lease.renew()
            stored = {
                row.conda_name: row
                for row in Mapping.objects.filter(
                    by_hand=by_hand, conda_name__in=[name for name, _ in batch]
                )
            }
            fresh, changed = [], []
            before: dict[str, list[str] | None] = {}
            for name, projects in batch:
                row = stored.get(name)
                value = None if projects is None else list(projects)
                if row is None:
                    fresh.append(Mapping(conda_name=name, by_hand=by_hand, projects=value))
                elif row.projects != value:
                    before[name] = row.projects
                    row.projects, row.changed_at = value, timezone.now()
                    changed.append(row)
            # In bulk: conda-forge's mapping has some tens of thousands of entries.
            Mapping.objects.bulk_create(fresh)
            Mapping.objects.bulk_update(changed, ["projects", "changed_at"])
            conda_names = {("conda", row.conda_name) for row in (*fresh, *changed)}
            note_mapped({row.conda_name: row.projects for row in (*fresh, *changed)}, before)
        written.added += len(fresh)
        written.updated += len(changed)
        written.unchanged += len(batch) - len(fresh) - len(changed)
        written.packages |= conda_names


def note_mapped(after: dict[str, list[str] | None], before: dict[str, list[str] | None]) -> None:
    """Log that conda packages hold other Python projects now; in the transaction of the change."""
    projects = {name: {*(after[name] or ()), *(before.get(name) or ())} for name in after}
    every = {(PYPI, project) for of_name in projects.values() for project in of_name}
    malware = {project for _, project in change_log.with_malware(every)}
    names = {("conda", name) for name in after}
    malicious = {("conda", name) for name in after if projects[name] & malware}
    change_log.note(Changes(names=names, malware=malicious))


def note_curated(names: set[tuple[str, str]]) -> None:
    """Log that somebody decided about packages; in the transaction of the change."""
    # The advisory may be of malware: they are few, so that is assumed.
    change_log.note(Changes(names=names, malware=set(names)))


def write_statements(read: Read, written: Written, lease: Lease) -> None:
    """Take over the statements of a VEX document in place of what it said before."""
    now = timezone.now()
    row_ids: set[int] = set()
    for batch in _batches(read.statements):
        lines = [
            CurationLine(
                advisory=statement.advisory,
                family=statement.family,
                package=statement.package,
                status=statement.status,
                author=read.author,
                created_at=now,
                spec=statement.spec,
                filename=statement.filename,
                reason=statement.reason,
                document=read.id,
            )
            for statement in batch
        ]
        row_ids |= _write_lines(lines, written, lease)
    # After the new ones are written: meanwhile a file is judged by both, never by neither.
    _forget_statements(read, row_ids, written, lease)
    record(
        EventType.CVE_UPDATED,
        actor=read.author,
        data={"document": read.id, "statements": len(read.statements)},
    )


def write_curations(texts: Iterable[bytes], written: Written, lease: Lease) -> None:
    """Take over curations of a bundle that are not here yet."""
    lines = []
    for text in texts:
        try:
            lines.append(curation_line(text))
        except BadRecord as error:
            written.note_broken(error)
    for batch in _batches(lines):
        _write_lines(batch, written, lease, by_time=True)


def _write_lines(
    lines: Sequence[CurationLine], written: Written, lease: Lease, *, by_time: bool = False
) -> set[int]:
    """Write what is new; the ids of the rows that say what `lines` say.

    `by_time`: the same words of another time are another curation.
    """
    checked = []
    for line in lines:
        try:
            checked.append(curation(line))
        except BadRecord as error:
            written.note_broken(error)
    fresh: dict[tuple[object, ...], Curation] = {}
    row_ids = set()
    with transaction.atomic():
        lease.renew()
        stored = {
            _identity(row, by_time=by_time): row.pk
            for row in Curation.objects.filter(package__in={row.package for row in checked})
        }
        for row in checked:
            key = _identity(row, by_time=by_time)
            if key in stored or key in fresh:
                written.unchanged += 1
                row_ids.add(stored.get(key, 0))
            else:
                fresh[key] = row
        Curation.objects.bulk_create(fresh.values())
        names = {(row.family, row.package) for row in fresh.values()}
        note_curated(names)
    written.added += len(fresh)
    written.packages |= names
    return row_ids | {row.pk for row in fresh.values()}


def curation(line: CurationLine) -> Curation:
    """A checked curation, not saved yet; `BadRecord` says what is wrong."""
    check_id(line.advisory)
    # The columns' lengths are checked here, since SQLite does not.
    fits = (
        line.family in FAMILIES.values()
        and line.status in list(Status)
        and 0 < len(line.package) <= LONGEST_PACKAGE
        and len(line.spec) <= LONGEST_SPEC
        and len(line.filename) <= LONGEST_FILE
        and not (line.spec and line.filename)
        and all(text.isprintable() for text in (line.package, line.spec, line.filename))
    )
    if not fits:
        raise BadRecord("its family, package, status or scope cannot be used", line.advisory)
    if line.spec:
        try:
            spec_test(line.family, line.spec)
        except SpecError as error:
            raise BadRecord(str(error), line.advisory) from error
    return Curation(
        advisory=line.advisory,
        family=line.family,
        package=line.package,
        spec=line.spec,
        filename=line.filename,
        status=line.status,
        author=shown(line.author, 200),
        reason=shown(line.reason, LONGEST_REASON),
        document=shown(line.document, 300),
        created_at=check_time(line.created_at),
    )


def _identity(row: Curation, *, by_time: bool) -> tuple[object, ...]:
    scope = (row.advisory, row.family, row.package, row.spec, row.filename)
    said = (row.status, row.author, row.reason, row.document)
    return (*scope, *said, row.created_at if by_time else None)


def _forget_statements(read: Read, row_ids: set[int], written: Written, lease: Lease) -> None:
    """Delete what the document said before and does not say any more."""
    # Without an id nobody can tell which statements were of the same document.
    if not read.id:
        return
    # Both: a document's id is unique for its author only, and nobody may delete another's words.
    rows = Curation.objects.filter(document=read.id, author=read.author)
    gone = [row for row in rows if row.pk not in row_ids]
    for batch in _batches(gone):
        with transaction.atomic():
            lease.renew()
            Curation.objects.filter(pk__in=[row.pk for row in batch]).delete()
            names = {(row.family, row.package) for row in batch}
            note_curated(names)
        written.packages |= names


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
