"""All index files of a conda channel, from the bodies of what it publishes.

Rule: every file describes the same set. What an upstream says beside its index
(`run_exports.json`, `channeldata.json`, signatures) is passed on for published packages only.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ecosystems.base import BadIndex, Document, never_stop
from ecosystems.conda import signatures
from ecosystems.conda.extras import encoding, opened
from ecosystems.conda.records import build, entries
from ecosystems.conda.repodata import Index
from ecosystems.conda.shards import INDEX_NAME, shard_index
from ecosystems.conda.write import JSON_TYPE, ZSTD_TYPE, write_repodata
from ecosystems.upstream.decode import open_decoded

RUN_EXPORTS = "run_exports.json"
CHANNELDATA = "channeldata.json"
NOTICES = "notices.json"
CHANNELDATA_CAP = 256 << 20

Shards = Callable[[], Iterator[tuple[str, bytes, str]]]


def documents(
    section: str, shards: Shards, folder: Path, extras: Mapping[str, Sequence[Path]]
) -> Iterator[Document]:
    """The index files of a subdir, or with section "" those of the channel's root.

    `shards` gives (name, body, sha256 of the served shard), in the order of
    the names; for the root only the names are looked at.
    """
    if not section:
        names = {name for name, _, _ in shards()}
        yield _json(CHANNELDATA, channeldata(extras.get(CHANNELDATA, ()), names), folder)
        yield _json(NOTICES, {"notices": []}, folder)
        return
    digests: list[tuple[str, bytes]] = []
    with tempfile.TemporaryFile(dir=folder) as signed:
        if sources := extras.get(signatures.NAME):
            yield from signatures.publish(section, shards(), sources, folder=folder, spool=signed)
        bodies = _bodies(shards(), digests)
        yield from write_repodata(section, bodies, to=folder, stop=never_stop, signed=signed)
    index = shard_index(section, digests)
    yield _stored(INDEX_NAME, index, folder, media_type=ZSTD_TYPE)
    if sources := extras.get(RUN_EXPORTS):
        yield from run_exports(section, shards(), sources, folder=folder)


def run_exports(
    section: str,
    shards: Iterable[tuple[str, bytes, str]],
    sources: Sequence[Path],
    *,
    folder: Path,
) -> list[Document]:
    """`run_exports.json` (CEP 12) of the published files; the first source that has one wins.

    A source that cannot be read is passed over, for only build tools ask for it.
    """
    with opened(section, sources, folder) as indexes:
        bodies = (_run_exports_of(name, body, indexes) for name, body, _ in shards)
        return write_repodata(section, bodies, to=folder, stop=never_stop, name=RUN_EXPORTS)


def channeldata(sources: Sequence[Path], names: set[str]) -> dict[str, Any]:
    """The `channeldata.json` (CEP 38) of the published names; the first source with one wins.

    A source that cannot be read is no reason to publish nothing: the file is
    optional, and clients only show what it says.
    """
    packages: dict[str, Any] = {}
    for path in sources:
        try:
            text = b"".join(open_decoded(path, encoding(path), cap=CHANNELDATA_CAP))
            found = msgspec.json.decode(text, type=dict[str, Any]).get("packages")
        except (BadIndex, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(found, dict):
            packages = {key: found[key] for key in found if key in names} | packages
    subdirs = {
        subdir
        for package in packages.values()
        if isinstance(package, dict) and isinstance(package.get("subdirs"), list)
        for subdir in package["subdirs"]
        if isinstance(subdir, str)
    }
    return {
        "channeldata_version": 1,
        "packages": dict(sorted(packages.items())),
        "subdirs": sorted(subdirs | {"noarch"}),
    }


def _bodies(
    shards: Iterable[tuple[str, bytes, str]], digests: list[tuple[str, bytes]]
) -> Iterator[bytes]:
    for name, body, served in shards:
        digests.append((name, bytes.fromhex(served)))
        yield body


def _run_exports_of(name: str, body: bytes, indexes: Sequence[Index]) -> bytes:
    published = entries(body)
    found: dict[str, bytes] = {}
    for index in reversed(indexes):
        known = entries(index.body(name))
        found |= {file: raw for file, raw in known.items() if file in published}
    return build(found.items(), ())


def _json(name: str, content: dict[str, Any], folder: Path) -> Document:
    return _stored(name, msgspec.json.encode(content), folder, media_type=JSON_TYPE)


def _stored(name: str, content: bytes, folder: Path, *, media_type: str) -> Document:
    path = folder / name
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Document(name, path, digest, len(content), f'"{digest}"', media_type)
