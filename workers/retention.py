"""Remove what nothing needs any more: old revisions, rows without a parent, bytes.

Unreferenced is not deleted: a blob is marked first, and goes only when it is
still unreferenced after the grace time. Kept are: every revision for some
hours, then one a day, pinned ones for ever; the accepted and the held
snapshots of every mirror, and those of its last runs.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, Min, Model, OuterRef, QuerySet
from django.utils import timezone

from accounts import retention
from channels import readership
from channels.batches import BATCH_ROWS, batched
from channels.models import (
    FOREVER,
    Channel,
    Document,
    Download,
    FileSource,
    Package,
    Publication,
    Refusal,
    Revision,
    Shard,
    SourceLink,
)
from channels.states import ACTIVE, JobState
from mirrors.models import (
    AcceptedSnapshot,
    Failure,
    FetchedPackage,
    LogLine,
    Mirror,
    Preview,
    Run,
    Snapshot,
    Upstream,
)
from workers import collect_blobs, collect_files

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)

# Of a mirror, the last ones: their pages list files, failures and log lines.
RUNS_WITH_LISTS = 10
PAGES_AT_ONCE = 1000
MOST_STEPS = 10_000


def clean_up() -> None:
    """One round of everything; each part may be killed and is finished by the next round."""
    for part in (
        # From the top down: each part frees what the next ones look at.
        forget_mirrors,
        forget_channels,
        forget_source_links,
        retire_revisions,
        forget_snapshots,
        forget_details_of_runs,
        forget_expired_rows,
        collect_blobs.sweep_blobs,
        collect_files.sweep,
        retention.purge,
        give_back_space,
    ):
        try:
            part()
        except IntegrityError as error:
            # Somebody has begun to use what was found unused; that is for the next round.
            log.warning("clean-up left something for later: %s", error)


def forget_mirrors() -> None:
    """Delete the rows of deleted mirrors once their channel no longer shows them."""
    for mirror in Mirror.objects.exclude(deleted_at=None).select_related("channel", "filter"):
        channel = mirror.channel
        # A channel that is frozen or not yet published again still shows what the mirror brought.
        shown = channel.deleted_at is None and (
            channel.frozen_at is not None or channel.requested_version > channel.published_version
        )
        if shown or mirror.runs.filter(state__in=ACTIVE).exists():
            continue
        with transaction.atomic():
            for rows in (
                AcceptedSnapshot.objects.filter(mirror=mirror),
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
    for channel in Channel.objects.exclude(deleted_at=None).filter(mirrors=None, subchannels=None):
        if Publication.objects.filter(channel=channel, state=JobState.RUNNING).exists():
            continue
        for rows in (
            Package.objects.filter(channel=channel),
            Document.objects.filter(channel=channel),
            Download.objects.filter(channel=channel),
        ):
            _delete(rows)
        with transaction.atomic():
            channel.delete()
            channel.filter.delete()


def forget_source_links() -> None:
    """Delete the links of mirrors that read their channel no longer, once nothing shows it."""
    for link in SourceLink.objects.select_related("channel"):
        reads = Mirror.objects.filter(pk=link.mirror, deleted_at=None)
        reads = reads.filter(upstream__channel=link.source_id)
        if reads.exists() or _shows(link):
            continue
        with transaction.atomic():
            link.delete()
            readership.update_restricted(link.channel)


def _shows(link: SourceLink) -> bool:
    """Whether a kept revision was judged from what came this way, or may have been."""
    for inputs in link.channel.revisions.values_list("inputs", flat=True):
        part = inputs.get("mirrors", {}).get(str(link.mirror))
        if part is None:
            continue
        used = list(part["sections"].values())
        others = Snapshot.objects.filter(pk__in=used).exclude(upstream__channel=None)
        if link.source_id is not None:
            others = others.filter(upstream__channel=link.source_id)
        remaining = Snapshot.objects.filter(pk__in=used).count()
        # A snapshot that is deleted says no longer whose it was: it may have been the channel's.
        if others.exists() or remaining < len(used):
            return True
    return False


def retire_revisions() -> None:
    """Forget revisions past their time, and the rows only they showed."""
    now = timezone.now()
    recent = now - timedelta(hours=settings.KEEP_HOURS)
    old = now - timedelta(days=settings.KEEP_DAYS)
    for channel in Channel.objects.all():
        past = channel.revisions.exclude(number=channel.current)
        past = past.filter(pinned=False, retired_at__lt=recent)
        gone = [revision.pk for revision in past if not _ended_a_day(revision, since=old)]
        # In batches: SQLite takes a limited number of parameters, and nobody writes meanwhile.
        for batch in batched(gone):
            past.filter(pk__in=batch).delete()
        if gone or past.exists():
            _forget_intervals(channel)


def _ended_a_day(revision: Revision, *, since: datetime) -> bool:
    """Whether it was current when a day ended, and so is the channel's state of that day."""
    retired = revision.retired_at
    return retired is None or (retired >= since and revision.created_at.date() < retired.date())


def _forget_intervals(channel: Channel) -> None:
    """Delete rows of intervals that hold no kept revision."""
    kept_revisions = Revision.objects.filter(
        channel=channel,
        number__gte=OuterRef("added_in"),
        number__lt=OuterRef("removed_in"),
    )
    for model in (Package, Document):
        rows = model.objects.filter(
            channel=channel, removed_in__lte=channel.current, removed_in__lt=FOREVER
        )
        _delete(rows.exclude(Exists(kept_revisions)))


def forget_snapshots() -> None:
    """Delete snapshots that no mirror publishes from, holds, or may still list files of."""
    needed = set(AcceptedSnapshot.objects.values_list("snapshot_id", flat=True))
    for mirror in Mirror.objects.filter(deleted_at=None):
        needed.update(held["snapshot"] for held in mirror.held.values() if held["snapshot"])
        for run in mirror.runs.order_by("-number")[:RUNS_WITH_LISTS]:
            needed.update(run.snapshots.values())
    for upstream in Upstream.objects.all():
        _forget_pages(upstream)
        _forget_snapshots_of(upstream, needed)


def _forget_pages(upstream: Upstream) -> None:
    """Delete pages that were asked for before every snapshot that is published from."""
    accepted = AcceptedSnapshot.objects.filter(snapshot__upstream=upstream)
    oldest = accepted.aggregate(oldest=Min("snapshot__created_at"))["oldest"]
    if oldest is not None:
        FetchedPackage.objects.filter(upstream=upstream, created_at__lt=oldest).delete()


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
    to_keep = needed | set(newest.values()) if used else needed
    # Young ones stay: a run stores its snapshots first, and names them later.
    lately = timezone.now() - timedelta(hours=1)
    old = rows.filter(created_at__lt=lately).values_list("pk", flat=True)
    gone = [pk for pk in old if pk not in to_keep]
    for batch in batched(gone):
        Snapshot.objects.filter(pk__in=batch).delete()
    if not used and not rows.exists():
        upstream.delete()


def forget_details_of_runs() -> None:
    """Delete the failures and log lines of old runs; a mirror's last runs keep theirs."""
    old = timezone.now() - timedelta(days=settings.KEEP_DAYS)
    for mirror in Mirror.objects.all():
        last = mirror.runs.order_by("-number").values_list("pk", flat=True)[:RUNS_WITH_LISTS]
        for model in (Failure, LogLine):
            rows = model._default_manager.filter(run__mirror=mirror, run__ended_at__lt=old)
            _delete(rows.exclude(run__in=list(last)))


def forget_expired_rows() -> None:
    """Delete old previews, refusals and publications, and shards and sources without use."""
    now = timezone.now()
    Preview.objects.filter(created_at__lt=now - timedelta(hours=settings.PREVIEW_HOURS)).delete()
    Refusal.objects.filter(until__lt=now).delete()
    ended = now - timedelta(hours=settings.KEEP_HOURS)
    _delete(Publication.objects.filter(ended_at__lt=ended))
    packages = Package.objects.filter(shard=OuterRef("pk"))
    _delete(Shard.objects.exclude(Exists(packages)))
    used = set(Snapshot.objects.values_list("file_source_id", flat=True))
    for sources in Package.objects.values_list("sources", flat=True).distinct().iterator():
        used.update(entry.file_source_id for entry in sources)
    # A run makes its file source first and what names it later.
    if not Run.objects.filter(state__in=ACTIVE).exists():
        FileSource.objects.exclude(pk__in=used).delete()


def give_back_space() -> None:
    """Let SQLite give pages that hold nothing any more back to the disk; others do it themselves.

    In small steps, because nobody else writes during one.
    """
    if connection.vendor != "sqlite":
        return
    # Bounded, so that a round ends also while others go on freeing pages.
    for _ in range(MOST_STEPS):
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA freelist_count")
            if not cursor.fetchone()[0]:
                return
            # One page is freed with each row that is read.
            cursor.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
            cursor.fetchall()


def _delete(rows: QuerySet[Row]) -> None:
    # In batches, each a transaction of its own: others write in between.
    while batch := list(rows.values_list("pk", flat=True)[:BATCH_ROWS]):
        rows.filter(pk__in=batch).delete()
