"""One dispatcher round: reclaim rows whose worker died, start due mirrors, enqueue pending rows.

Every worker does a round every few seconds, and beat asks for one, too. The rows alone decide,
so a round needs neither a broker nor beat.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from channels import notify
from channels.errors import WrongState
from channels.lease import Leased, LivenessMonitor
from channels.models import Channel, Publication
from channels.states import ACTIVE, OWNED, JobState
from delivery.on_demand import pending
from history.models import EventType, record
from mirrors import form_warnings, periodic_tasks, run_control
from mirrors.cron import next_fire
from mirrors.models import Cause, Mirror, Preview, Run
from mirrors.run_control import record_event
from publishing import advisory_changes, advisory_index, publish

log = logging.getLogger(__name__)

ENQUEUE_AGAIN_SECONDS = 15
CLOCK_SKEW = timedelta(seconds=10)
"""How far the clocks of beat's host and a worker's may be apart."""
LOST = "The worker was lost."

# Kept between rounds: a row counts as dead once this process has watched it stand still.
_liveness = LivenessMonitor()
_enqueued: dict[tuple[str, int], float] = {}


def dispatch_round() -> None:
    """Look once at all rows that are not final."""
    # First: a run that nobody would end any more makes the next slot a skipped one.
    reap()
    start_due()
    start_requested_again()
    # Whoever imported or curated may have ended before it asked.
    advisory_changes.request()
    for run in Run.objects.filter(state=JobState.PENDING).values_list("pk", flat=True):
        _enqueue("run", run)
    for preview in Preview.objects.filter(state=JobState.PENDING).values_list("pk", flat=True):
        _enqueue("preview", preview)
    for channel in _channels_to_publish():
        _enqueue("publication", channel)
    for outdated in advisory_index.outdated():
        _enqueue("advisory_index", outdated.pk)


def reap() -> None:
    """Take rows from owners that died."""
    for run in Run.objects.filter(state__in=OWNED).select_related("mirror"):
        if _liveness.is_dead(run):
            _reap_run(run)
    for publication in Publication.objects.filter(state=JobState.RUNNING):
        if _liveness.is_dead(publication):
            _take_over(publication, state=JobState.LOST, error=LOST, ended_at=timezone.now())
    for preview in Preview.objects.filter(state=JobState.RUNNING):
        if _liveness.is_dead(preview):
            _take_over(preview, state=JobState.FAILED, error=LOST, ended_at=timezone.now())
    pending.reap(_liveness)


def start_due() -> None:
    """Begin the runs that beat did not begin; a slot during a run is skipped, missed ones are one.

    Beat fires each mirror's own task in time. It may be down, or its message lost.
    """
    _start(Mirror.objects.filter(next_run_at__lte=timezone.now() - settings.SCHEDULE_GRACE))


def start_slot(pk: int) -> None:
    """Begin the run of a mirror whose task beat has fired, if its time has come."""
    _start(Mirror.objects.filter(pk=pk, next_run_at__lte=timezone.now() + CLOCK_SKEW))


def _start(due: QuerySet[Mirror]) -> None:
    now = timezone.now()
    rows = due.filter(deleted_at=None).select_related(
        "filter", "upstream", "channel__filter", "channel__parent__filter"
    )
    for mirror in rows:
        try:
            # Beat may fire a moment early: from `now`, this very slot would come again.
            after = max(now, mirror.next_run_at or now)
            following = next_fire(mirror.cron, mirror.cron_timezone, after)
        except ValueError as error:
            # It was a schedule when it was saved: this host may know fewer time zones.
            _unschedule(mirror, error)
        else:
            _start_slot(mirror, following)


def start_requested_again() -> None:
    """Begin runs asked for while another was going, whose end nobody saw to."""
    waiting = Mirror.objects.filter(run_again=True, deleted_at=None)
    for mirror in waiting.exclude(runs__state__in=ACTIVE).select_related("filter", "owner"):
        run_control.start_requested_run(mirror)


def _unschedule(mirror: Mirror, error: ValueError) -> None:
    """Let a mirror that has no next time wait for an edit, which says what is wrong."""
    log.error("%s is not run by its schedule any more: %s", mirror, error)
    rows = Mirror.objects.filter(pk=mirror.pk, next_run_at=mirror.next_run_at)
    with transaction.atomic():
        if rows.update(next_run_at=None, warnings=form_warnings.of(mirror)):
            periodic_tasks.tasks_of(mirror).update(enabled=False)


def _start_slot(mirror: Mirror, following: datetime) -> None:
    slot = mirror.next_run_at
    # Whoever moves the clock on begins the run; all others find it moved.
    with transaction.atomic():
        rows = Mirror.objects.filter(pk=mirror.pk, next_run_at=slot)
        if not rows.update(next_run_at=following):
            return
        mirror.next_run_at = following
        periodic_tasks.update_task(mirror)
        active = run_control.active_run(mirror)
        if active is None:
            try:
                run_control.request_run(mirror, cause=Cause.SCHEDULE, actor="schedule", slot=slot)
            except WrongState as error:
                # Begun by somebody this moment; or the slot has had its run.
                log.info("%s", error)
                active = run_control.active_run(mirror)
        # With the same slot it is this slot's run, begun by another worker: nothing was skipped.
        if active is not None and active.slot != slot:
            _record_skipped(mirror, slot, active)


def _record_skipped(mirror: Mirror, slot: datetime | None, active: Run) -> None:
    record(
        EventType.MIRROR_SKIPPED,
        actor="schedule",
        channel_id=mirror.channel_id,
        mirror_id=mirror.pk,
        run_id=active.pk,
        data={"mirror": mirror.name},
        meta={"slot": slot.isoformat() if slot else None, "still_running": active.number},
    )


def _reap_run(run: Run) -> None:
    now = timezone.now()
    with transaction.atomic():
        if run.state == JobState.STOPPING:
            if _take_over(run, state=JobState.STOPPED, ended_at=now):
                record_event(run, EventType.MIRROR_STOPPED, counts=run.counts)
        elif run.attempt < settings.RUN_ATTEMPTS:
            if _take_over(run, state=JobState.PENDING, owner=""):
                log.warning("%s lost its worker and is begun again", run)
        elif _take_over(
            run, state=JobState.FAILED, error=f"{LOST} {run.attempt} times.", ended_at=now
        ):
            record_event(run, EventType.MIRROR_FAILED, error=run.error)


def _take_over(row: Leased, **fields: object) -> bool:
    """Take a row from a dead owner, whose fence is void from then on."""
    rows = type(row)._default_manager.filter(pk=row.pk, fence=row.fence, state=row.state)
    # Only one of several dispatchers meets the fence that it read.
    taken = bool(rows.update(fence=F("fence") + 1, **fields))
    if taken:
        # Left behind by the dead owner; the next owner's file is named by its own fence.
        row.lock_path.unlink(missing_ok=True)
        row.refresh_from_db()
    return taken


def _channels_to_publish() -> list[int]:
    """Channels to be published, or whose content changes by time alone."""
    now = timezone.now()
    for channel in Channel.objects.alive().filter(next_judge_at__lte=now):
        # Together: without the request, the time would be lost and nothing judged again.
        with transaction.atomic():
            # Each for itself: a subchannel has a time of its own.
            channel.request_publication(subchannels=False)
            Channel.objects.filter(pk=channel.pk).update(next_judge_at=None)
    # A publication that fails at once, on a full disk for instance, would be tried every round.
    lately = now - timedelta(seconds=settings.PUBLISH_AGAIN_SECONDS)
    failed = Publication.objects.filter(state=JobState.FAILED, ended_at__gt=lately)
    busy = Publication.objects.filter(state=JobState.RUNNING)
    return list(
        publish.wanting()
        .exclude(pk__in=failed.values("channel"))
        .exclude(pk__in=busy.values("channel"))
        .values_list("pk", flat=True)
    )


def _enqueue(kind: str, pk: int) -> None:
    # A message waits until a worker is free: every round would send it again.
    now = time.monotonic()
    if now - _enqueued.get((kind, pk), -ENQUEUE_AGAIN_SECONDS) < ENQUEUE_AGAIN_SECONDS:
        return
    _enqueued[kind, pk] = now
    getattr(notify, kind)(pk)
    # What is forgotten is at worst enqueued twice, and the claim lets one through.
    if len(_enqueued) > 10_000:
        _enqueued.clear()
