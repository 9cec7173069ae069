"""When files appeared: of files whose index does not say it, the day on which we first saw them.

Nothing is written of what is there when an index is first read, of files that state their time,
and of unchanged packages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence

from django.db.models import Q
from django.utils import timezone

from channels import blobs
from ecosystems import pack as packs
from ecosystems.base import Ecosystem
from ecosystems.pack import Pack
from ecosystems.records import Invalid, Record, same_bytes
from mirrors.models import FileAppearance, IndexHistory, Snapshot

BATCH = 500

Appearances = dict[tuple[str, str], int]
"""Of one package: when files appeared (ms), by file name and hash."""


def now() -> int:
    """The present time in milliseconds since 1970."""
    return int(timezone.now().timestamp() * 1000)


def history_of(base_url: str) -> IndexHistory | None:
    """What is kept of the index whose files lie below this address."""
    return IndexHistory.objects.filter(key=_key(base_url)).first()


def begin(base_url: str) -> IndexHistory:
    """The history of an index, which begins now if it was never read before."""
    history, _ = IndexHistory.objects.get_or_create(
        key=_key(base_url), defaults={"first_read_at": now()}
    )
    return history


def load(history: IndexHistory, names: Collection[str]) -> dict[str, Appearances]:
    """When the files of these packages appeared, by package."""
    rows = FileAppearance.objects.filter(index=history, name__in=names)
    appearances: dict[str, Appearances] = {}
    for name, filename, digest, at in rows.values_list("name", "filename", "digest", "appeared_at"):
        appearances.setdefault(name, {})[filename, digest] = at
    return appearances


def appeared_at(appearances: Appearances, record: Record) -> int | None:
    """When the record's file appeared; None where it was there from the first."""
    # An index may state another hash later, so each that it states now is looked for.
    for digest in (record.sha256, record.md5, _digest(record), ""):
        if (at := appearances.get((record.filename, digest))) is not None:
            return at
    return None


def rows_of(
    history: IndexHistory, name: str, records: Iterable[Record | Invalid], at: int
) -> Iterator[FileAppearance]:
    """The rows of those of a package's files that state no time themselves."""
    for record in records:
        if isinstance(record, Record) and record.indexed_at is None:
            yield FileAppearance(
                index=history,
                name=name,
                filename=record.filename,
                digest=_digest(record),
                appeared_at=at,
            )


def write(rows: Sequence[FileAppearance]) -> None:
    """Keep these; what is kept already stays as it is."""
    FileAppearance.objects.bulk_create(rows, ignore_conflicts=True, batch_size=BATCH)


def previous_snapshot(snapshot: Snapshot) -> Snapshot | None:
    """The last one of the same index: of the same scope, else of any that can be read."""
    rows = Snapshot.objects.filter(
        Q(upstream=snapshot.upstream) | Q(file_source__base_url=snapshot.file_source.base_url),
        section=snapshot.section,
    ).exclude(pk=snapshot.pk)
    readable = [row for row in rows.order_by("-pk")[:10] if blobs.path(row.pack_id).exists()]
    same_scope = (row for row in readable if row.scope == snapshot.scope)
    return next(same_scope, next(iter(readable), None))


def since(
    previous: Snapshot, snapshot: Snapshot, ecosystem: Ecosystem, history: IndexHistory
) -> Iterator[FileAppearance]:
    """The rows of the files that `snapshot` lists and `previous` does not."""
    at = now()
    with (
        Pack(blobs.path(previous.pack_id)) as old,
        Pack(blobs.path(snapshot.pack_id)) as new,
    ):
        changes = packs.changed(old, new)
        # What another part of the index has was not looked at before.
        added = changes.added if previous.scope == snapshot.scope else []
        for name in (*added, *changes.replaced):
            before = _by_filename(ecosystem, old, snapshot.section, name)
            fresh = [
                record
                for record in _records(ecosystem, new, snapshot.section, name)
                if not same_bytes(before.get(record.filename), record)
            ]
            yield from rows_of(history, name, fresh, at)


def _digest(record: Record) -> str:
    """What tells the bytes of one name apart: of longer hashes the end is enough."""
    return record.sha256 or record.md5 or record.checksum[-64:]


def _by_filename(ecosystem: Ecosystem, pack: Pack, section: str, name: str) -> dict[str, Record]:
    return {record.filename: record for record in _records(ecosystem, pack, section, name)}


def _records(ecosystem: Ecosystem, pack: Pack, section: str, name: str) -> list[Record]:
    if name not in pack.names():
        return []
    listed = ecosystem.records(pack.read(name), section=section, name=name)
    return [record for record in listed if isinstance(record, Record)]


def _key(base_url: str) -> str:
    return hashlib.sha256(base_url.encode()).hexdigest()
