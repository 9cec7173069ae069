"""Free the disk of bytes that nothing needs, also on a server that is never idle.

A blob that no root names is marked; after the grace time it is condemned, and from then on
nobody finds it here any more; it goes once all who may have found it before have ended. Whoever
brings the same bytes again saves it at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from channels import blobs, pins, shards
from channels.models import Blob, Channel, Document, Package, Publication
from channels.states import OWNED
from ecosystems import registry
from ecosystems.progress import never_stop
from ecosystems.records import Record
from mirrors.models import Mirror, Preview, Run, Snapshot, Upstream
from publishing.inputs import gather
from publishing.judge import judge_packages
from publishing.outcomes import SectionInputs, digest, digests

BATCH = 500
# Their records are in memory together; some packages have thousands.
NAMES_AT_ONCE = 100
CLOCK_SKEW = timedelta(minutes=10)
"""So far the clocks of the hosts of one server may be apart."""

Item = TypeVar("Item")


def sweep_blobs() -> None:
    """One round: mark, condemn, delete."""
    # Asked before the roots: what those who have ended by now wrote is among the roots.
    since = oldest_work_began()
    grace = timedelta(hours=settings.BLOB_GRACE_HOURS)
    unneeded = _unneeded(_roots())
    now = timezone.now()
    for batch in _batches(Blob.objects.order_by("pk").values_list("pk", flat=True).iterator()):
        to_mark = [pk for pk in batch if pk in unneeded]
        marked = Blob.objects.filter(pk__in=batch, unreferenced_at__isnull=False)
        marked.exclude(pk__in=to_mark).update(unreferenced_at=None, deleting=False)
        rows = Blob.objects.filter(pk__in=to_mark, deleting=False)
        rows.filter(unreferenced_at__lt=now - grace).update(deleting=True, unreferenced_at=now)
        rows.filter(unreferenced_at=None).update(unreferenced_at=now)
    # With a margin, because the clocks of different hosts wrote these times.
    before = since - min(grace, CLOCK_SKEW)
    for blob in Blob.objects.filter(deleting=True, unreferenced_at__lt=before):
        _remove(blob)


def oldest_work_began() -> datetime:
    """Everybody who is at work now, and may rely on what was here then, began at or after this."""
    earliest: datetime = timezone.now()
    for model in (Run, Publication, Preview):
        rows = model._default_manager.filter(state__in=OWNED)
        for moment in rows.values_list(Coalesce("started_at", "created_at"), flat=True):
            earliest = min(earliest, moment)
    return earliest


def _remove(blob: Blob) -> None:
    """The row says `deleting`, so nobody relies on the bytes: first they go, then the row."""
    # The update locks the row: whoever brings the same bytes now waits until they are gone.
    with transaction.atomic():
        rows = Blob.objects.filter(pk=blob.pk, deleting=True)
        if not rows.update(deleting=True):
            return
        if blobs.delete_bytes(blob):
            rows.delete()
        else:
            rows.update(deleting=False, unreferenced_at=None)


def _unneeded(needed: set[str]) -> set[str]:
    """The blobs that nothing needs, by SHA-256; `needed` are SHA-256 and MD5 hashes."""
    # Where an index has no SHA-256, what names a file is its MD5.
    rows = Blob.objects.values_list("pk", "md5", "file").iterator()
    unreferenced = {(pk, md5, file) for pk, md5, file in rows if not {pk, md5} & needed}
    # Judging is dear, so only for blobs that are files and that no row names.
    hashes = {name for pk, md5, file in unreferenced if file for name in (pk, md5) if name}
    kept_by_mirrors = _kept_by_mirrors(hashes) if hashes else set()
    return {pk for pk, md5, _ in unreferenced if not {pk, md5} & kept_by_mirrors}


def _roots() -> set[str]:
    """The hashes of all blobs that a row names, or a package that a row lists."""
    needed = set(Document.objects.values_list("blob_id", flat=True))
    for pack, extras in Snapshot.objects.values_list("pack_id", "extras"):
        needed.add(pack)
        needed.update(extras.values())
    for extras in Upstream.objects.values_list("extras", flat=True):
        needed.update(extras.values())
    return needed | _listed_files()


def _listed_files() -> set[str]:
    """The hashes of the files that any row lists, as far as they are here."""
    rows = Package.objects.filter(shard__isnull=False).exclude(present=0, stale=False)
    hashes: set[str] = set()
    visited: set[tuple[str, str]] = set()
    values = rows.values_list("family", "section", "name", "sources", "shard_id", "shard__body")
    for family, section, name, sources, shard, stored in values.iterator(chunk_size=100):
        # Only of the same sources has the same body the same files.
        if (shard, str(sources)) not in visited:
            visited.add((shard, str(sources)))
            body = shards.decompress(stored)
            records = registry.of_family(family).records(body, section=section, name=name)
            hashes.update(_hashes(records, [entry.file_source_id for entry in sources]))
    return hashes


def _hashes(records: Iterable[object], sources: list[int]) -> Iterator[str]:
    """What names the bytes of these records, which come from any of these sources."""
    unpinned: list[Record] = []
    for record in records:
        if isinstance(record, Record):
            yield from filter(None, digests(record))
            if not digest(record):
                unpinned.append(record)
    files = ((pk, record.filename, record.checksum) for pk in sources for record in unpinned)
    yield from pins.pinned_hashes(files).values()


def _kept_by_mirrors(hashes: set[str]) -> set[str]:
    """Those of the hashes whose files an active mirror keeps, though nothing lists them yet."""
    needed: set[str] = set()
    active = Mirror.objects.filter(mode=Mirror.Mode.ACTIVE, deleted_at=None)
    channels = Channel.objects.filter(pk__in=active.values("channel"))
    for channel in channels.select_related("filter", "parent__filter"):
        inputs = gather(channel)
        for ecosystem in inputs.ecosystems():
            for name in inputs.sections(ecosystem):
                section = inputs.section(ecosystem, name)
                if any(source.active for source in section.sources):
                    needed.update(_kept_in(section, hashes))
    return needed


def _kept_in(section: SectionInputs, hashes: set[str]) -> Iterator[str]:
    """Judges only packages of which such a file is listed: of most there is none."""
    for names in _batches(section.names(), NAMES_AT_ONCE):
        listed = _hashes_by_package(section, names)
        candidates = [name for name in listed if not hashes.isdisjoint(listed[name])]
        for batch in judge_packages(section, candidates, stop=never_stop):
            for part in (part for package in batch for part in package.sources):
                if part.source.active:
                    yield from _hashes(part.kept(), [part.source.file_source_id])


def _hashes_by_package(section: SectionInputs, names: list[str]) -> dict[str, set[str]]:
    """What names the bytes of all that active mirrors' upstreams list, by package name."""
    records = [
        (name, source.file_source_id, record)
        for name in names
        for source in section.sources
        if source.active and name in source.pack.names()
        for record in section.ecosystem.records(
            source.pack.read(name), section=section.section, name=name
        )
        if isinstance(record, Record)
    ]
    pins.apply_pins((file_source_id, record) for _, file_source_id, record in records)
    by_package: dict[str, set[str]] = {}
    for name, _, record in records:
        by_package.setdefault(name, set()).update(digests(record))
    return by_package


def _batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
