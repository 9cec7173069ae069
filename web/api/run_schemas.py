"""Runs as the API shows them: their progress and counts, in the words of the vendor's client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from channels.states import ACTIVE
from filters.rules.model import CHANNEL_RULES, MIRROR_RULES
from mirrors.models import Hold, Run
from runs import excluded_names
from web.api.schemas import JsonObject, timestamp

COUNTS = ("active", "passive", "failed", "removed", "active_planned")


class RunCounts(TypedDict, total=False):
    """Numbers of files; a run stores each key once it has counted it."""

    listed: int
    active: int
    passive: int
    failed: int
    removed: int
    active_planned: int
    mirror_filtered: dict[str, int]
    channel_filtered: dict[str, int]


class Logs(TypedDict):
    """File names by the rule that leaves the files out."""

    mirror_filtered: dict[str, list[str]]
    channel_filtered: dict[str, list[str]]


class SyncState(TypedDict):
    total_steps_count: int
    current_step_number: int
    current_step_percentage: int
    current_step_description: str
    last_ckey: None
    last_exception: str | None
    # The vendor's spelling.
    bytes_transfered: int
    count: RunCounts
    logs: Logs


class StepItem(TypedDict):
    """A step that a run has begun; `ended` is null while it is in it."""

    number: int
    description: str
    started: str
    ended: str | None


class RunItem(TypedDict):
    id: int
    number: int
    state: str
    cause: str
    actor: str
    created: str | None
    started: str | None
    ended: str | None
    held: Mapping[str, Hold]
    warnings: list[str]
    outcome: str | None
    filters: JsonObject
    steps: list[StepItem]
    sync_state: SyncState


def run_item(run: Run) -> RunItem:
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


def sync_state(run: Run | None) -> SyncState:
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


def counts(stored: RunCounts) -> RunCounts:
    """Counts with every key, whatever the run has counted so far."""
    return {
        "listed": stored.get("listed", 0),
        "active": stored.get("active", 0),
        "passive": stored.get("passive", 0),
        "failed": stored.get("failed", 0),
        "removed": stored.get("removed", 0),
        "active_planned": stored.get("active_planned", 0),
        # With rules that are newer than the run: clients find every key.
        "mirror_filtered": {
            **dict.fromkeys(MIRROR_RULES, 0),
            **stored.get("mirror_filtered", {}),
        },
        "channel_filtered": {
            **dict.fromkeys(CHANNEL_RULES, 0),
            **stored.get("channel_filtered", {}),
        },
    }


def logs(run: Run) -> Logs:
    """The first names of the files left out; none while it runs."""
    empty = _empty_logs()
    if run.state in ACTIVE:
        return empty
    names = excluded_names.stored(run)
    return {
        "mirror_filtered": empty["mirror_filtered"] | names.get("mirror_filtered", {}),
        "channel_filtered": empty["channel_filtered"] | names.get("channel_filtered", {}),
    }


def _empty_logs() -> Logs:
    return {
        # Every rule is a key, so that clients need not ask which are there.
        "mirror_filtered": {rule: [] for rule in MIRROR_RULES},
        "channel_filtered": {rule: [] for rule in CHANNEL_RULES},
    }
