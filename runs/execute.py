"""One run of a mirror, from its claim to its end, in eight steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels import internal_errors, notify
from channels.blobs import scratch
from channels.lease import Fenced, Heart
from channels.models import Channel
from channels.rules import narrowed
from channels.states import JobState
from channels.texts import storable
from delivery import on_demand
from ecosystems import registry
from ecosystems.sentences import SHOWN_NAMES, first_names
from history.models import EventType
from mirrors import form_warnings, run_control, warnings
from mirrors.models import Mirror, Outcome, Run
from mirrors.run_control import tell
from publishing import publish
from publishing.changed_packages import changed_scopes
from publishing.diff import compare
from publishing.download_plan import DownloadPlan
from publishing.inputs import gather, published_identity, with_terms
from publishing.tallies import LICENSE_UNKNOWN
from runs import accept, left_out, side_files
from runs import counts as counted
from runs.context import HandBack, Stopped, Work
from runs.counts import RunCounts
from runs.download import Download
from runs.fetch import Fetch

log = logging.getLogger(__name__)

ENDED = {
    JobState.COMPLETED: EventType.MIRROR_COMPLETED,
    JobState.FAILED: EventType.MIRROR_FAILED,
    JobState.STOPPED: EventType.MIRROR_STOPPED,
}


def execute(pk: int, *, interrupted: Callable[[], bool]) -> None:
    """Do the run with this id if it waits and nobody else has it.

    `interrupted` tells that this worker shuts down: the run is then handed
    back and somebody does it again from its beginning.
    """
    run = Run.objects.select_related("mirror__channel", "mirror__upstream").filter(pk=pk).first()
    if run is None or not _claim(run):
        return
    with Heart(run) as heart:
        work = Work(run, heart, interrupted=interrupted)
        try:
            _steps(work)
        except Stopped:
            _end(work, JobState.STOPPED)
        except HandBack:
            _hand_back(work)
        except Fenced:
            log.warning("run %s has another owner; this process leaves it", run.pk)
        except internal_errors.EXPLAINED as error:
            _end(work, JobState.FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - `crash.words` writes it to the log
            # The one broad handler: whatever happens, the run's row must say how it ended.
            _end(work, JobState.FAILED, internal_errors.words(error, f"run {run.pk}"))


def _claim(run: Run) -> bool:
    now = timezone.now()
    begun = run.started_at is not None
    with transaction.atomic():
        _lock_mirror(run)
        if not run.claim(
            state=JobState.RUNNING,
            started_at=now,
            step=0,
            percent=0,
            steps=[],
            error="",
            warnings=[],
        ):
            return False
        run.failures.all().delete()
        Mirror.objects.filter(pk=run.mirror_id).update(last_run_at=now)
        if not begun:
            tell(run, EventType.MIRROR_STARTED)
    return True


def _lock_mirror(run: Run) -> None:
    """Mirror before run, as all who lock both do; the other way round two would block each other.

    Nothing to do on SQLite, whose transactions lock everything.
    """
    Mirror.objects.select_for_update(of=("self",)).filter(pk=run.mirror_id).first()


def _steps(work: Work) -> None:
    run, mirror = work.run, work.run.mirror
    first = mirror.channel.current
    with scratch() as folder:
        fetch = Fetch(
            mirror.upstream,
            run.terms.get("subdirs") or [],
            stop=work.check,
            work=folder,
            row=run,
            ecosystem=narrowed(mirror.channel, mirror.kind, run.terms, active=mirror.active),
        )
        work.step(1)
        work.log(f"Fetching the index of {mirror.upstream.url}")
        for sentence in form_warnings.idle_rules(mirror.channel, mirror.kind, run.terms):
            work.log(sentence, level="warning")
        accept.check_source(mirror)
        fetch.fetch(work.progress)
        work.step(2)
        fetch.read(work.progress)
    work.bytes += fetch.bytes
    work.step(3)
    taken = accept.take(work, fetch)
    if side_files.retry(work):
        _ask(work)
    settled = None if taken.changed or _incomplete(mirror) else _settled(work)
    if settled:
        work.log(f"Nothing{' else' if taken.held else ''} has changed since the last run.")
        _finish(work, settled)
        return
    brought = _download(work)
    work.step(7)
    ready = _complete(work, taken, brought)
    counts = _publish(work, first)
    if not ready:
        _wait(work, brought, counts)
    _finish(work, counts)


@dataclass(frozen=True, slots=True)
class Brought:
    """What a run was to download, and how much of it failed."""

    planned: int = 0
    failed: int = 0

    @property
    def enough(self) -> bool:
        """Whether so much has come that what the upstream dropped may go."""
        return self.failed <= max(settings.FAILED_MIN, self.planned * settings.FAILED_SHARE)


def _incomplete(mirror: Mirror) -> bool:
    return Mirror.objects.filter(pk=mirror.pk, incomplete=True).exists()


def _complete(work: Work, taken: accept.Taken, brought: Brought) -> bool:
    """Let go what the upstream dropped, with the publication that follows; False: it stays."""
    mirror = work.run.mirror
    if not brought.enough:
        return False
    with transaction.atomic():
        _lock_mirror(work.run)
        mine = Run.objects.filter(pk=work.run.pk, fence=work.run.fence, state=JobState.RUNNING)
        if not mine.update(owner=work.run.owner):
            # Asked to stop in this moment: a stopped run removes nothing.
            raise Stopped
        for section in taken.gone:
            run_control.accept(mirror, section, None)
        rows = Mirror.objects.filter(pk=mirror.pk, incomplete=True)
        if rows.update(incomplete=False, waiting={}) or taken.gone:
            _want(work)
    return True


def _wait(work: Work, brought: Brought, counts: RunCounts) -> None:
    """Say that dropped files stay because too many new ones failed; nothing to say, they are gone.

    Mirror.waiting is a fact about this run: the next one decides anew.
    """
    facts = {"failed": brought.failed, "planned": brought.planned, "names": _failed_names(work)}
    with transaction.atomic():
        _lock_mirror(work.run)
        work.run.write(owner=work.run.owner)
        rows = Mirror.objects.filter(pk=work.run.mirror_id, incomplete=True)
        if counts["stays"]:
            rows.update(waiting=facts)
            work.log(warnings.waiting(facts, counts["stays"]), level="warning")
        else:
            rows.update(incomplete=False, waiting={})


def _failed_names(work: Work) -> list[str]:
    """The first files that failed."""
    failures = work.run.failures.order_by("pk")
    return list(failures.values_list("filename", flat=True)[:SHOWN_NAMES])


def _settled(work: Work) -> RunCounts | None:
    """The counts, where the channel shows all that this run could bring; else None."""
    channel = Channel.objects.get(pk=work.run.mirror.channel_id)
    if channel.frozen_at or channel.requested_version != channel.published_version:
        return None
    counts = counted.published(work, channel, counted.NO_CHANGES)
    return None if counts["unsettled"] else counts


def _download(work: Work) -> Brought:
    """Steps 4 to 6. A passive mirror leaves the judging to the publication."""
    run, mirror = work.run, work.run.mirror
    work.step(4)
    if not mirror.active:
        work.step(5)
        work.step(6)
        return Brought()
    channel = _channel(mirror)
    inputs = with_terms(gather(channel), mirror.pk, run.terms)
    with DownloadPlan(f"plan{run.pk}") as plan:
        difference = compare(
            channel,
            changed_scopes(inputs, published_identity(channel), mirror.kind),
            stop=work.check,
            progress=work.progress,
            mirror_id=mirror.pk,
            plan=plan,
        )
        work.step(5)
        work.log(str(difference))
        work.step(6)
        return _fetch_files(work, channel, plan)


def _fetch_files(work: Work, channel: Channel, plan: DownloadPlan) -> Brought:
    last = time.monotonic()

    def pause() -> None:
        nonlocal last
        if time.monotonic() - last < settings.PUBLISH_MINUTES * 60:
            return
        download.events(channel_id=channel.pk, path=channel.path, mirror_id=work.run.mirror_id)
        _ask(work)
        publish.publish(channel, stop=work.check, run=work.run)
        last = time.monotonic()

    download = Download(work, family=registry.get(work.run.mirror.kind).family, pause=pause)
    work.log(f"Downloading {plan.files:,} files, {plan.bytes:,} bytes")
    try:
        download.run(plan)
    finally:
        # Also at a stop: what came is here, and is listed by the publication that follows.
        download.events(channel_id=channel.pk, path=channel.path, mirror_id=work.run.mirror_id)
        if download.done:
            _ask(work)
    work.log(f"{download.done:,} files downloaded, {download.failed:,} failed")
    return Brought(plan.files, download.failed)


def _ask(work: Work) -> None:
    """Want a publication of the channel."""
    with transaction.atomic():
        _want(work)


def _want(work: Work) -> None:
    """The same, in the transaction of the change that it is for."""
    work.run.write(requested_version=work.run.mirror.channel.request_publication())


def _publish(work: Work, before: int) -> RunCounts:
    """Step 7: see to it that the channel is published; counts what changed since `before`."""
    channel = _channel(work.run.mirror)
    while publish.wants(channel):
        work.check()
        if not publish.publish(channel, stop=work.check, progress=work.progress, run=work.run):
            time.sleep(publish.WAIT_SECONDS)
    channel = _channel(work.run.mirror)
    changes = counted.changes_since(work.run.mirror, before)
    if channel.frozen_at is None:
        return counted.published(work, channel, changes)
    work.log("The channel is frozen: what was found is published when it is unfrozen.")
    return counted.unpublished(work, channel, changes)


def _channel(mirror: Mirror) -> Channel:
    """The mirror's channel as it is saved now, with its filters."""
    return Channel.objects.select_related("filter", "parent__filter").get(pk=mirror.channel_id)


def _finish(work: Work, counts: RunCounts) -> None:
    work.step(8)
    work.run.write(counts=counts, percent=100)
    _warn(work)
    for text in warnings.of_withheld([work.run.mirror_id])[work.run.mirror_id]:
        work.log(text, level="warning")
    left_out.keep(work.run, stop=work.check)
    _end(work, JobState.COMPLETED)


def _warn(work: Work) -> None:
    """Say it when the run ended well and clients have nothing, or less, of it."""
    counts = work.run.counts
    kept = counts["active"] + counts["passive"]
    if counts["failed"]:
        some = first_names(_failed_names(work), counts["failed"])
        work.warn(f"{counted.files(counts['failed'])} could not be downloaded: {some}.")
    if unknown := counts[LICENSE_UNKNOWN]:
        names = counted.packages_of_unknown_license(work.run, most=SHOWN_NAMES)
        work.warn(
            f"The license of {counted.files(unknown)} is unknown, so license rules do not act on "
            f"them: the index states none, and no wheel is here to be read"
            f"{f' (packages: {first_names(names, None)})' if names else ''}."
        )
    if counts["listed"] and not kept:
        work.warn(f"None of the {counts['listed']:,} files that the upstream lists is mirrored.")


def _outcome(run: Run) -> Outcome:
    if run.counts.get("failed"):
        return Outcome.ERRORS
    return Outcome.HELD if run.held else Outcome.OK


def _end(work: Work, state: JobState, error: str = "") -> None:
    """The run's last write, with its event, and what follows from it."""
    run = work.run
    now = timezone.now()
    steps = run.steps_until(now)
    error = storable(error)
    try:
        with transaction.atomic():
            _lock_mirror(run)
            outcome = _outcome(run) if state == JobState.COMPLETED else ""
            _log_end(work, state, outcome, error)
            run.write(
                state=state,
                ended_at=now,
                error=error,
                steps=steps,
                bytes=work.bytes,
                outcome=outcome,
            )
            fields: dict[str, Any] = {"last_success_at": now} if state == JobState.COMPLETED else {}
            Mirror.objects.filter(pk=run.mirror_id).update(last_run_at=run.started_at, **fields)
            tell(run, ENDED[state], counts=run.counts, error=error)
            if state == JobState.COMPLETED:
                on_demand.forgive(run.mirror.channel, run.mirror.upstream.url)
    except Fenced:
        log.warning("run %s ended as %s after it was given to another owner", run.pk, state)
        return
    run_control.follow(run.mirror)


def _log_end(work: Work, state: JobState, outcome: str, error: str) -> None:
    """The last line of the log: how the run ended, for whoever reads nothing else."""
    if state == JobState.COMPLETED:
        counts = work.run.counts
        kept = counts["active"] + counts["passive"]
        work.log(
            f"{Outcome(outcome).label}: {counted.files(counts['listed'])} listed,"
            f" {kept:,} mirrored, {counts['failed']:,} failed; in the channel"
            f" {counts['added']:,} added, {counts['replaced']:,} replaced,"
            f" {counts['removed']:,} removed."
        )
    elif state == JobState.FAILED:
        work.log(f"Failed: {error}", level="error")
    else:
        work.log("Stopped.")


def _hand_back(work: Work) -> None:
    """Leave the run for another worker, which begins it anew and finds what is here."""
    run = work.run
    mine = Run.objects.filter(pk=run.pk, fence=run.fence, state=JobState.RUNNING)
    if mine.update(state=JobState.PENDING, attempt=run.attempt - 1, owner=""):
        notify.run(run.pk)
    else:
        # Somebody asked for a stop while the worker was told to shut down.
        _end(work, JobState.STOPPED)
