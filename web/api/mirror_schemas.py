"""Mirrors and runs as the API shows them: prefixed keys in a channel, short ones over all.

The rule: every key is on every item. A list costs a handful of queries, however long it is; the
file names in `logs` are read for a single mirror only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from channels import readership
from channels.states import ACTIVE, JobState
from filters.rules.model import CHANNEL_RULES, MIRROR_RULES
from mirrors import cron, source_urls, warnings
from mirrors.models import Mirror, Run, RunOutcome, hold_reasons
from runs import excluded_names
from web.api.schemas import timestamp

COUNTS = ("active", "passive", "failed", "removed", "active_planned")
MIRROR_KEYS = frozenset(
    {
        "mirror_id", "state", "last_run_at", "last_success_at", "next_run_at", "created_at",
        "updated_at", "frequency", "held", "warnings", "outcome",
        "run_again", "run_number", "sync_state",
    }
)  # fmt: skip
"""What a mirror shows in its channel that nobody can set by sending it."""

Shape = dict[str, Any]


def with_related(mirrors: QuerySet[Mirror]) -> QuerySet[Mirror]:
    """With all that the shapes read, in one query."""
    latest = Run.objects.filter(mirror=OuterRef("pk")).order_by("-number").values("pk")[:1]
    return mirrors.select_related("channel__parent", "upstream", "filter", "owner").annotate(
        latest_run=Subquery(latest)
    )


def mirror_items(mirrors: Iterable[Mirror]) -> list[Shape]:
    """The items of a channel's list."""
    return [
        {
            "mirror_id": mirror.pk,
            "mirror_name": mirror.name,
            "mirror_type": mirror.kind,
            "mirror_mode": mirror.mode,
            **common,
        }
        for mirror, common in _with_common(mirrors)
    ]


def server_mirror_items(mirrors: Iterable[Mirror]) -> list[Shape]:
    """The items of the list over all channels."""
    return [
        {
            "id": mirror.pk,
            "name": mirror.name,
            "type": mirror.kind,
            "mode": mirror.mode,
            **common,
            **_place(mirror),
        }
        for mirror, common in _with_common(mirrors)
    ]


def mirror_item(mirror: Mirror, *, with_names: bool = False) -> Shape:
    """One mirror; `with_names`: with those of the files left out (the first 100 a reason)."""
    row = with_related(Mirror.objects.filter(pk=mirror.pk)).get()
    shape = mirror_items([row])[0]
    run = _latest([row]).get(row.pk) if with_names else None
    if run:
        shape["sync_state"]["logs"] = logs(run)
    return shape


def run_item(run: Run) -> Shape:
    return {
        "id": run.pk,
        "number": run.number,
        "state": run.state,
        "cause": run.cause,
        "actor": run.actor,
        "created": timestamp(run.created_at),
        "started": timestamp(run.started_at),
        "ended": timestamp(run.ended_at),
        "held": run.held,
        "warnings": run.warnings,
        "outcome": run.outcome or None,
        "filters": run.filters,
        "steps": [
            {
                "number": step["number"],
                "description": Run.STEPS[step["number"] - 1],
                "started": step["started"],
                "ended": step["ended"],
            }
            for step in run.steps
        ],
        "sync_state": sync_state(run),
    }


def sync_state(run: Run | None) -> Shape:
    """Progress and counts, in the vendor's words; zeros before the first run."""
    step = run.step if run else 0
    return {
        "total_steps_count": len(Run.STEPS),
        "current_step_number": step,
        "current_step_percentage": run.percent if run else 0,
        "current_step_description": Run.STEPS[step - 1] if step else "",
        "last_ckey": None,
        "last_exception": (run.error or None) if run else None,
        "bytes_transfered": run.bytes if run else 0,
        "count": counts(run.counts if run else {}),
        "logs": _empty_logs(),
    }


def counts(run_counts: Shape) -> Shape:
    """Counts with every key, whatever the run has counted so far."""
    return {
        **{key: run_counts.get(key, 0) for key in ("listed", *COUNTS)},
        "mirror_filtered": {
            **dict.fromkeys(MIRROR_RULES, 0),
            **run_counts.get("mirror_filtered", {}),
        },
        "channel_filtered": {
            **dict.fromkeys(CHANNEL_RULES, 0),
            **run_counts.get("channel_filtered", {}),
        },
    }


def logs(run: Run) -> Shape:
    """The first names of the files left out; none while it runs."""
    empty = _empty_logs()
    if run.state in ACTIVE:
        return empty
    names = excluded_names.stored(run)
    return {key: {**empty[key], **names.get(key, {})} for key in empty}


def _empty_logs() -> Shape:
    return {
        "mirror_filtered": {reason: [] for reason in MIRROR_RULES},
        "channel_filtered": {reason: [] for reason in CHANNEL_RULES},
    }


def _with_common(mirrors: Iterable[Mirror]) -> list[tuple[Mirror, Shape]]:
    rows = list(mirrors)
    latest, warning_lists = _latest(rows), warnings.of_all(rows)
    granted = readership.publishing_to_more_readers(
        row.pk for row in rows if row.upstream.channel_id
    )
    return [
        (
            row,
            {
                **_common(row, latest.get(row.pk), warning_lists[row.pk]),
                readership.FIELD: row.pk in granted,
            },
        )
        for row in rows
    ]


def _common(mirror: Mirror, run: Run | None, warning_list: list[str]) -> Shape:
    return {
        "source_root": source_urls.shown(mirror.upstream),
        "state": run.state if run else JobState.PENDING,
        "last_run_at": timestamp(mirror.last_run_at),
        "last_success_at": timestamp(mirror.last_success_at),
        "next_run_at": timestamp(mirror.next_run_at),
        "created_at": timestamp(mirror.created_at),
        "updated_at": timestamp(mirror.updated_at),
        "cron": mirror.cron,
        "cron_timezone": mirror.cron_timezone,
        "frequency": cron.describe(mirror.cron),
        "proxy": source_urls.shown_proxy(mirror.upstream),
        "filters": mirror.filter.terms,
        "held": _held(mirror),
        "warnings": warning_list,
        "outcome": _outcome(mirror, run),
        "run_again": mirror.run_again,
        "run_number": run.number if run else None,
        "sync_state": sync_state(run) | {"count": counts(_counted(mirror, run))},
    }


def _counted(mirror: Mirror, run: Run | None) -> Shape:
    """What the last publication judged, so that an edit shows at once; the rest is the run's.

    A file that failed counts as failed for as long as it is asked for and not here.
    """
    run_counts = run.counts if run else {}
    if not mirror.counts:
        return run_counts
    failed = min(run_counts.get("failed", 0), mirror.counts["missing"])
    planned = mirror.counts["active"] + mirror.counts["missing"] if mirror.active else 0
    return {**run_counts, **mirror.counts, "failed": failed, "active_planned": planned}


def _place(mirror: Mirror) -> Shape:
    channel = mirror.channel
    parent = channel.parent or channel
    item: Shape = {"channel": {"name": parent.name, "privacy": parent.privacy}}
    if channel.parent:
        # The vendor's client stumbles over a subchannel that is null.
        item["subchannel"] = {"name": channel.name}
    return item


def _held(mirror: Mirror) -> str | None:
    """Why what the upstream has now is not published."""
    return " ".join(hold_reasons(mirror.held)) or None


def _outcome(mirror: Mirror, run: Run | None) -> str | None:
    """How the last run turned out; `held` also where the guard holds something since."""
    if run is None or run.state != JobState.COMPLETED:
        return None
    if run.outcome == RunOutcome.HELD and not mirror.held:
        return str(RunOutcome.OK)
    return run.outcome or None


def _latest(mirrors: list[Mirror]) -> dict[int, Run]:
    """The last run of each mirror, by the mirror's id."""
    ids = [mirror.latest_run for mirror in mirrors if mirror.latest_run]  # type: ignore[attr-defined]
    runs: dict[int, Run] = {}
    for start in range(0, len(ids), 500):
        for run in Run.objects.filter(pk__in=ids[start : start + 500]).defer("steps"):
            runs[run.mirror_id] = run
    return runs
