"""Optional files that go with a section's index: `run_exports.json`, `channeldata.json`, names.

They are of the index that the upstream has now. While an active mirror has not brought all of it,
what they said before stays beside them: files and packages may be listed that they know no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from channels import blobs
from channels.models import Document, Package
from ecosystems.indexes import NAMES
from filters.rules import refused
from publishing.inputs import Input, Inputs


def files(
    inputs: Inputs, known: dict[str, Any], section: str, folder: Path, *, revision: int
) -> dict[str, list[Path]]:
    """The files of a section by name, the first says most; new ones are written to `folder`.

    `known`: the inputs of what is published now. `revision`: the one that they go with.
    """
    found: dict[str, list[Path]] = {}
    for one in inputs.mirrors:
        snapshot = one.snapshots.get(section)
        kept = snapshot.extras if snapshot else {} if section else one.mirror.upstream.extras
        for name, sha256 in kept.items():
            path = blobs.path(sha256)
            if name == NAMES:
                path = _kept_names(inputs, one, section, path, folder)
            found.setdefault(name, []).append(path)
    mirrors = identity(inputs, known)["mirrors"].values()
    if any(section in one.get("stays", ()) for one in mirrors) or _waits(inputs, section, revision):
        for name, path in _published(inputs, section):
            found.setdefault(name, []).append(path)
    return found


def identity(inputs: Inputs, known: dict[str, Any]) -> dict[str, Any]:
    """`Inputs.identity`, with the sections in which each mirror's earlier files stay."""
    found = inputs.identity()
    for one in inputs.mirrors:
        key = str(one.mirror.pk)
        before = known.get("mirrors", {}).get(key)
        if before is None or not (one.mirror.active and one.mirror.incomplete):
            continue
        old, new = before.get("extras", {}), found["mirrors"][key]["extras"]
        changed = {name for name in old if old[name] != new.get(name)}
        found["mirrors"][key]["stays"] = sorted(changed.union(before.get("stays", ())))
    return found


def known(identity: dict[str, Any], section: str) -> dict[str, Any]:
    """What the files of a section depend on, by mirror; they change without any record."""
    found = {
        key: (one.get("extras", {}).get(section), section in one.get("stays", ()))
        for key, one in identity.get("mirrors", {}).items()
    }
    return {key: value for key, value in found.items() if any(value)}


def _waits(inputs: Inputs, section: str, revision: int) -> bool:
    """Whether records may stay there whose new bytes did not come."""
    rows = Package.objects.at(revision).filter(channel=inputs.channel, section=section, stale=True)
    return bool(section) and rows.exists()


def _published(inputs: Inputs, section: str) -> list[tuple[str, Path]]:
    """All index files of the section as clients get them now; they are read where they are wanted.

    By name, not by what the mirrors have now: the upstream may no longer have the file.
    """
    rows = Document.objects.at(inputs.channel.current).filter(
        channel=inputs.channel, section=section
    )
    return [(name, blobs.path(blob)) for name, blob in rows.values_list("name", "blob_id")]


def _kept_names(inputs: Inputs, one: Input, section: str, path: Path, folder: Path) -> Path:
    """The listed names that the rules let through, as far as names alone decide."""
    family = one.ecosystem.family
    channels = inputs.channel_rules[family]
    names = [
        name
        for name in path.read_text().split()
        if not refused(section, name, mirror=one.rules, channels=channels, kind=family)
    ]
    kept = folder / f"{NAMES}-{one.mirror.pk}"
    kept.write_text("\n".join(names))
    return kept
