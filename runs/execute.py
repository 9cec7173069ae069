"""One run of a mirror, from its claim to its end, in eight steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels.blobs import temporary_folder
from channels.leased_work import Ending, working_on
from channels.models import Channel, Package
from channels.rules import limited_ecosystem
from channels.states import JobState
from ecosystems import registry
from history.models import EventType
from mirrors import advisory_warnings
from mirrors.models import Mirror, Run
from mirrors.run_control import record_event
from publishing import publish
from publishing.changed_packages import changed_scopes
from publishing.diff import compare
from publishing.download_plan import DownloadPlan
from publishing.inputs import gather, published_identity, with_terms
from runs import accept_snapshots, counts, retry_companions
from runs.context import HandBack, RunContext, lock_mirror
from runs.counts import RunCounts
from runs.download import Download
from runs.fetch import Fetch
from runs.finish import end, finish, hand_back
from runs.removals import DownloadResult, allow_removals, is_incomplete, report_staying


def execute(pk: int, *, interrupted: Callable[[], bool]) -> None:
    """Do the run with this id if it waits and nobody else has it.

    `interrupted` tells that this worker shuts down: the run is then handed
    back and somebody does it again from its beginning.
    """
    run = Run.objects.select_related("mirror__channel", "mirror__upstream").filter(pk=pk).first()
    if run is None or not _claim(run):
        return

    def end_run(ending: Ending) -> bool:
        if isinstance(ending.cause, HandBack):
            return hand_back(context)
        return end(context, ending.state, ending.error)

    with working_on(run, end_run, raises=False) as heart:
        context = RunContext(run, heart, interrupted=interrupted)
        _steps(context)


def _claim(run: Run) -> bool:
    now = timezone.now()
    resumed = run.started_at is not None
    with transaction.atomic():
        lock_mirror(run)
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
        # Of an earlier attempt; this one begins at the beginning.
        run.failures.all().delete()
        Mirror.objects.filter(pk=run.mirror_id).update(last_run_at=now)
        # One event a run, however often it is resumed.
        if not resumed:
            record_event(run, EventType.MIRROR_STARTED)
    return True


def _steps(context: RunContext) -> None:
    mirror = context.run.mirror
    # Before anything is published: the run counts what changed since.
    before = mirror.channel.current
    fetch = _fetch(context)
    context.step(3)
    acceptance = accept_snapshots.accept_or_hold(context, fetch)
    if retry_companions.retry(context) or _files_say_more(context):
        with transaction.atomic():
            context.request_publication()
    # An unchanged index is not enough: the last run may have ended in the middle of it.
    if not acceptance.changed and not is_incomplete(mirror):
        settled = _settled_counts(context)
        if settled is not None:
            also = " else" if acceptance.held else ""
            context.log(f"Nothing{also} has changed since the last run.")
            finish(context, settled)
            return
    result = _download(context)
    context.step(7)
    removed = allow_removals(context, acceptance, result)
    run_counts = _publish(context, before)
    if not removed:
        report_staying(context, result, run_counts)
    finish(context, run_counts)


def _fetch(context: RunContext) -> Fetch:
    """Steps 1 and 2: the upstream's indexes, and snapshots of those that are new."""
    run, mirror = context.run, context.run.mirror
    with temporary_folder() as folder:
        fetch = Fetch(
            mirror.upstream,
            run.filters.get("subdirs") or [],
            stop=context.check,
            folder=folder,
            row=run,
            ecosystem=limited_ecosystem(
                mirror.channel, mirror.kind, run.filters, active=mirror.active
            ),
        )
        context.step(1)
        context.log(f"Fetching the index of {mirror.upstream.url}")
        channel_filters = [row.terms for row in mirror.channel.filters]
        for sentence in advisory_warnings.of(mirror.kind, run.filters, channel_filters):
            context.log(sentence, level="warning")
        accept_snapshots.check_source(mirror)
        fetch.fetch(context.progress)
        context.step(2)
        fetch.read(context.progress)
    context.bytes += fetch.bytes
    return fetch


def _settled_counts(context: RunContext) -> RunCounts | None:
    """The counts, where the channel shows all that this run could bring; else None."""
    channel = context.channel()
    # A publication that is still due may change the counts.
    if channel.frozen_at or channel.requested_version != channel.published_version:
        return None
    settled = counts.published(context, channel, counts.NO_CHANGES)
    return None if settled["unsettled"] else settled


def _download(context: RunContext) -> DownloadResult:
    """Steps 4 to 6. A passive mirror leaves the judging to the publication."""
    run, mirror = context.run, context.run.mirror
    context.step(4)
    if not mirror.active:
        context.step(5)
        context.step(6)
        return DownloadResult()
    channel = context.channel()
    inputs = with_terms(gather(channel), mirror.pk, run.filters)
    with DownloadPlan(f"plan{run.pk}") as plan:
        difference = compare(
            channel,
            changed_scopes(inputs, published_identity(channel), mirror.kind),
            stop=context.check,
            progress=context.progress,
            mirror_id=mirror.pk,
            plan=plan,
        )
        context.step(5)
        context.log(str(difference))
        context.step(6)
        return _download_files(context, channel, plan)


def _download_files(context: RunContext, channel: Channel, plan: DownloadPlan) -> DownloadResult:
    published = time.monotonic()

    def publish_now_and_then() -> None:
        nonlocal published
        if time.monotonic() - published < settings.PUBLISH_MINUTES * 60:
            return
        _announce(context, download)
        publish.publish(channel, stop=context.check, run=context.run)
        published = time.monotonic()

    family = registry.get(context.run.mirror.kind).family
    download = Download(context, family=family, pause=publish_now_and_then)
    context.log(f"Downloading {plan.files:,} files, {plan.bytes:,} bytes")
    try:
        download.run(plan)
    finally:
        # Also at a stop: what came is here, and is listed by the publication that follows.
        _announce(context, download)
    context.log(f"{download.done:,} files downloaded, {download.failed:,} failed")
    return DownloadResult(plan.files, download.failed)


def _files_say_more(context: RunContext) -> bool:
    """Whether files came on demand that may say more than their index: a hash, a license."""
    ecosystem, channel = registry.get(context.run.mirror.kind), context.channel()
    if not ecosystem.learns_from_files or channel.frozen_at is not None:
        return False
    rows = Package.objects.at(channel.current).filter(channel=channel, family=ecosystem.family)
    return rows.filter(stale=True).exists()


def _announce(context: RunContext, download: Download) -> None:
    """Write the events of the files that came, and have them published."""
    download.write_events()
    if download.done:
        with transaction.atomic():
            context.request_publication()


def _publish(context: RunContext, before: int) -> RunCounts:
    """Step 7: see to it that the channel is published; counts what changed since `before`."""
    channel = context.channel()
    # Another process may be publishing this channel; its publication counts as well.
    while publish.wants(channel):
        context.check()
        run = context.run
        if not publish.publish(channel, stop=context.check, progress=context.progress, run=run):
            time.sleep(publish.WAIT_SECONDS)
    channel = context.channel()
    changes = counts.changes_since(context.run.mirror, before)
    if channel.frozen_at is None:
        return counts.published(context, channel, changes)
    context.log("The channel is frozen: what was found is published when it is unfrozen.")
    return counts.unpublished(context, channel, changes)
