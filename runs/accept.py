"""Step 3 of a run: which of the fetched snapshots the mirror publishes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from channels import blobs, readership
from channels.models import Channel
from ecosystems import pack as packs
from ecosystems import registry
from ecosystems.errors import BadIndex
from ecosystems.records import Invalid, Record
from history.models import EventType
from mirrors import source_urls
from mirrors.models import AcceptedSnapshot, Mirror, Snapshot
from mirrors.run_control import accept, tell
from publishing.inputs import pack
from runs.context import Work
from runs.fetch import Fetch
from runs.guard import Facts, objection

NAMED = 3
"""So many sections are named in an error."""


@dataclass(slots=True)
class Taken:
    """What step 3 decided.

    `changed`: the channel has something to publish. `gone`: sections of an active mirror that the
    upstream no longer has; they go when the run is complete.
    """

    changed: bool
    held: dict[str, dict[str, object]]
    gone: list[str]


def check_source(mirror: Mirror) -> None:
    """An own channel as source: still there, still allowed, and not fed by this one."""
    source = mirror.upstream.channel
    if source is None:
        return
    way = source_urls.cycle(mirror.channel, source)
    if way:
        raise BadIndex(
            f"The mirror would feed itself: {' from '.join([mirror.channel.path, *way])}."
        )
    if not readership.may_mirror(source, owner=mirror.owner, actor=None):
        who = mirror.owner or "Nobody: the mirror's owner is gone, and it"
        raise BadIndex(f"{who} may not read the channel {source.path}.")


def take(work: Work, fetch: Fetch) -> Taken:
    """Accept the snapshots, or hold those that the guard objects to."""
    mirror = work.run.mirror
    accepted = {
        row.section: row.snapshot
        for row in AcceptedSnapshot.objects.filter(mirror=mirror).select_related(
            "snapshot__upstream"
        )
    }
    found = fetch.snapshots
    if not any(found.values()) and (mirror.skip_guard or not _same_source(mirror, accepted)):
        raise BadIndex(f"{mirror.upstream.url} has no index of {_words(list(found))}.")
    held = _objections(mirror, found, accepted) | _denied(fetch, accepted)
    news = {
        section: snapshot
        for section, snapshot in found.items()
        if section not in held and snapshot != accepted.get(section)
    }
    # Sections that are not asked for now must not come back from the source before.
    foreign = [
        section
        for section, snapshot in accepted.items()
        if section not in found and snapshot.upstream_id != mirror.upstream_id
    ]
    with transaction.atomic():
        saved = Mirror.objects.select_for_update(of=("self",)).get(pk=mirror.pk)
        for section, snapshot in news.items():
            if snapshot or not mirror.active:
                accept(mirror, section, snapshot.pk if snapshot else None)
        for section in foreign:
            accept(mirror, section, None)
        _tell_held(work, mirror, held)
        if saved.upstream_id == mirror.upstream_id:
            # Else the source was changed during the run, and the next one is the first of it.
            Mirror.objects.filter(pk=mirror.pk).update(held=held, skip_guard=False)
        if news and mirror.active:
            # From here on publications only add, until a run has brought all of it.
            Mirror.objects.filter(pk=mirror.pk).update(incomplete=True)
        snapshots = {key: snap.pk for key, snap in found.items() if snap and key not in held}
        snapshots |= {key: accepted[key].pk for key in held if key in accepted}
        work.run.write(snapshots=snapshots, held=held)
        root = _root_differs(mirror)
        if news or root:
            work.run.write(requested_version=mirror.channel.request_publication())
    _warn(work, fetch, accepted, held)
    gone = [section for section, snapshot in news.items() if snapshot is None and mirror.active]
    return Taken(changed=bool(news) or root, held=held, gone=gone)


def _root_differs(mirror: Mirror) -> bool:
    """Whether the optional files of the root are others than those that are published.

    Asked of what is published: a run of another mirror of this upstream may have brought them.
    """
    channel = Channel.objects.get(pk=mirror.channel_id)
    revision = channel.revisions.filter(number=channel.current).first()
    known = revision.inputs.get("mirrors", {}).get(str(mirror.pk), {}) if revision else {}
    return bool(known.get("extras", {}).get("", {}) != mirror.upstream.extras)


def _objections(
    mirror: Mirror, found: dict[str, Snapshot | None], accepted: dict[str, Snapshot]
) -> dict[str, dict[str, object]]:
    if mirror.skip_guard:
        return {}
    held: dict[str, dict[str, object]] = {}
    known = _same_source(mirror, accepted)
    for section, snapshot in found.items():
        before = known.get(section)
        if before is not None and snapshot is not None and before.scope != snapshot.scope:
            # Another part of the upstream was asked for; that says nothing about the upstream.
            continue
        if before == snapshot:
            continue
        reason = objection(
            section,
            _facts(before),
            _facts(snapshot),
            least=settings.GUARD_MIN,
            share=settings.GUARD_SHARE,
        )
        if reason and before is not None and snapshot is not None:
            # Looked at only where it matters: it reads what changed.
            reason = objection(
                section,
                _facts(before),
                _facts(snapshot),
                least=settings.GUARD_MIN,
                share=settings.GUARD_SHARE,
                explained=_explained(mirror, before, snapshot),
            )
        if reason:
            held[section] = {"snapshot": snapshot.pk if snapshot else None, "reason": reason}
    return held


def _explained(mirror: Mirror, before: Snapshot, snapshot: Snapshot) -> int:
    """How many files are gone because the upstream took them back, and says so."""
    ecosystem = registry.get(mirror.kind)
    old, new = pack(before.pack_id), pack(snapshot.pack_id)
    explained = 0
    changes = packs.changed(old, new)
    for name in (*changes.replaced, *changes.removed):
        listed, body = old.read(name), new.read(name) if name in new.names() else b""
        taken_back = ecosystem.withdrawn(body, listed)
        if taken_back != frozenset():
            earlier, later = (
                _readable(ecosystem.records(text, section=snapshot.section, name=name))
                if text
                else set()
                for text in (listed, body)
            )
            gone = earlier - later
            explained += len(gone if taken_back is None else gone & taken_back)
    return explained


def _readable(records: Iterable[Record | Invalid]) -> set[str]:
    return {record.filename for record in records if not isinstance(record, Invalid)}


def _same_source(mirror: Mirror, accepted: dict[str, Snapshot]) -> dict[str, Snapshot]:
    """Those of the mirror's present source: what another had says nothing about this one."""
    mine = (mirror.upstream.url, mirror.upstream.channel_id)
    return {
        section: snapshot
        for section, snapshot in accepted.items()
        if (snapshot.upstream.url, snapshot.upstream.channel_id) == mine
    }


def _denied(fetch: Fetch, accepted: dict[str, Snapshot]) -> dict[str, dict[str, object]]:
    """Sections that were published and that the upstream denies now: no reason to empty them."""
    return {
        section: {
            "snapshot": accepted[section].pk,
            "reason": f"{section} stays as it was: {error.message}",
        }
        for section, error in fetch.refused.items()
        if section in accepted
    }


def _facts(snapshot: Snapshot | None) -> Facts | None:
    if snapshot is None:
        return None
    invalid = snapshot.invalid
    if blobs.path(snapshot.pack_id).exists():
        groups = pack(snapshot.pack_id).left_out.values()
        invalid += sum(one.count for group in groups for one in group)
    listed = snapshot.listed - invalid
    return Facts(listed, snapshot.last_modified, snapshot.newest, invalid)


def _tell_held(work: Work, mirror: Mirror, held: dict[str, dict[str, object]]) -> None:
    """One event when a hold begins or changes, not one a run."""
    for one in held.values():
        work.log(str(one["reason"]), level="warning")
    if held and held != mirror.held:
        tell(work.run, EventType.MIRROR_HELD, held=held)


def _warn(
    work: Work,
    fetch: Fetch,
    accepted: dict[str, Snapshot],
    held: dict[str, dict[str, object]],
) -> None:
    """Tell of everything about this fetch that people do not expect."""
    for note in fetch.notes:
        work.log(note)
    asked = work.run.terms.get("subdirs") or []
    for section, snapshot in fetch.snapshots.items():
        if snapshot is None and section not in held:
            if section in asked:
                what = "no longer has" if section in accepted else "has never had"
                work.warn(f"The upstream {what} {section}, which the mirror asks for.")
            elif section == "noarch":
                work.warn("The upstream has no noarch; it is published empty.")
        elif snapshot is not None and section not in held:
            # Shown on the mirror as long as it publishes from this snapshot; the log is of the run.
            for warning in (*snapshot.warnings, *snapshot.extras_warnings):
                work.log(f"{section}: {warning}", level="warning")
    for section, error in fetch.refused.items():
        if section not in held:
            work.warn(f"{section} counts as not there: {error.message}")
    for warning in fetch.upstream.warnings:
        work.log(warning, level="warning")
    for warning in fetch.warnings:
        work.warn(warning)


def _words(sections: list[str]) -> str:
    if len(sections) == 1:
        return sections[0]
    more = f" and {len(sections) - NAMED} others" if len(sections) > NAMED else ""
    return f"any of {', '.join(sections[:NAMED])}{more}"
