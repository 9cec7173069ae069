"""`channeldata.json` (CEP 38) of a channel: what it says of packages, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ecosystems.conda.extra_files import encoding
from ecosystems.errors import BadIndex
from ecosystems.upstream.decode import open_decoded

NAME = "channeldata.json"
CAP = 256 << 20


def packages(path: Path) -> dict[str, Any]:
    """What a file says of packages, by name; raises BadIndex for one that cannot be read."""
    try:
        text = b"".join(open_decoded(path, encoding(path), cap=CAP))
        found = msgspec.json.decode(text, type=dict[str, Any]).get("packages")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadIndex(f"{NAME} is not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise BadIndex(f"{NAME} has no object `packages`.")
    return found


def merged(sources: Sequence[Path], names: set[str]) -> dict[str, Any]:
    """The content for the published names; the first source with one wins.

    A source that cannot be read is no reason to publish nothing: the file is
    optional, and clients only show what it says.
    """
    known: dict[str, Any] = {}
    for path in sources:
        try:
            found = packages(path)
        except BadIndex:
            continue
        known = {key: found[key] for key in found if key in names} | known
    subdirs = {
        subdir
        for package in known.values()
        if isinstance(package, dict) and isinstance(package.get("subdirs"), list)
        for subdir in package["subdirs"]
        if isinstance(subdir, str)
    }
    return {
        "channeldata_version": 1,
        "packages": dict(sorted(known.items())),
        "subdirs": sorted(subdirs | {"noarch"}),
    }
