"""Step 8 of a run, and every other end of it: the last write of the row, with its event."""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone

from channels import notify
from channels.lease import Fenced
from channels.states import JobState
from channels.texts import storable
from delivery.on_demand import refusals
from ecosystems.sentences import SHOWN_NAMES, first_names
from history.models import EventType
from mirrors import run_control, warnings
from mirrors.models import Mirror, Run, RunOutcome
from mirrors.run_control import record_event
from runs import excluded_names
from runs.context import RunContext, lock_mirror
from runs.counts import RunCounts, files, packages_of_unknown_license
from runs.removals import failed_names

log = logging.getLogger(__name__)

_EVENTS = {
    JobState.COMPLETED: EventType.MIRROR_COMPLETED,
    JobState.FAILED: EventType.MIRROR_FAILED,
    JobState.STOPPED: EventType.MIRROR_STOPPED,
}


def finish(context: RunContext, counts: RunCounts) -> None:
    """Write what the run counted, and end it as completed."""
    run = context.run
    context.step(8)
    run.write(counts=counts, percent=100)
    _warn(context, counts)
    for text in warnings.of_unavailable_metadata([run.mirror_id])[run.mirror_id]:
        context.log(text, level="warning")
    excluded_names.store(run, stop=context.check)
    end(context, JobState.COMPLETED)


def end(context: RunContext, state: JobState, error: str = "") -> bool:
    """The run's last write, with its event, and what follows from it.

    Whether the run was still this process's to end.
    """
    run, now = context.run, timezone.now()
    error = storable(error)
    try:
        with transaction.atomic():
            lock_mirror(run)
            outcome = _outcome(run) if state == JobState.COMPLETED else ""
            _log_end(context, state, outcome, error)
            run.write(
                state=state,
                ended_at=now,
                error=error,
                steps=run.steps_until(now),
                bytes=context.bytes,
                outcome=outcome,
            )
            # Of a run that was resumed this is the time of its last attempt.
            mirror = Mirror.objects.filter(pk=run.mirror_id)
            mirror.update(last_run_at=run.started_at)
            if state == JobState.COMPLETED:
                mirror.update(last_success_at=now)
                # The index has just been read, so clients need not wait until old refusals expire.
                refusals.forget(run.mirror.channel, run.mirror.upstream.url)
            record_event(run, _EVENTS[state], counts=run.counts, error=error)
    except Fenced:
        log.warning("run %s ended as %s after it was given to another owner", run.pk, state)
        return False
    # Once the end is committed, because a mirror has one active run at a time.
    run_control.start_requested_run(run.mirror)
    return True


def hand_back(context: RunContext) -> bool:
    """Leave the run for another worker, which begins it anew and finds what is here."""
    run = context.run
    mine = Run.objects.filter(pk=run.pk, fence=run.fence, state=JobState.RUNNING)
    # A shutdown is nobody's failure: it must not use up an attempt of the run.
    if mine.update(state=JobState.PENDING, attempt=run.attempt - 1, owner=""):
        notify.run(run.pk)
        return True
    # Somebody asked for a stop while the worker was told to shut down.
    return end(context, JobState.STOPPED)


def _outcome(run: Run) -> RunOutcome:
    if run.counts.get("failed"):
        return RunOutcome.ERRORS
    return RunOutcome.HELD if run.held else RunOutcome.OK


def _warn(context: RunContext, counts: RunCounts) -> None:
    """Say it when the run ended well and clients have nothing, or less, of it."""
    run = context.run
    if counts["failed"]:
        names = first_names(failed_names(run), counts["failed"])
        context.warn(f"{files(counts['failed'])} could not be downloaded: {names}.")
    if unknown := counts["license_unknown"]:
        packages = packages_of_unknown_license(run, most=SHOWN_NAMES)
        context.warn(
            f"The license of {files(unknown)} is unknown, so license rules do not act on "
            f"them: the index states none, and no wheel is here to be read"
            f"{f' (packages: {first_names(packages, None)})' if packages else ''}."
        )
    if unscored := counts["cve_unknown"]:
        context.warn(
            f"Rules on CVE scores do not act on {files(unscored)}: nobody has scored one of their "
            'advisories. They are kept; "cve_unknown": "exclude" leaves them out.'
        )
    if counts["listed"] and not counts["active"] + counts["passive"]:
        listed = counts["listed"]
        context.warn(f"None of the {listed:,} files that the upstream lists is mirrored.")


def _log_end(context: RunContext, state: JobState, outcome: str, error: str) -> None:
    """The last line of the log: how the run ended, for whoever reads nothing else."""
    if state == JobState.COMPLETED:
        counts = context.run.counts
        mirrored = counts["active"] + counts["passive"]
        context.log(
            f"{RunOutcome(outcome).label}: {files(counts['listed'])} listed,"
            f" {mirrored:,} mirrored, {counts['failed']:,} failed; in the channel"
            f" {counts['added']:,} added, {counts['replaced']:,} replaced,"
            f" {counts['removed']:,} removed."
        )
    elif state == JobState.FAILED:
        context.log(f"Failed: {error}", level="error")
    else:
        context.log(f"Stopped: {error}" if error else "Stopped.")
