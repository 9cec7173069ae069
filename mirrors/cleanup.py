"""Remove what nothing needs any more: old revisions, rows without a parent, bytes.

Unreferenced is not deleted: a blob is marked first, and goes only when it is
still unreferenced after the grace time. Kept are: every revision for some
hours, then one a day, pinned ones for ever; the accepted and the held
snapshots of every mirror, and those of its last runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta

import zstandard
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, Min, OuterRef, QuerySet
from django.utils import timezone

from channels import blobs, pins
from channels.models import (
    FOREVER,
    Blob,
    Channel,
    Document,
    Origin,
    Package,
    Publication,
    Refusal,
    Revision,
    Shard,
)
from ecosystems import registry
from ecosystems.base import Record
from mirrors import strays
from mirrors.judge import digest, digests
from mirrors.models import (
    Accepted,
    Failure,
    LogLine,
    Mirror,
    Page,
    Preview,
    Run,
    Snapshot,
    Upstream,
)

log = logging.getLogger(__name__)

BATCH = 500
RUNS_WITH_LISTS = 10


def clean_up() -> None:
    """One round of everything; each part may be killed and is finished by the next round."""
    for part in (
        forget_mirrors,
        forget_channels,
        retire_revisions,
        forget_snapshots,
        forget_small_things,
        sweep_blobs,
        strays.sweep,
    ):
        try:
            part()
        except IntegrityError as error:
            # Somebody has begun to use what was found unused; that is for the next round.
            log.warning("clean-up left something for later: %s", error)


def forget_mirrors() -> None:
    """Delete the rows of deleted mirrors once their channel no longer shows them."""
    for mirror in Mirror.objects.exclude(deleted=None).select_related("channel", "filter"):
        channel = mirror.channel
        shown = channel.deleted is None and (
            channel.frozen is not None or channel.wanted > channel.published
        )
        if shown or mirror.runs.filter(state__in=Run.ACTIVE).exists():
            continue
        with transaction.atomic():
            for rows in (
                Accepted.objects.filter(mirror=mirror),
                Preview.objects.filter(mirror=mirror),
            ):
                rows.delete()
            for run in mirror.runs.all():
                _delete(LogLine.objects.filter(run=run))
                _delete(Failure.objects.filter(run=run))
            mirror.delete()
            mirror.filter.delete()


def forget_channels() -> None:
    """Delete deleted channels, their rows in small batches."""
    for channel in Channel.objects.exclude(deleted=None).filter(mirrors=None, subchannels=None):
        if Publication.objects.filter(channel=channel, state="running").exists():
            continue
        for rows in (
            Package.objects.filter(channel=channel),
            Document.objects.filter(channel=channel),
        ):
            _delete(rows)
        with transaction.atomic():
            channel.delete()
            channel.filter.delete()


def retire_revisions() -> None:
    """Forget revisions past their time, and the rows only they showed."""
    now = timezone.now()
    recent, old = (
        now - timedelta(hours=settings.KEEP_HOURS),
        now - timedelta(days=settings.KEEP_DAYS),
    )
    for channel in Channel.objects.all():
        revisions = list(
            channel.revisions.exclude(number=channel.current)
            .filter(pinned=False, retired__lt=recent)
            .order_by("-number")
        )
        days: set[object] = set()
        for revision in revisions:
            day = revision.created.date()
            if revision.created >= old and day not in days:
                days.add(day)
                continue
            revision.delete()
        if revisions:
            _forget_intervals(channel)


def _forget_intervals(channel: Channel) -> None:
    """Delete rows of intervals that hold no kept revision."""
    kept = Revision.objects.filter(
        channel=channel,
        number__gte=OuterRef("added_in"),
        number__lt=OuterRef("removed_in"),
    )
    for model in (Package, Document):
        rows = model.objects.filter(
            channel=channel, removed_in__lte=channel.current, removed_in__lt=FOREVER
        )
        _delete(rows.exclude(Exists(kept)))


def forget_snapshots() -> None:
    """Delete snapshots that no mirror publishes from, holds, or may still list files of."""
    needed = set(Accepted.objects.values_list("snapshot_id", flat=True))
    for mirror in Mirror.objects.filter(deleted=None):
        needed.update(held["snapshot"] for held in mirror.held.values() if held["snapshot"])
        for run in mirror.runs.order_by("-number")[:RUNS_WITH_LISTS]:
            needed.update(run.snapshots.values())
    for upstream in Upstream.objects.all():
        _forget_pages(upstream)
        _forget_snapshots_of(upstream, needed)


def _forget_pages(upstream: Upstream) -> None:
    """Delete pages that were asked for before every snapshot that is published from."""
    accepted = Accepted.objects.filter(snapshot__upstream=upstream)
    oldest = accepted.aggregate(oldest=Min("snapshot__created"))["oldest"]
    if oldest is not None:
        Page.objects.filter(upstream=upstream, created__lt=oldest).delete()


def _forget_snapshots_of(upstream: Upstream, needed: set[int]) -> None:
    """The newest of each section stay as long as somebody may ask the upstream again."""
    used = (
        Mirror.objects.filter(upstream=upstream).exists()
        or Preview.objects.filter(body__upstream=upstream.pk).exists()
    )
    rows = Snapshot.objects.filter(upstream=upstream)
    newest: dict[tuple[str, str], int] = {}
    for pk, section, scope in rows.order_by("pk").values_list("pk", "section", "scope"):
        newest[section, scope] = pk
    kept = needed | set(newest.values()) if used else needed
    lately = timezone.now() - timedelta(hours=1)
    old = rows.filter(created__lt=lately).values_list("pk", flat=True)
    gone = [pk for pk in old if pk not in kept]
    for start in range(0, len(gone), BATCH):
        Snapshot.objects.filter(pk__in=gone[start : start + BATCH]).delete()
    if not used and not rows.exists():
        upstream.delete()


def forget_small_things() -> None:
    """Previews, refusals, ended publications and unused shards and origins."""
    now = timezone.now()
    Preview.objects.filter(created__lt=now - timedelta(hours=settings.PREVIEW_HOURS)).delete()
    Refusal.objects.filter(until__lt=now).delete()
    ended = now - timedelta(hours=settings.KEEP_HOURS)
    _delete(Publication.objects.filter(ended__lt=ended))
    packages = Package.objects.filter(shard=OuterRef("pk"))
    if not Publication.objects.filter(state="running").exists():
        _delete(Shard.objects.exclude(Exists(packages)))
    used = set(Snapshot.objects.values_list("origin_id", flat=True))
    for origins in Package.objects.values_list("origins", flat=True).iterator():
        used.update(origin for origin, *_ in origins)
    if not Run.objects.filter(state__in=Run.ACTIVE).exists():
        Origin.objects.exclude(pk__in=used).delete()


def sweep_blobs() -> None:
    """Mark what no root names; delete what has been marked for the grace time."""
    if _busy():
        return
    needed = _roots()
    now = timezone.now()
    grace = timedelta(hours=settings.BLOB_GRACE_HOURS)
    # Where an index has no SHA-256, what names a file is its MD5.
    known = Blob.objects.order_by("pk").values_list("pk", "md5").iterator()
    for batch in _batches(known):
        unneeded = [sha256 for sha256, md5 in batch if not {sha256, md5} & needed]
        marked = Blob.objects.filter(pk__in=[pk for pk, _ in batch], unreferenced__isnull=False)
        marked.exclude(pk__in=unneeded).update(unreferenced=None, deleting=False)
        rows = Blob.objects.filter(pk__in=unneeded)
        rows.filter(unreferenced=None).update(unreferenced=now)
        rows.filter(unreferenced__lt=now - grace).update(deleting=True)
    for blob in Blob.objects.filter(deleting=True, unreferenced__lt=now - grace):
        _remove(blob)


def _busy() -> bool:
    """Whether somebody may be about to name a blob that no row names yet."""
    return (
        Run.objects.filter(state__in=Run.ACTIVE).exists()
        or Publication.objects.filter(state="running").exists()
    )


def _remove(blob: Blob) -> None:
    """The row says `deleting`, so nobody relies on the bytes: first they go, then the row."""
    with transaction.atomic():
        rows = Blob.objects.filter(pk=blob.pk, deleting=True)
        if not rows.update(deleting=True):
            return
        if blobs.discard(blob):
            rows.delete()
        else:
            rows.update(deleting=False, unreferenced=None)


def _roots() -> set[str]:
    """The hashes of all blobs that something needs."""
    needed = set(Document.objects.values_list("blob_id", flat=True))
    for pack, extras in Snapshot.objects.values_list("pack_id", "extras"):
        needed.add(pack)
        needed.update(extras.values())
    for extras in Upstream.objects.values_list("extras", flat=True):
        needed.update(extras.values())
    needed |= _listed_files()
    needed |= _kept_by_mirrors()
    return needed


def _listed_files() -> set[str]:
    """Files that any kept row lists, as far as they are here."""
    rows = Package.objects.filter(shard__isnull=False).exclude(present=0, stale=False)
    expand = zstandard.ZstdDecompressor()
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    values = rows.values_list("family", "section", "name", "origins", "shard_id", "shard__body")
    for family, section, name, origins, shard, body in values.iterator(chunk_size=100):
        # Only of the same origin has the same body the same files.
        if (shard, str(origins)) not in seen:
            seen.add((shard, str(origins)))
            raw = expand.decompress(bytes(body))
            records = registry.of_family(family).records(raw, section=section, name=name)
            found.update(_digests(records, [pk for pk, *_ in origins]))
    return found


def _kept_by_mirrors() -> set[str]:
    """Files of an active mirror's snapshots that are here though nothing lists them yet."""
    from mirrors.inputs import pack  # noqa: PLC0415

    found: set[str] = set()
    for accepted in Accepted.objects.filter(mirror__mode="active", mirror__deleted=None):
        snapshot = accepted.snapshot
        ecosystem = registry.get(accepted.mirror.kind)
        contents = pack(snapshot.pack_id)
        for name in contents.names():
            body = contents.read(name)
            records = ecosystem.records(body, section=snapshot.section, name=name)
            found.update(_digests(records, [snapshot.origin_id]))
    return found


def _digests(records: Iterable[object], origins: list[int]) -> Iterator[str]:
    """What names the bytes of these records, which come from any of these origins."""
    bare: list[str] = []
    for record in records:
        if isinstance(record, Record):
            for known in digests(record):
                if known:
                    yield known
            if not digest(record):
                bare.append(record.filename)
    yield from pins.known((pk, name) for pk in origins for name in bare).values()


def _delete(rows: QuerySet) -> None:  # type: ignore[type-arg]
    while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
        rows.model._default_manager.filter(pk__in=batch).delete()


def _batches(items: Iterable[tuple[str, str]]) -> Iterable[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    for item in items:
        batch.append(item)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
