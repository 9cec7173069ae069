"""One run of a mirror, from its claim to its end, in eight steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels.errors import NoSpace
from channels.lease import Fenced, Heart
from channels.models import Channel, Package, Revision
from ecosystems.base import EcosystemError
from history.models import EventType
from mirrors import control, intake, knock, rebuild
from mirrors.compare import Difference, compare
from mirrors.control import tell
from mirrors.download import Download
from mirrors.fetch import Fetch, scratch
from mirrors.inputs import Inputs, gather, narrowed, one_input
from mirrors.judge import count
from mirrors.models import Mirror, Run, Snapshot
from mirrors.plan import Plan
from mirrors.work import HandBack, Stopped, Work

log = logging.getLogger(__name__)

ENDED = {
    "completed": EventType.MIRROR_COMPLETED,
    "failed": EventType.MIRROR_FAILED,
    "stopped": EventType.MIRROR_STOPPED,
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
            _end(work, "stopped")
        except HandBack:
            _hand_back(work)
        except Fenced:
            log.warning("run %s has another owner; this process leaves it", run.pk)
        except (EcosystemError, NoSpace, OSError) as error:
            _end(work, "failed", str(error))
        except Exception as error:
            # The one broad handler: whatever happens, the run's row must say how it ended.
            log.exception("run %s crashed", run.pk)
            _end(work, "failed", f"An error of this server ended the run: {error!r}")


def _claim(run: Run) -> bool:
    now = timezone.now()
    with transaction.atomic():
        if not run.claim(state="running", started=now, step=0, percent=0, steps=[], error=""):
            return False
        run.failures.all().delete()
        Mirror.objects.filter(pk=run.mirror_id).update(last_run_at=now)
        if run.attempt == 1:
            tell(run, EventType.MIRROR_STARTED)
    return True


def _steps(work: Work) -> None:
    run, mirror = work.run, work.run.mirror
    first = mirror.channel.current
    with scratch() as folder:
        fetch = Fetch(
            mirror.upstream,
            run.terms.get("subdirs") or [],
            stop=work.check,
            work=folder,
            ecosystem=narrowed(mirror.channel, mirror.kind, run.terms, active=mirror.active),
        )
        work.step(1)
        work.log(f"Fetching the index of {mirror.upstream.url}")
        intake.check_source(mirror)
        fetch.fetch(work.progress)
        work.step(2)
        fetch.read(work.progress)
    work.bytes += fetch.bytes
    work.step(3)
    taken = intake.take(work, fetch)
    if not taken.changed and _settled(work):
        work.log("Nothing has changed since the last run.")
        _finish(work, _carried(run))
        return
    difference = _download(work)
    work.step(7)
    counts = _publish(work, difference)
    counts["removed"] = _removed(mirror, first)
    _finish(work, counts)


def _settled(work: Work) -> bool:
    """Whether the channel already shows all that this run could bring."""
    run = work.run
    last = run.mirror.runs.filter(number__lt=run.number, state="completed").last()
    if last is None or last.terms != run.terms or last.counts.get("unsettled", True):
        return False
    channel = Channel.objects.get(pk=run.mirror.channel_id)
    return channel.frozen is None and channel.wanted == channel.published


def _carried(run: Run) -> dict[str, Any]:
    """The counts of the last completed run, which still hold."""
    last = run.mirror.runs.filter(number__lt=run.number, state="completed").last()
    counts = dict(last.counts) if last else {}
    return {**counts, "removed": 0}


def _download(work: Work) -> Difference | None:
    """Steps 4 to 6. A passive mirror leaves the judging to the publication."""
    run, mirror = work.run, work.run.mirror
    work.step(4)
    channel = Channel.objects.select_related("filter", "parent__filter").get(pk=mirror.channel_id)
    if not mirror.active and channel.frozen is None:
        work.step(5)
        work.step(6)
        return None
    inputs = _own_inputs(gather(channel), run)
    known = channel.revisions.get(number=channel.current).inputs
    with Plan(f"plan{run.pk}") as plan:
        difference = compare(
            channel,
            [
                (case, None if channel.frozen else names)
                for case, names in rebuild.cases(inputs, known, run.mirror.kind)
            ],
            stop=work.check,
            progress=work.progress,
            mirror_id=mirror.pk,
            plan=plan,
        )
        work.step(5)
        work.log(
            f"{difference.added:,} files to add, {difference.replaced:,} to replace,"
            f" {difference.removed:,} to remove"
        )
        work.step(6)
        if mirror.active:
            _fetch_files(work, channel, plan)
    return difference


def _fetch_files(work: Work, channel: Channel, plan: Plan) -> None:
    last = time.monotonic()

    def pause() -> None:
        nonlocal last
        if time.monotonic() - last < settings.PUBLISH_MINUTES * 60:
            return
        download.events(channel_id=channel.pk, path=channel.path, mirror_id=work.run.mirror_id)
        _ask(work)
        rebuild.publish(channel, stop=work.check)
        last = time.monotonic()

    download = Download(work, family=rebuild.family(work.run.mirror), pause=pause)
    work.log(f"Downloading {plan.files:,} files, {plan.bytes:,} bytes")
    try:
        download.run(plan)
    finally:
        # Also at a stop: what came is here, and is listed by the publication that follows.
        download.events(channel_id=channel.pk, path=channel.path, mirror_id=work.run.mirror_id)
        if download.done:
            _ask(work)
    work.log(f"{download.done:,} files downloaded, {download.failed:,} failed")


def _own_inputs(inputs: Inputs, run: Run) -> Inputs:
    """The channel's inputs with this run's mirror judged as it was when the run began."""
    return Inputs(
        inputs.channel,
        inputs.channel_rules,
        tuple(
            one_input(one.mirror, run.terms, one.snapshots)
            if one.mirror.pk == run.mirror_id
            else one
            for one in inputs.mirrors
        ),
    )


def _ask(work: Work) -> None:
    """Want a publication of the channel."""
    with transaction.atomic():
        work.run.write(wanted=work.run.mirror.channel.raise_wanted())
        channel_id = work.run.mirror.channel_id
        transaction.on_commit(lambda: knock.channel(channel_id))


def _publish(work: Work, difference: Difference | None) -> dict[str, Any]:
    """Step 7: see to it that the channel is published; the counts of what was judged."""
    mirror = work.run.mirror
    channel = Channel.objects.get(pk=mirror.channel_id)
    while rebuild.wants(channel):
        work.check()
        if not rebuild.publish(channel, stop=work.check):
            time.sleep(rebuild.WAIT_SECONDS)
    channel.refresh_from_db()
    if channel.frozen is not None:
        work.log("The channel is frozen: what was found is published when it is unfrozen.")
        tallies = [difference.tallies.get(mirror.pk, {})] if difference else []
        return _counts(work, count(tallies))
    rows = Package.objects.at(channel.current).filter(channel=channel)
    key = str(mirror.pk)
    tallies = [
        tally[key] for tally in rows.values_list("tally", flat=True).iterator() if key in tally
    ]
    return _counts(work, count(tallies))


def _counts(work: Work, counts: dict[str, Any]) -> dict[str, Any]:
    """Complete the counts: failures, and records that could not even be read."""
    run = work.run
    snapshots = Snapshot.objects.filter(accepted__mirror=run.mirror)
    invalid = listed = 0
    asked = set(run.snapshots)
    for snapshot in snapshots:
        if snapshot.section in asked:
            invalid += snapshot.invalid
            listed += snapshot.listed
    if invalid:
        filtered = counts["mirror_filtered"]
        filtered["invalid"] = filtered.get("invalid", 0) + invalid
    missing = counts.pop("missing")
    counts["failed"] = run.failures.count()
    counts["active_planned"] = counts["active"] + missing if run.mirror.active else 0
    counts["listed"] = listed
    counts["unsettled"] = bool(missing or counts["failed"])
    return counts


def _removed(mirror: Mirror, since: int) -> int:
    """Files that revisions published during this run took from the channel."""
    revisions = Revision.objects.filter(channel_id=mirror.channel_id, number__gt=since)
    return sum(revisions.values_list("removed", flat=True))


def _finish(work: Work, counts: dict[str, Any]) -> None:
    work.step(8)
    work.run.write(counts=counts, percent=100)
    _end(work, "completed")


def _end(work: Work, state: str, error: str = "") -> None:
    """The run's last write, with its event, and what follows from it."""
    run = work.run
    now = timezone.now()
    steps = [*run.steps]
    if steps and steps[-1][2] is None:
        steps[-1] = [steps[-1][0], steps[-1][1], now.isoformat()]
    try:
        with transaction.atomic():
            run.write(state=state, ended=now, error=error, steps=steps, bytes=work.bytes)
            fields: dict[str, Any] = {"last_success_at": now} if state == "completed" else {}
            Mirror.objects.filter(pk=run.mirror_id).update(last_run_at=run.started, **fields)
            tell(run, ENDED[state], counts=run.counts, error=error)
    except Fenced:
        log.warning("run %s ended as %s after it was given to another owner", run.pk, state)
        return
    control.follow(run.mirror)


def _hand_back(work: Work) -> None:
    """Leave the run for another worker, which begins it anew and finds what is here."""
    work.run.write(state="pending", attempt=work.run.attempt - 1, owner="")
    knock.run(work.run.pk)
