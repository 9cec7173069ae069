"""`channeldata.json` (CEP 38) of a channel: what it says of packages, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ecosystems.conda.extra_files import encoding
from ecosystems.errors import BadIndex
from ecosystems.upstream.decode import open_decoded

NAME = "channeldata.json"
CAP = 256 << 20


def packages(path: Path) -> dict[str, object]:
    """What a file says of packages, by name; raises BadIndex for one that cannot be read."""
    try:
        text = b"".join(open_decoded(path, encoding(path), cap=CAP))
        content = msgspec.json.decode(text, type=dict[str, object]).get("packages")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadIndex(f"{NAME} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BadIndex(f"{NAME} has no object `packages`.")
    return content


def merged(sources: Sequence[Path], names: set[str]) -> dict[str, object]:
    """The content for the published names; the first source with one wins.

    A source that cannot be read is no reason to publish nothing: the file is
    optional, and clients only show what it says.
    """
    by_name: dict[str, object] = {}
    for path in sources:
        try:
            source_packages = packages(path)
        except BadIndex:
            continue
        # What an earlier source says stays.
        by_name = {key: source_packages[key] for key in source_packages if key in names} | by_name
    subdirs = {
        subdir
        for package in by_name.values()
        if isinstance(package, dict) and isinstance(package.get("subdirs"), list)
        for subdir in package["subdirs"]
        if isinstance(subdir, str)
    }
    return {
        "channeldata_version": 1,
        "packages": dict(sorted(by_name.items())),
        # Every channel has it, even where no source names it.
        "subdirs": sorted(subdirs | {"noarch"}),
    }
