"""Step 3 of a run: which of the fetched snapshots the mirror publishes from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import transaction

from channels import readership
from channels.models import Channel
from ecosystems.errors import BadIndex
from history.models import EventType
from mirrors import source_urls
from mirrors.models import AcceptedSnapshot, Hold, Holds, Mirror, Snapshot
from mirrors.run_control import accept_snapshot, record_event
from publishing import replaced_files
from publishing.inputs import published_identity
from runs.context import RunContext
from runs.fetch import Fetch
from runs.guard import objection
from runs.guard_facts import explained, facts, facts_since
from runs.withdrawals import with_withdrawals

SHOWN_SECTIONS = 3
"""How many sections are named in an error."""

Snapshots = dict[str, Snapshot]
"""By section."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What step 3 decided.

    `changed`: the channel has something to publish. `gone`: sections of an active mirror that the
    upstream no longer has; they go when the run is complete.
    """

    changed: bool
    held: Holds
    gone: list[str]


def check_source(mirror: Mirror) -> None:
    """A local channel as source: still there, still allowed, and not fed by this one."""
    source = mirror.upstream.channel
    if source is None:
        return
    # Rights and mirrors change after this one was saved, so the run asks again.
    cycle = source_urls.cycle(mirror.channel, source)
    if cycle:
        raise BadIndex(
            f"The mirror would feed itself: {' from '.join([mirror.channel.path, *cycle])}."
        )
    if not readership.may_mirror(source, owner=mirror.owner, actor=None):
        owner = mirror.owner or "Nobody: the mirror's owner is gone, and it"
        raise BadIndex(f"{owner} may not read the channel {source.path}.")


def accept_or_hold(context: RunContext, fetch: Fetch) -> Acceptance:
    """Accept the snapshots, or hold those that the guard objects to."""
    mirror, fetched = context.run.mirror, fetch.snapshots
    rows = AcceptedSnapshot.objects.filter(mirror=mirror).select_related("snapshot__upstream")
    accepted = {row.section: row.snapshot for row in rows}
    # Where this source had an index before, the guard holds that, and its words say more.
    if not any(fetched.values()) and (mirror.skip_guard or not _same_source(mirror, accepted)):
        raise BadIndex(f"{mirror.upstream.url} has no index of {_listed(list(fetched))}.")
    # A refused section is absent as well; what the upstream said counts more than that.
    held = _objections(mirror, fetched, accepted) | _denied(fetch, accepted)
    changed = {
        section: snapshot
        for section, snapshot in fetched.items()
        if section not in held and snapshot != accepted.get(section)
    }
    merged = _merged(context, held, fetched, accepted)
    # Before the transaction: it reads what changed.
    replacements = replaced_files.compare(mirror, changed | merged)
    with transaction.atomic():
        # Mirror before run, as all who lock both do.
        saved = Mirror.objects.select_for_update(of=("self",)).get(pk=mirror.pk)
        for section, snapshot in merged.items():
            snapshot.save()
            accept_snapshot(mirror, section, snapshot.pk)
        _write_accepted(mirror, changed, fetched, accepted)
        replaced_files.hold(mirror, replacements, run=context.run.pk)
        _write_held(context, mirror, held, same_source=saved.upstream_id == mirror.upstream_id)
        # What the counts and lists of this run are about: a held section as it was before.
        judged = {key: snap.pk for key, snap in fetched.items() if snap and key not in held}
        judged |= {key: snap.pk for key, snap in (accepted | merged).items() if key in held}
        context.run.write(snapshots=judged, held=held)
        publishes = bool(changed or merged) or _root_differs(mirror)
        if publishes:
            context.request_publication()
    _warn(context, fetch, accepted, held)
    gone = [section for section, snapshot in changed.items() if not snapshot and mirror.active]
    return Acceptance(changed=publishes, held=held, gone=gone)


def _merged(
    context: RunContext, held: Holds, fetched: dict[str, Snapshot | None], accepted: Snapshots
) -> Snapshots:
    """What is accepted in place of held sections whose upstream withdraws packages as unsafe."""
    merged: Snapshots = {}
    earlier = _same_source(context.run.mirror, accepted)
    for section in held:
        before, snapshot = earlier.get(section), fetched.get(section)
        if before is not None and snapshot is not None:
            replacement = with_withdrawals(context, before, snapshot)
            if replacement is not None:
                merged[section] = replacement
                # In the numbers that the next run will see, which would hold it anew otherwise.
                reason = _objection(section, replacement, snapshot)
                held[section]["reason"] = reason or held[section]["reason"]
    return merged


def _write_accepted(
    mirror: Mirror,
    changed: dict[str, Snapshot | None],
    fetched: dict[str, Snapshot | None],
    accepted: Snapshots,
) -> None:
    for section, snapshot in changed.items():
        # What an active mirror's upstream no longer has goes when the run is complete.
        if snapshot or not mirror.active:
            accept_snapshot(mirror, section, snapshot.pk if snapshot else None)
    for section, snapshot in accepted.items():
        # Sections that are not asked for now must not come back from the source before.
        if section not in fetched and snapshot.upstream_id != mirror.upstream_id:
            accept_snapshot(mirror, section, None)
    if changed and mirror.active:
        # From here on publications only add, until a run has brought all of it.
        Mirror.objects.filter(pk=mirror.pk).update(incomplete=True)


def _write_held(context: RunContext, mirror: Mirror, held: Holds, *, same_source: bool) -> None:
    """One event when a hold begins or changes, not one a run."""
    for hold in held.values():
        context.log(hold["reason"], level="warning")
    if held and held != mirror.held:
        record_event(context.run, EventType.MIRROR_HELD, held=held)
    if same_source:
        # Else the source was changed during the run, and the next one is the first of it.
        Mirror.objects.filter(pk=mirror.pk).update(held=held, skip_guard=False)


def _root_differs(mirror: Mirror) -> bool:
    """Whether the optional files of the root are others than those that are published.

    Asked of what is published: a run of another mirror of this upstream may have brought them.
    """
    published = published_identity(Channel.objects.get(pk=mirror.channel_id))
    mine = published["mirrors"].get(str(mirror.pk))
    files = mine["extras"].get("", {}) if mine else {}
    return bool(files != mirror.upstream.extras)


def _objections(mirror: Mirror, fetched: dict[str, Snapshot | None], accepted: Snapshots) -> Holds:
    if mirror.skip_guard:
        return {}
    held: Holds = {}
    earlier = _same_source(mirror, accepted)
    for section, snapshot in fetched.items():
        before = earlier.get(section)
        if before is not None and snapshot is not None and before.scope != snapshot.scope:
            # Another part of the upstream was asked for; that says nothing about the upstream.
            continue
        if before == snapshot:
            continue
        reason = _objection(section, before, snapshot)
        if reason:
            held[section] = Hold(snapshot=snapshot.pk if snapshot else None, reason=reason)
    return held


def _objection(section: str, before: Snapshot | None, snapshot: Snapshot | None) -> str | None:
    judge = partial(
        objection,
        section,
        facts(before),
        facts_since(before, snapshot),
        least=settings.GUARD_MIN,
        share=settings.GUARD_SHARE,
    )
    reason = judge()
    if reason and before is not None and snapshot is not None:
        # Asked only where it matters: it reads what changed.
        reason = judge(explained=explained(before, snapshot))
    return reason


def _same_source(mirror: Mirror, accepted: Snapshots) -> Snapshots:
    """Those of the mirror's present source: what another had says nothing about this one."""
    mine = (mirror.upstream.url, mirror.upstream.channel_id)
    return {
        section: snapshot
        for section, snapshot in accepted.items()
        if (snapshot.upstream.url, snapshot.upstream.channel_id) == mine
    }


def _denied(fetch: Fetch, accepted: Snapshots) -> Holds:
    """Sections that were published and that the upstream denies now: no reason to empty them."""
    return {
        section: {
            "snapshot": accepted[section].pk,
            "reason": f"{section} stays as it was: {error.message}",
        }
        for section, error in fetch.refused.items()
        if section in accepted
    }


def _warn(context: RunContext, fetch: Fetch, accepted: Snapshots, held: Holds) -> None:
    """Say everything about this fetch that people do not expect."""
    for note in fetch.notes:
        context.log(note)
    for section, snapshot in fetch.snapshots.items():
        if section in held:
            continue
        if snapshot is None:
            _warn_of_absent(context, section, section in accepted)
        else:
            # Shown on the mirror as long as it publishes from this snapshot; the log is of the run.
            for warning in (*snapshot.warnings, *snapshot.extras_warnings):
                context.log(f"{section}: {warning}", level="warning")
    for section, error in fetch.refused.items():
        if section not in held:
            context.warn(f"{section} counts as not there: {error.message}")
    for warning in fetch.upstream.warnings:
        context.log(warning, level="warning")
    for warning in fetch.warnings:
        context.warn(warning)


def _warn_of_absent(context: RunContext, section: str, had_it: bool) -> None:
    if section in (context.run.filters.get("subdirs") or []):
        tense = "no longer has" if had_it else "has never had"
        context.warn(f"The upstream {tense} {section}, which the mirror asks for.")
    elif section == "noarch":
        context.warn("The upstream has no noarch; it is published empty.")


def _listed(sections: list[str]) -> str:
    if len(sections) == 1:
        return sections[0]
    more = len(sections) - SHOWN_SECTIONS
    others = f" and {more} others" if more > 0 else ""
    return f"any of {', '.join(sections[:SHOWN_SECTIONS])}{others}"
