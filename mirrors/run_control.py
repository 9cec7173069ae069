"""What people and the clock ask of a mirror: run, stop, restart, release.

Each is one conditional change of a row with its event in the same
transaction; the worker is told after the commit, and finds the row anyway.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.utils import timezone

from accounts import limits
from channels import notify
from channels.errors import WrongState
from channels.states import ACTIVE, JobState
from history.models import EventType, record
from mirrors.models import AcceptedSnapshot, Cause, Mirror, Run, Snapshot

BY_PEOPLE = frozenset({Cause.MANUAL, Cause.RESTART})
"""Causes of runs that somebody asked for at this moment."""

REMOVALS = "removals"
"""What `release` calls removals that waited for a complete run."""


def request_run(mirror: Mirror, *, cause: str, actor: str, slot: datetime | None = None) -> Run:
    """A pending run, or `WrongState` with the id of the one that is going."""
    if mirror.deleted_at:
        raise WrongState(f"The mirror {mirror.name} was deleted.")
    if cause in BY_PEOPLE:
        count_run(mirror)
    try:
        with transaction.atomic():
            # Two at once take the same number, and the constraint lets one of them through.
            last = mirror.runs.aggregate(last=Max("number"))["last"] or 0
            run = Run.objects.create(
                mirror=mirror,
                number=last + 1,
                cause=cause,
                actor=actor,
                slot=slot,
                filters=mirror.filter.terms,
            )
            if cause == Cause.RESTART:
                record_event(run, EventType.MIRROR_RESTARTED)
            # Not before: a worker that is quicker than the commit would find no row.
            transaction.on_commit(lambda: notify.run(run.pk))
    except IntegrityError as error:
        # The constraint decides, not a look before: two clicks, or a click and the schedule.
        going = active_run(mirror)
        raise WrongState(
            f"A run of {mirror.name} is already going.", run_id=going.pk if going else None
        ) from error
    return run


def count_run(mirror: Mirror) -> None:
    """Count a run that somebody asks for; `TooMany` where a mirror is asked for too many.

    One that is asked for while another is going begins no fetch, so it does not count.
    """
    if mirror.pk is None or active_run(mirror) is not None:
        return
    # An id and no name: a mirror that is renamed keeps its count.
    message = f"Too many runs of {mirror.name} by hand: at most {{}}."
    limits.hit_setting_or_raise("runs", str(mirror.pk), settings.LIMIT_RUNS, message)


def active_run(mirror: Mirror) -> Run | None:
    """The run of the mirror that is not final, if any."""
    return mirror.runs.filter(state__in=ACTIVE).first()


def stop(mirror: Mirror, *, actor: str) -> Run | None:
    """Ask the mirror's run to stop; the run, or None where nothing runs.

    Asking twice is asking once. A run that no worker has begun ends at once.
    """
    with transaction.atomic():
        # Locked, because a worker that shuts down turns a running run into a pending one.
        run = mirror.runs.select_for_update().filter(state__in=ACTIVE).first()
        if run is None:
            return None
        if run.state == JobState.PENDING:
            run.state, run.ended_at = JobState.STOPPED, timezone.now()
            run.save(update_fields=["state", "ended_at"])
            record_event(run, EventType.MIRROR_STOPPED, actor=actor)
        elif run.state == JobState.RUNNING:
            run.state, run.stop_requested_at = JobState.STOPPING, timezone.now()
            run.save(update_fields=["state", "stop_requested_at"])
    return run


def mark_stopped(mirror: Mirror, *, actor: str) -> Run:
    """End a run whose worker has not stopped long after it was asked to.

    The worker's fence is void from then on: should it go on, it writes nothing.
    """
    run, now = active_run(mirror), timezone.now()
    if run is None or not run.stuck:
        minutes = Run.STUCK_AFTER.seconds // 60
        raise WrongState(
            f"A run of {mirror.name} can be marked as stopped {minutes} minutes after it was asked "
            "to stop and has not.",
            run_id=run.pk if run else None,
        )
    with transaction.atomic():
        # By fence and state: since it was looked at, the run may have ended, or another worker
        # may have taken it over.
        rows = Run.objects.filter(pk=run.pk, fence=run.fence, state=JobState.STOPPING)
        steps = run.steps_until(now)
        if not rows.update(state=JobState.STOPPED, ended_at=now, steps=steps, fence=F("fence") + 1):
            raise WrongState(f"The run of {mirror.name} has ended meanwhile.")
        record_event(run, EventType.MIRROR_STOPPED, actor=actor, marked=True)
    run.refresh_from_db()
    start_requested_run(mirror)
    return run


def restart(mirror: Mirror, *, actor: str) -> Run:
    """A new run of a mirror whose last run was stopped."""
    last = mirror.runs.order_by("-number").first()
    if last is None or last.state != JobState.STOPPED:
        state = last.state if last else "not run yet"
        raise WrongState(
            f"Only a stopped mirror can be restarted; {mirror.name} is {state}.",
            run_id=last.pk if last and last.state in ACTIVE else None,
        )
    return request_run(mirror, cause=Cause.RESTART, actor=actor)


def release(mirror: Mirror, *, actor: str) -> list[str]:
    """Let what the guard holds pass, and what waits to be removed go; what was released."""
    with transaction.atomic():
        # Locked: of two clicks the second finds nothing held.
        locked = Mirror.objects.select_for_update().select_related("channel").get(pk=mirror.pk)
        if not locked.held and not locked.withheld_removals:
            raise WrongState(f"Nothing of {mirror.name} is held.")
        going = active_run(mirror)
        if not locked.held and going is not None:
            raise WrongState(
                f"A run of {mirror.name} is going; at its end it decides about removals.",
                run_id=going.pk,
            )
        sections = sorted(locked.held)
        for section, held in locked.held.items():
            accept_snapshot(locked, section, held["snapshot"])
        record(
            EventType.MIRROR_RELEASED,
            actor=actor,
            channel_id=locked.channel_id,
            mirror_id=locked.pk,
            data={"mirror": locked.name},
            meta={"held": locked.held, "waiting": locked.withheld_removals},
        )
        rows = Mirror.objects.filter(pk=mirror.pk)
        rows.update(held={})
        # A run that is going decides anew at its end what may be removed.
        lets_removals_go = bool(locked.withheld_removals) and going is None
        if lets_removals_go:
            rows.update(incomplete=False, withheld_removals={})
        locked.channel.request_publication()
    mirror.refresh_from_db()
    return [*sections, REMOVALS] if lets_removals_go else sections


def start_requested_run(mirror: Mirror) -> None:
    """Begin the run that was asked for while another was going."""
    requested = Mirror.objects.filter(pk=mirror.pk, run_again=True, deleted_at=None)
    with transaction.atomic():
        # The worker that ended the run and every dispatcher come here; one of them goes on.
        if not requested.update(run_again=False):
            return
        mirror.refresh_from_db()
        try:
            owner = mirror.owner.username if mirror.owner else ""
            request_run(mirror, cause=Cause.EDIT, actor=owner)
        except WrongState:
            # Somebody was quicker; that run does what this one would have done.
            return


def accept_snapshot(mirror: Mirror, section: str, snapshot_id: int | None) -> None:
    """Publish a section from this snapshot from now on; None: the section is gone."""
    rows = AcceptedSnapshot.objects.filter(mirror=mirror, section=section)
    if snapshot_id is None:
        rows.delete()
    elif not rows.update(snapshot_id=snapshot_id):
        snapshot = Snapshot.objects.get(pk=snapshot_id)
        AcceptedSnapshot.objects.create(mirror=mirror, section=section, snapshot=snapshot)


def record_event(run: Run, event: EventType, *, actor: str = "", **meta: object) -> None:
    """Write a run's event; call it in the transaction of the change."""
    mirror = run.mirror
    record(
        event,
        actor=actor or run.actor,
        channel_id=mirror.channel_id,
        mirror_id=mirror.pk,
        run_id=run.pk,
        data={"mirror": mirror.name, "run": run.number, "cause": run.cause},
        meta=meta,
    )
