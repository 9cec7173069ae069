"""Finds the listed files that an accepted index replaces, and holds what its mirror is to hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.db import transaction

from channels.batches import batched
from channels.models import Channel
from ecosystems import pack as packs
from ecosystems import registry
from ecosystems.records import Record, same_bytes
from history.models import EventType, record
from mirrors import replaced_files, run_control
from mirrors.models import AcceptedSnapshot, Mirror, ReplacedFile, Snapshot
from publishing.inputs import pack
from publishing.outcomes import stated_hash
from publishing.published_records import PublishedSection

MOST_FILES = 100
"""Of one package, in an event."""


@dataclass(slots=True)
class Replacements:
    """What an index replaces in one section."""

    section: str
    names: list[str] = field(default_factory=list)
    """The packages that were compared; of them only these files are replaced."""
    files: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """By file name: the package, the old hash, the new one."""


def compare(mirror: Mirror, snapshots: Mapping[str, Snapshot | None]) -> list[Replacements]:
    """What these snapshots, about to be accepted, replace of what the channel lists."""
    accepted = AcceptedSnapshot.objects.filter(mirror=mirror, section__in=list(snapshots))
    before = {row.section: row.snapshot for row in accepted.select_related("snapshot")}
    return [
        _compare(mirror, section, before[section], snapshot)
        for section, snapshot in snapshots.items()
        if snapshot is not None and section in before and replaced_files.holds(mirror, section)
    ]


def _compare(mirror: Mirror, section: str, old: Snapshot, new: Snapshot) -> Replacements:
    ecosystem, channel = registry.get(mirror.kind), Channel.objects.get(pk=mirror.channel_id)
    published = PublishedSection(channel.pk, channel.current, ecosystem, section)
    changes = packs.changed(pack(old.pack_id), opened := pack(new.pack_id))
    result = Replacements(section, [*changes.added, *changes.replaced, *changes.removed])
    for names in batched([*changes.added, *changes.replaced]):
        by_name = published.by_mirror(names)
        for name in names:
            mine = by_name.get(name, {}).get(mirror.pk, [])
            listed = {row.record.filename: row.record for row in mine}
            if not listed:
                continue
            for fresh in ecosystem.records(opened.read(name), section=section, name=name):
                earlier = listed.get(fresh.filename)
                if isinstance(fresh, Record) and earlier and not same_bytes(earlier, fresh):
                    hashes = name, stated_hash(earlier), stated_hash(fresh)
                    result.files[fresh.filename] = hashes
    return result


def hold(mirror: Mirror, replacements: list[Replacements], *, run: int | None = None) -> None:
    """Write what is held from now on; call it in the transaction that accepts the snapshots."""
    for replaced in replacements:
        fresh = list(_update(mirror, replaced))
        for name in sorted({row.name for row in fresh}):
            _tell(mirror, name, [row for row in fresh if row.name == name], run)


def _update(mirror: Mirror, replaced: Replacements) -> Iterator[ReplacedFile]:
    """Bring the rows of the compared packages up to date; those that are new."""
    rows = ReplacedFile.objects.filter(mirror=mirror, section=replaced.section)
    stored: dict[str, ReplacedFile] = {}
    for names in batched(replaced.names):
        stored |= {row.filename: row for row in rows.filter(name__in=names)}
    for filename, row in stored.items():
        # Listed by now, gone, as it was before, or replaced once more.
        if replaced.files.get(filename, ("", "", ""))[2] != row.new_digest:
            row.delete()
    for filename, (name, old, new) in replaced.files.items():
        if filename not in stored or stored[filename].new_digest != new:
            yield ReplacedFile.objects.create(
                mirror=mirror,
                section=replaced.section,
                name=name,
                filename=filename,
                old_digest=old,
                new_digest=new,
            )


def _tell(mirror: Mirror, name: str, rows: list[ReplacedFile], run: int | None) -> None:
    family = registry.get(mirror.kind).family
    record(
        EventType.ARTIFACT_HELD,
        channel_id=mirror.channel_id,
        mirror_id=mirror.pk,
        run_id=run,
        family=family,
        data={"artifact_family": family, "name": name, "channel": mirror.channel.path},
        meta={
            "held": len(rows),
            "files": [row.filename for row in rows[:MOST_FILES]],
            "hashes": {
                row.filename: {"old": row.old_digest, "new": row.new_digest}
                for row in rows[:MOST_FILES]
            },
        },
    )


def release_held_indexes(mirror: Mirror, *, actor: str) -> list[str]:
    """Let pass what the guard holds; what that replaces of listed files is held all the same."""
    held = {section: hold["snapshot"] for section, hold in mirror.held.items()}
    stored = Snapshot.objects.in_bulk([pk for pk in held.values() if pk is not None])
    snapshots = {section: stored.get(pk) if pk else None for section, pk in held.items()}
    replacements = compare(mirror, snapshots)
    with transaction.atomic():
        released = run_control.release(mirror, actor=actor)
        hold(mirror, replacements)
    return released
