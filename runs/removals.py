"""When what the upstream dropped may go: only once a run has brought what came in its place.

A run in which too many new files fail removes nothing, and says what stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from channels.states import JobState
from ecosystems.sentences import SHOWN_NAMES
from mirrors import run_control, warnings
from mirrors.models import Mirror, Run, WithheldRemovals
from runs.accept_snapshots import Acceptance
from runs.context import RunContext, Stopped, lock_mirror
from runs.counts import RunCounts


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """How many files a run was to download, and how many of them failed."""

    planned: int = 0
    failed: int = 0

    @property
    def enough(self) -> bool:
        """Whether so much has come that what the upstream dropped may go."""
        # The larger of the two: one file of ten is a large share, and says little.
        return self.failed <= max(settings.FAILED_MIN, self.planned * settings.FAILED_SHARE)


def is_incomplete(mirror: Mirror) -> bool:
    """Whether no run has brought all files of the mirror's accepted index yet."""
    return Mirror.objects.filter(pk=mirror.pk, incomplete=True).exists()


def allow_removals(context: RunContext, acceptance: Acceptance, result: DownloadResult) -> bool:
    """Let go what the upstream dropped, with the publication that follows; False: it stays."""
    run, mirror = context.run, context.run.mirror
    if not result.enough:
        return False
    with transaction.atomic():
        lock_mirror(run)
        mine = Run.objects.filter(pk=run.pk, fence=run.fence, state=JobState.RUNNING)
        if not mine.update(owner=run.owner):
            # Asked to stop in this moment: a stopped run removes nothing.
            raise Stopped
        for section in acceptance.gone:
            run_control.accept_snapshot(mirror, section, None)
        rows = Mirror.objects.filter(pk=mirror.pk, incomplete=True)
        if rows.update(incomplete=False, withheld_removals={}) or acceptance.gone:
            context.request_publication()
    return True


def report_staying(context: RunContext, result: DownloadResult, counts: RunCounts) -> None:
    """Say that dropped files stay because too many new ones failed; nothing to say, they are gone.

    `Mirror.withheld_removals` is a fact about this run: the next one decides anew.
    """
    run = context.run
    facts = WithheldRemovals(failed=result.failed, planned=result.planned, names=failed_names(run))
    with transaction.atomic():
        lock_mirror(run)
        run.write(owner=run.owner)
        rows = Mirror.objects.filter(pk=run.mirror_id, incomplete=True)
        if counts["stays"]:
            rows.update(withheld_removals=facts)
            context.log(warnings.withheld_removals(facts, counts["stays"]), level="warning")
        else:
            rows.update(incomplete=False, withheld_removals={})


def failed_names(run: Run) -> list[str]:
    """The first files that failed."""
    failures = run.failures.order_by("pk")
    return list(failures.values_list("filename", flat=True)[:SHOWN_NAMES])
