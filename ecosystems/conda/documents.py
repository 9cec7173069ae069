"""All index files of a conda channel, from the bodies of what it publishes.

Rule: every file describes the same set. What an upstream says beside its index
(`run_exports.json`, `channeldata.json`, signatures) is passed on for published packages only.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from ecosystems.base import Shards
from ecosystems.conda import channeldata, run_exports, signatures
from ecosystems.conda.repodata_writer import JSON_TYPE, ZSTD_TYPE, write_repodata
from ecosystems.conda.shards import INDEX_NAME, shard_index
from ecosystems.documents import Document
from ecosystems.progress import never_stop

NOTICES = "notices.json"
NO_NOTICES = b'{"notices": []}'


def documents(
    section: str, shards: Shards, folder: Path, extras: Mapping[str, Sequence[Path]]
) -> Iterator[Document]:
    """The index files of a subdir, or with section "" those of the channel's root.

    `shards` gives (name, body, sha256 of the served shard), in the order of
    the names; for the root only the names are looked at.
    """
    if not section:
        names = {name for name, _, _ in shards()}
        said = channeldata.merged(extras.get(channeldata.NAME, ()), names)
        yield _json(channeldata.NAME, said, folder)
        yield _json(NOTICES, {"notices": []}, folder)
        return
    digests: list[tuple[str, bytes]] = []
    exporting: list[str] = []
    with tempfile.TemporaryFile(dir=folder) as signed:
        if sources := extras.get(signatures.NAME):
            yield from signatures.publish(section, shards(), sources, folder=folder, spool=signed)
        # After the signatures, which are written into the index.
        bodies = _bodies(shards(), digests, exporting)
        yield from write_repodata(section, bodies, to=folder, stop=never_stop, signed=signed)
    # After `write_repodata`, which runs through the shards and so fills both lists.
    index = shard_index(section, digests)
    yield _stored(INDEX_NAME, index, folder, media_type=ZSTD_TYPE)
    sources = extras.get(run_exports.NAME, ())
    if sources or exporting:
        yield from run_exports.publish(section, shards(), sources, folder=folder)


def _bodies(
    shards: Iterable[tuple[str, bytes, str]],
    digests: list[tuple[str, bytes]],
    exporting: list[str],
) -> Iterator[bytes]:
    """The bodies; notes the hash of each shard, and packages whose records have run exports."""
    for name, body, served in shards:
        if run_exports.states_exports(body):
            exporting.append(name)
        digests.append((name, bytes.fromhex(served)))
        yield body


def _json(name: str, content: dict[str, object], folder: Path) -> Document:
    return _stored(name, msgspec.json.encode(content), folder, media_type=JSON_TYPE)


def _stored(name: str, content: bytes, folder: Path, *, media_type: str) -> Document:
    path = folder / name
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Document(name, path, digest, len(content), f'"{digest}"', media_type)
