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

import zstandard
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from channels import blobs, pins
from channels.models import Blob, Channel, Document, Package, Publication
from channels.states import OWNED
from ecosystems import registry
from ecosystems.progress import never_stop
from ecosystems.records import Record
from mirrors.models import Mirror, Preview, Run, Snapshot, Upstream
from publishing.inputs import gather
from publishing.judge import judged
from publishing.outcomes import Case, digest, digests

BATCH = 500
NAMES_AT_ONCE = 100
CLOCKS_DIFFER = timedelta(minutes=10)
"""So far the clocks of the hosts of one server may be apart."""

Item = TypeVar("Item")


def sweep_blobs() -> None:
    """One round: mark, condemn, delete."""
    # Asked before the roots: what those who have ended by now wrote is among the roots.
    since = begun_since()
    grace = timedelta(hours=settings.BLOB_GRACE_HOURS)
    loose = _loose(_roots())
    now = timezone.now()
    for some in _batches(Blob.objects.order_by("pk").values_list("pk", flat=True).iterator()):
        unneeded = [pk for pk in some if pk in loose]
        marked = Blob.objects.filter(pk__in=some, unreferenced_at__isnull=False)
        marked.exclude(pk__in=unneeded).update(unreferenced_at=None, deleting=False)
        rows = Blob.objects.filter(pk__in=unneeded, deleting=False)
        rows.filter(unreferenced_at__lt=now - grace).update(deleting=True, unreferenced_at=now)
        rows.filter(unreferenced_at=None).update(unreferenced_at=now)
    before = since - min(grace, CLOCKS_DIFFER)
    for blob in Blob.objects.filter(deleting=True, unreferenced_at__lt=before):
        _remove(blob)


def begun_since() -> datetime:
    """Everybody who is at work now, and may rely on what was here then, began at or after this."""
    earliest: datetime = timezone.now()
    for model in (Run, Publication, Preview):
        rows = model._default_manager.filter(state__in=OWNED)
        for moment in rows.values_list(Coalesce("started_at", "created_at"), flat=True):
            earliest = min(earliest, moment)
    return earliest


def _remove(blob: Blob) -> None:
    """The row says `deleting`, so nobody relies on the bytes: first they go, then the row."""
    with transaction.atomic():
        rows = Blob.objects.filter(pk=blob.pk, deleting=True)
        if not rows.update(deleting=True):
            return
        if blobs.discard(blob):
            rows.delete()
        else:
            rows.update(deleting=False, unreferenced_at=None)


def _loose(needed: set[str]) -> set[str]:
    """The blobs that nothing needs."""
    # Where an index has no SHA-256, what names a file is its MD5.
    known = Blob.objects.values_list("pk", "md5", "file").iterator()
    loose = {(pk, md5, file) for pk, md5, file in known if not {pk, md5} & needed}
    names = {name for pk, md5, file in loose if file for name in (pk, md5) if name}
    wanted = _wanted_by_mirrors(names) if names else set()
    return {pk for pk, md5, _ in loose if not {pk, md5} & wanted}


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
    """Files that any kept row lists, as far as they are here."""
    rows = Package.objects.filter(shard__isnull=False).exclude(present=0, stale=False)
    expand = zstandard.ZstdDecompressor()
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    values = rows.values_list("family", "section", "name", "sources", "shard_id", "shard__body")
    for family, section, name, sources, shard, body in values.iterator(chunk_size=100):
        # Only of the same origin has the same body the same files.
        if (shard, str(sources)) not in seen:
            seen.add((shard, str(sources)))
            raw = expand.decompress(bytes(body))
            records = registry.of_family(family).records(raw, section=section, name=name)
            found.update(_digests(records, [entry.file_source_id for entry in sources]))
    return found


def _digests(records: Iterable[object], origins: list[int]) -> Iterator[str]:
    """What names the bytes of these records, which come from any of these origins."""
    bare: list[str] = []
    for record in records:
        if isinstance(record, Record):
            yield from filter(None, digests(record))
            if not digest(record):
                bare.append(record.filename)
    yield from pins.known((pk, name) for pk in origins for name in bare).values()


def _wanted_by_mirrors(loose: set[str]) -> set[str]:
    """Those of the `loose` files that an active mirror keeps, though nothing lists them yet."""
    found: set[str] = set()
    active = Mirror.objects.filter(mode=Mirror.Mode.ACTIVE, deleted_at=None)
    channels = Channel.objects.filter(pk__in=active.values("channel"))
    for channel in channels.select_related("filter", "parent__filter"):
        inputs = gather(channel)
        for ecosystem in inputs.ecosystems():
            for section in inputs.sections(ecosystem):
                case = inputs.case(ecosystem, section)
                if any(source.active for source in case.sources):
                    found.update(_wanted_in(case, loose))
    return found


def _wanted_in(case: Case, loose: set[str]) -> Iterator[str]:
    """Judges only names of which a loose file is listed: of most there is none."""
    for names in _batches(case.names(), NAMES_AT_ONCE):
        some = [name for name, named in _named(case, names).items() if not loose.isdisjoint(named)]
        for batch in judged(case, some, stop=never_stop):
            for part in (part for one in batch for part in one.parts if part.source.active):
                yield from _digests(part.kept(), [part.source.file_source_id])


def _named(case: Case, names: list[str]) -> dict[str, set[str]]:
    """What names the bytes of all that active mirrors' upstreams list, by package name."""
    records = [
        (name, source.file_source_id, record)
        for name in names
        for source in case.sources
        if source.active and name in source.pack.names()
        for record in case.ecosystem.records(
            source.pack.read(name), section=case.section, name=name
        )
        if isinstance(record, Record)
    ]
    pins.fill((origin, record) for _, origin, record in records)
    found: dict[str, set[str]] = {}
    for name, _, record in records:
        found.setdefault(name, set()).update(digests(record))
    return found


def _batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
