"""Mirrors and runs as the API shows them: prefixed keys in a channel, short ones over all.

The rule: every key is on every item. A list costs a handful of queries, however long it is; the
file names in `logs` are read for a single mirror only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NotRequired, TypedDict

from django.db.models import OuterRef, QuerySet, Subquery

from channels import readership
from channels.states import JobState
from filters.rules.age_form import AGE_FIELDS, DAYS, EXCEPTIONS
from mirrors import cron, source_urls, warnings
from mirrors.models import Mirror, ReplacedFile, Run, RunOutcome, hold_reasons
from web.api.run_schemas import RunCounts, SyncState, counts, logs, sync_state
from web.api.schemas import JsonObject, timestamp


class MirrorState(TypedDict):
    """What both items of a mirror say."""

    source_root: str
    state: str
    last_run_at: str | None
    last_success_at: str | None
    next_run_at: str | None
    created_at: str | None
    updated_at: str | None
    cron: str
    cron_timezone: str
    frequency: str
    proxy: str | None
    filters: JsonObject
    minimum_age_days: int
    age_exceptions: list[JsonObject]
    replaced_files: str
    held: str | None
    warnings: list[str]
    outcome: str | None
    run_again: bool
    run_number: int | None
    sync_state: SyncState
    publish_to_more_readers: bool


class MirrorItem(MirrorState):
    """A mirror in its channel."""

    mirror_id: int
    mirror_name: str
    mirror_type: str
    mirror_mode: str


class HeldFile(TypedDict):
    """A listed file that the upstream has replaced."""

    file: str
    name: str
    old_hash: str
    new_hash: str
    held_at: str | None


class ChannelName(TypedDict):
    name: str
    privacy: str


class SubchannelName(TypedDict):
    name: str


class MirrorPlace(TypedDict):
    """The channel that a mirror is in."""

    channel: ChannelName
    subchannel: NotRequired[SubchannelName]


class ServerMirrorItem(MirrorState, MirrorPlace):
    """A mirror in the list over all channels."""

    id: int
    name: str
    type: str
    mode: str


MIRROR_KEYS = frozenset(MirrorItem.__annotations__)
"""What a mirror shows in its channel."""


def with_related(mirrors: QuerySet[Mirror]) -> QuerySet[Mirror]:
    """With all that the shapes read, in one query."""
    latest = Run.objects.filter(mirror=OuterRef("pk")).order_by("-number").values("pk")[:1]
    return mirrors.select_related("channel__parent", "upstream", "filter", "owner").annotate(
        latest_run=Subquery(latest)
    )


def mirror_items(mirrors: Iterable[Mirror]) -> list[MirrorItem]:
    """The items of a channel's list."""
    return [_item(mirror, state) for mirror, _, state in _with_state(mirrors)]


def server_mirror_items(mirrors: Iterable[Mirror]) -> list[ServerMirrorItem]:
    """The items of the list over all channels."""
    return [
        {
            "id": mirror.pk,
            "name": mirror.name,
            "type": mirror.kind,
            "mode": mirror.mode,
            **state,
            **_place(mirror),
        }
        for mirror, _, state in _with_state(mirrors)
    ]


def mirror_item(mirror: Mirror, *, with_names: bool = False) -> MirrorItem:
    """One mirror; `with_names`: with those of the files left out (the first 100 a rule)."""
    row = with_related(Mirror.objects.filter(pk=mirror.pk)).get()
    [(_, run, state)] = _with_state([row])
    item = _item(row, state)
    if with_names and run:
        item["sync_state"]["logs"] = logs(run)
    return item


def held_file_items(rows: Iterable[ReplacedFile]) -> list[HeldFile]:
    """Files whose new bytes wait for a release."""
    return [
        {
            "file": f"{row.section}/{row.filename}",
            "name": row.name,
            "old_hash": row.old_digest,
            "new_hash": row.new_digest,
            "held_at": timestamp(row.held_at),
        }
        for row in rows
    ]


def _item(mirror: Mirror, state: MirrorState) -> MirrorItem:
    return {
        "mirror_id": mirror.pk,
        "mirror_name": mirror.name,
        "mirror_type": mirror.kind,
        "mirror_mode": mirror.mode,
        **state,
    }


def _with_state(mirrors: Iterable[Mirror]) -> list[tuple[Mirror, Run | None, MirrorState]]:
    """Each mirror with its last run and what both items say of it."""
    rows = list(mirrors)
    latest, warning_lists = _latest(rows), warnings.of_all(rows)
    # Only a mirror of another channel of this server can publish to more readers than its source.
    granted = readership.publishing_to_more_readers(
        row.pk for row in rows if row.upstream.channel_id
    )
    return [
        (row, run, _state(row, run, warning_lists[row.pk], more_readers=row.pk in granted))
        for row in rows
        for run in [latest.get(row.pk)]
    ]


def _state(
    mirror: Mirror, run: Run | None, warning_list: list[str], *, more_readers: bool
) -> MirrorState:
    return {
        # Without a password in it: whoever may see the mirror reads this.
        "source_root": source_urls.redacted_url(mirror.upstream),
        "state": run.state if run else JobState.PENDING,
        "last_run_at": timestamp(mirror.last_run_at),
        "last_success_at": timestamp(mirror.last_success_at),
        "next_run_at": timestamp(mirror.next_run_at),
        "created_at": timestamp(mirror.created_at),
        "updated_at": timestamp(mirror.updated_at),
        "cron": mirror.cron,
        "cron_timezone": mirror.cron_timezone,
        "frequency": cron.describe(mirror.cron),
        "proxy": source_urls.redacted_proxy(mirror.upstream),
        # The fields about age stand beside the filters, where a request has them, too.
        "filters": {k: v for k, v in mirror.filter.terms.items() if k not in AGE_FIELDS},
        "minimum_age_days": mirror.filter.terms.get(DAYS, 0),
        "age_exceptions": mirror.filter.terms.get(EXCEPTIONS, []),
        "replaced_files": mirror.replaced_files,
        "held": _held(mirror),
        "warnings": warning_list,
        "outcome": _outcome(mirror, run),
        "run_again": mirror.run_again,
        "run_number": run.number if run else None,
        "sync_state": {**sync_state(run), "count": counts(_counts(mirror, run))},
        "publish_to_more_readers": more_readers,
    }


def _counts(mirror: Mirror, run: Run | None) -> RunCounts:
    """What the last publication judged, so that an edit shows at once; the rest is the run's.

    A file that failed counts as failed for as long as it is wanted and not here.
    """
    run_counts: RunCounts = run.counts if run else {}
    if not mirror.counts:
        return run_counts
    failed = min(run_counts.get("failed", 0), mirror.counts["missing"])
    # A passive mirror fetches on demand, so no download of it is planned.
    planned = mirror.counts["active"] + mirror.counts["missing"] if mirror.active else 0
    return {**run_counts, **mirror.counts, "failed": failed, "active_planned": planned}


def _place(mirror: Mirror) -> MirrorPlace:
    channel = mirror.channel
    parent = channel.parent or channel
    place: MirrorPlace = {"channel": {"name": parent.name, "privacy": parent.privacy}}
    if channel.parent:
        # The vendor's client stumbles over a subchannel that is null.
        place["subchannel"] = {"name": channel.name}
    return place


def _held(mirror: Mirror) -> str | None:
    """Why what the upstream has now is not published."""
    return " ".join(hold_reasons(mirror.held)) or None


def _outcome(mirror: Mirror, run: Run | None) -> str | None:
    """How the last run turned out; `held` also where the guard holds something since."""
    if run is None or run.state != JobState.COMPLETED:
        return None
    # Released since: the run keeps the word that it ended with, but nothing waits any more.
    if run.outcome == RunOutcome.HELD and not mirror.held:
        return str(RunOutcome.OK)
    return run.outcome or None


def _latest(mirrors: list[Mirror]) -> dict[int, Run]:
    """The last run of each mirror, by the mirror's id."""
    ids = [mirror.latest_run for mirror in mirrors if mirror.latest_run]  # type: ignore[attr-defined]
    runs: dict[int, Run] = {}
    # In batches: databases limit the parameters of one statement. No mirror's item shows the
    # steps of its run, so they are not read.
    for start in range(0, len(ids), 500):
        for run in Run.objects.filter(pk__in=ids[start : start + 500]).defer("steps"):
            runs[run.mirror_id] = run
    return runs
