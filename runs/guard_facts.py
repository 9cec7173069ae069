"""Counts for the guard what two snapshots of one section list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from channels import blobs
from ecosystems import pack as packs
from ecosystems import registry
from ecosystems.records import Invalid, Record
from mirrors.models import Snapshot
from publishing.inputs import pack
from runs.guard import Facts


def facts(snapshot: Snapshot | None) -> Facts | None:
    """What a snapshot lists by itself; None where there is none."""
    if snapshot is None:
        return None
    invalid = snapshot.invalid
    if _is_here(snapshot):
        groups = pack(snapshot.pack_id).left_out.values()
        invalid += sum(left_out.count for group in groups for left_out in group)
    listed = snapshot.listed - invalid
    return Facts(listed, snapshot.last_modified, snapshot.newest, invalid)


def facts_since(before: Snapshot | None, snapshot: Snapshot | None) -> Facts | None:
    """What `snapshot` lists; files that have lost their hash since `before` do not count."""
    new = facts(snapshot)
    if before is None or snapshot is None or new is None:
        return new
    lost = _lost_hashes(before, snapshot)
    return replace(new, listed=new.listed - lost, unhashed=lost)


def explained(before: Snapshot, snapshot: Snapshot) -> int:
    """How many files are gone because the upstream took them back, and says so."""
    ecosystem = registry.get(snapshot.upstream.kind)
    old, new = pack(before.pack_id), pack(snapshot.pack_id)
    count = 0
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
            # None: the upstream took back the whole package.
            count += len(gone if taken_back is None else gone & taken_back)
    return count


def _lost_hashes(before: Snapshot, snapshot: Snapshot) -> int:
    """How many files had a hash and are listed without one now, whatever rules make of them."""
    ecosystem = registry.get(snapshot.upstream.kind)
    # Elsewhere a record without a hash is invalid. A lost pack is no reason to fail the run here.
    if not ecosystem.learns_from_files or not (_is_here(before) and _is_here(snapshot)):
        return 0
    old, new = pack(before.pack_id), pack(snapshot.pack_id)
    lost = 0
    for name in packs.changed(old, new).replaced:
        later = ecosystem.records(new.read(name), section=snapshot.section, name=name)
        unhashed = {record.filename for record in later if _is_unhashed(record)}
        # Most pages state all their hashes, and then the earlier one need not be read.
        if unhashed:
            earlier = ecosystem.records(old.read(name), section=snapshot.section, name=name)
            unhashed -= {record.filename for record in earlier if _is_unhashed(record)}
            lost += len(unhashed & _readable(earlier))
    return lost


def _is_here(snapshot: Snapshot) -> bool:
    return blobs.path(snapshot.pack_id).exists()


def _is_unhashed(record: Record | Invalid) -> bool:
    return isinstance(record, Record) and record.unhashed


def _readable(records: Iterable[Record | Invalid]) -> set[str]:
    return {record.filename for record in records if not isinstance(record, Invalid)}
