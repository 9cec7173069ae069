"""The files that a source lists by outcome, as counts whose sum is the number listed.

listed = filtered out by the mirror + by the channel + mirrored + failed + not downloaded yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.models import IntegerField, Max, Min, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from history.models import Event, EventType
from mirrors.models import Run
from publishing.outcomes import State
from web.labels import FAILED, RULE_LABELS, STATE_LABELS, filtered_by

Counts: TypeAlias = Mapping[str, Any]
"""`Run.counts`: numbers by name, and two objects of numbers by rule."""
ON_DEMAND = "On demand: downloaded when a client first requests it"
_ENDS = (
    EventType.MIRROR_STARTED,
    EventType.MIRROR_COMPLETED,
    EventType.MIRROR_FAILED,
    EventType.MIRROR_STOPPED,
)


@dataclass(frozen=True)
class Figure:
    """One number, the list behind it, and what it was in the run before."""

    label: str
    count: int
    reason: str = ""
    before: int | None = None
    parts: tuple[Figure, ...] = ()

    @property
    def change(self) -> str:
        if self.before is None or self.before == self.count:
            return ""
        return f"{self.count - self.before:+,}"


CHANGES = {
    "added": "Added to the channel",
    "replaced": "Replaced in the channel",
    "removed": "Removed from the channel",
}


@dataclass(frozen=True)
class FileSummary:
    listed: Figure
    stages: tuple[Figure, ...]
    changes: tuple[Figure, ...]
    """What the run changed in the channel: by the kind of change, as differences call it.
    They are differences themselves, so nothing is compared."""
    stays: Figure
    """Files that stay in the channel although the source removed them: not in the sum."""

    @property
    def sum(self) -> int:
        return sum(stage.count for stage in self.stages)


def fetched(run: Run) -> int:
    """How many files this run has downloaded, by the events it wrote."""
    channel_events = Event.objects.filter(channel_id=run.mirror.channel_id)
    ends = channel_events.filter(type__in=_ENDS, run_id=run.pk).aggregate(
        first=Min("id"), last=Max("id")
    )
    if ends["first"] is None:
        return 0
    # By type and id, as the index goes: a channel has many events of other runs.
    between = {"id__gte": ends["first"], "id__lte": ends["last"]}
    rows = channel_events.filter(type=EventType.ARTIFACT_GENERATED, run_id=run.pk, **between)
    count = Cast(KeyTextTransform("count", "meta"), IntegerField())
    return int(rows.aggregate(total=Sum(count))["total"] or 0)


def file_summary(run: Run, before: Run | None) -> FileSummary | None:
    """The run's numbers beside those of the run before; None where it has counted nothing yet."""
    counts = run.counts
    if not counts.get("listed") and not _total(counts):
        return None
    old = before.counts if before else None
    # The first filter that excludes a file counts it, so that no file counts twice.
    stages = [
        _filtered("mirror", filtered_by("mirror"), counts, old),
        _filtered("channel", filtered_by("channel"), counts, old),
        _mirrored(run, counts, old),
        _figure(STATE_LABELS[FAILED], FAILED, counts, old),
    ]
    # Only while a run is going, or after one that ended early.
    waiting = _waiting(run, counts)
    if waiting:
        stages.append(Figure(STATE_LABELS[State.MISSING], waiting, State.MISSING))
    listed = _figure("Listed by the source", "listed", counts, old, reason="all")
    return FileSummary(
        listed=listed,
        stages=tuple(stages),
        changes=tuple(_figure(label, kind, counts, None) for kind, label in CHANGES.items()),
        stays=_figure(STATE_LABELS[State.STAYS], State.STAYS, counts, old),
    )


def _total(counts: Counts) -> int:
    left_out: list[dict[str, int]] = [
        counts.get(f"{level}_filtered", {}) for level in ("mirror", "channel")
    ]
    passed: list[int] = [counts.get(key, 0) for key in ("active", "passive", "failed", "removed")]
    return sum(passed) + sum(sum(rule_counts.values()) for rule_counts in left_out)


def _waiting(run: Run, counts: Counts) -> int:
    # A passive mirror does not wait for files: they are on demand.
    if not run.mirror.active:
        return 0
    planned = int(counts.get("active_planned", 0))
    return max(0, planned - int(counts.get("active", 0)) - int(counts.get("failed", 0)))


def _filtered(level: str, label: str, counts: Counts, old: Counts | None) -> Figure:
    by_rule = counts.get(f"{level}_filtered", {})
    current = {rule: number for rule, number in by_rule.items() if number}
    previous = old.get(f"{level}_filtered", {}) if old is not None else None
    figures = tuple(
        Figure(
            RULE_LABELS.get(rule, rule),
            number,
            f"{level}.{rule}",
            previous.get(rule, 0) if previous is not None else None,
        )
        for rule, number in sorted(current.items(), key=lambda item: -item[1])
    )
    before = sum(previous.values()) if previous is not None else None
    return Figure(label, sum(current.values()), f"{level}." if figures else "", before, figures)


def _mirrored(run: Run, counts: Counts, old: Counts | None) -> Figure:
    figures = (*_present(run, counts), _figure(ON_DEMAND, "passive", counts, old))
    previous = [old.get(key, 0) for key in ("active", "passive")] if old is not None else None
    nonzero = tuple(figure for figure in figures if figure.count)
    return Figure(
        "Mirrored",
        sum(figure.count for figure in figures),
        parts=nonzero,
        before=sum(previous) if previous is not None else None,
    )


def _present(run: Run, counts: Counts) -> tuple[Figure, ...]:
    """The files that are here: what this run has downloaded, and what was here before it."""
    present = int(counts.get("active", 0))
    if not run.mirror.active:
        return (Figure("Already downloaded for a client", present, "active"),)
    downloaded = min(present, fetched(run))
    return (
        Figure("Downloaded by this run", downloaded, "active"),
        Figure("Already downloaded", present - downloaded, "active"),
    )


def _figure(
    label: str,
    key: str,
    counts: Counts,
    old: Counts | None,
    *,
    reason: str | None = None,
) -> Figure:
    count = int(counts.get(key, 0))
    link = key if reason is None else reason
    return Figure(
        label, count, link if count else "", int(old.get(key, 0)) if old is not None else None
    )
