"""Optional files that go with a section's index: `run_exports.json`, `channeldata.json`, names.

They are of the index that the upstream has now. While an active mirror has not brought all of it,
what they said before stays beside them: files and packages may be listed that they know no more.
"""

from __future__ import annotations

from pathlib import Path

from channels import blobs
from channels.models import Document, Package
from ecosystems.indexes import NAMES
from filters.rules import refused
from publishing.inputs import Identity, Inputs, MirrorInputs


def files(
    inputs: Inputs, published: Identity, section: str, folder: Path, *, revision: int
) -> dict[str, list[Path]]:
    """The files of a section by name, the first says most; new ones are written to `folder`.

    `published`: the inputs of what is published now. `revision`: the one that they go with.
    """
    paths: dict[str, list[Path]] = {}
    for mirror in inputs.mirrors:
        for name, sha256 in dict(mirror.extras()).get(section, {}).items():
            path = blobs.path(sha256)
            # The list of names may not show what the filters keep out.
            if name == NAMES:
                path = _allowed_names(inputs, mirror, section, path, folder)
            paths.setdefault(name, []).append(path)
    identities = identity(inputs, published)["mirrors"].values()
    stays = any(section in mirror.get("stays", ()) for mirror in identities)
    if stays or _has_stale_packages(inputs, section, revision):
        for name, path in _published_files(inputs, section):
            paths.setdefault(name, []).append(path)
    return paths


def identity(inputs: Inputs, published: Identity) -> Identity:
    """`Inputs.identity`, with the sections in which each mirror's earlier files stay."""
    current = inputs.identity()
    for mirror in inputs.mirrors:
        key = str(mirror.mirror.pk)
        before = published["mirrors"].get(key)
        if before is None or not (mirror.mirror.active and mirror.mirror.incomplete):
            continue
        old, new = before["extras"], current["mirrors"][key]["extras"]
        changed = {section for section in old if old[section] != new.get(section)}
        current["mirrors"][key]["stays"] = sorted(changed.union(before.get("stays", ())))
    return current


def section_identity(
    identity: Identity, section: str
) -> dict[str, tuple[dict[str, str] | None, bool]]:
    """What the files of a section depend on, by mirror; they change without any record."""
    by_mirror = {
        key: (mirror["extras"].get(section), section in mirror.get("stays", ()))
        for key, mirror in identity["mirrors"].items()
    }
    return {key: parts for key, parts in by_mirror.items() if any(parts)}


def _has_stale_packages(inputs: Inputs, section: str, revision: int) -> bool:
    """Whether records may stay there whose new bytes did not come."""
    rows = Package.objects.at(revision).filter(channel=inputs.channel, section=section, stale=True)
    return bool(section) and rows.exists()


def _published_files(inputs: Inputs, section: str) -> list[tuple[str, Path]]:
    """All index files of the section as clients get them now; they are read where they are wanted.

    By name, not by what the mirrors have now: the upstream may no longer have the file.
    """
    rows = Document.objects.at(inputs.channel.current).filter(
        channel=inputs.channel, section=section
    )
    return [(name, blobs.path(blob)) for name, blob in rows.values_list("name", "blob_id")]


def _allowed_names(
    inputs: Inputs, mirror: MirrorInputs, section: str, path: Path, folder: Path
) -> Path:
    """The listed names that the rules let through, as far as names alone decide."""
    family = mirror.ecosystem.family
    channels = inputs.channel_rules[family]
    names = [
        name
        for name in path.read_text().split()
        if not refused(section, name, mirror=mirror.rules, channels=channels, kind=family)
    ]
    allowed = folder / f"{NAMES}-{mirror.mirror.pk}"
    allowed.write_text("\n".join(names))
    return allowed
