"""What an upstream takes back as unsafe acts at once, whatever the guard says of the rest.

Of a held index the packages that are withdrawn whole (a quarantined project, PEP 792) replace
those of the accepted one; everything else stays as it was accepted.
"""

from __future__ import annotations

from channels import blobs
from ecosystems import pack as packs
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record
from ecosystems.sentences import first_names
from mirrors.models import Snapshot
from publishing.inputs import pack
from runs.context import RunContext

MERGED = ""
"""The `sha256` of a snapshot that was put together here: no index came like that."""


def with_withdrawals(context: RunContext, accepted: Snapshot, held: Snapshot) -> Snapshot | None:
    """A snapshot, not saved yet, of the accepted index with what the held one withdraws.

    None where that is nothing new.
    """
    ecosystem = registry.get(context.run.mirror.kind)
    old, new = pack(accepted.pack_id), pack(held.pack_id)
    names = _withdrawn(ecosystem, old, new)
    if not names:
        return None
    path = blobs.temporary_path(f"run{context.run.pk}")

    def records(name: str, body: bytes) -> list[Record | Invalid]:
        return ecosystem.records(body, section=held.section, name=name)

    with PackWriter(path, records=records) as writer:
        for name in old.names():
            context.check()
            if name in names:
                writer.add(name, new.read(name), new.names()[name].count)
            else:
                writer.copy(name, old)
        sha256 = writer.close(old.meta)
    context.log(
        f"{held.section} is held, but what its source withdraws as unsafe is left out at once: "
        f"{first_names(sorted(names))}.",
        level="warning",
    )
    merged = Snapshot.objects.get(pk=accepted.pk)
    merged.pk, merged._state.adding = None, True
    merged.sha256, merged.pack = MERGED, blobs.store(path, sha256)
    return merged


def _withdrawn(ecosystem: Ecosystem, old: Pack, new: Pack) -> set[str]:
    """The packages that the new index withdraws whole and the old one does not."""
    changes = packs.changed(old, new)
    return {
        name
        for name in changes.replaced
        if ecosystem.withdrawn(new.read(name)) is None
        and ecosystem.withdrawn(old.read(name)) is not None
    }
