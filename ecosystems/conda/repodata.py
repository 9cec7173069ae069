"""Reads a conda index (`repodata.json`) into one shard a package name.

Rule: the index is never one tree in memory: members of the document are read from the stream one
after another, and records go into the temporary file of an `Index`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ecosystems.conda.body import KINDS
from ecosystems.conda.index import Index
from ecosystems.conda.json_members import RepeatedKeys, decode
from ecosystems.conda.json_stream import JsonStream
from ecosystems.errors import BadIndex
from ecosystems.progress import Stop

INFO_CAP = 64 << 10
REMOVED_CAP = 64 << 20
"""Bytes of the list `removed`, which is in memory as a whole."""


def read(blocks: Iterable[bytes], *, subdir: str, work: Path, stop: Stop) -> Index:
    """Reads the decoded blocks of one `repodata.json` to their end.

    Raises BadIndex, with a sentence, for anything that is not such an index or
    is the index of another subdir. The index holds a temporary file in `work`
    until it is closed.
    """
    index = Index(subdir, work)
    try:
        stream = JsonStream(_stoppable(blocks, stop))
        keys: set[str] = set()
        for key in stream.members():
            _add_key(key, keys)
            if key == "signatures":
                index.signatures = Index(subdir, work)
                _read_entries(index.signatures, stream, kind=0)
            else:
                _read_member(index, stream, key)
        _check_shape(keys)
        _check_subdir(index)
    except BaseException:
        index.close()
        raise
    return index


def _add_key(key: str, keys: set[str]) -> None:
    # RFC 8259, 4: readers differ in which of two they take, so clients would see different sets.
    if key in keys:
        raise BadIndex(f"The index holds `{key}` twice.")
    keys.add(key)


def _stoppable(blocks: Iterable[bytes], stop: Stop) -> Iterator[bytes]:
    for block in blocks:
        stop()
        yield block


def _read_member(index: Index, stream: JsonStream, key: str) -> None:
    match key:
        case "packages" | "packages.conda":
            _read_packages(index, stream, key)
        case "v3":
            # Its records repeat the packages in another form: all of it goes, so that
            # nothing left out can be found there.
            index.v3_records = _count_v3(stream)
        case "info":
            index.info = _info(stream)
        case "removed":
            index.removed = _removed(stream)
        case _:
            # Nothing is published of it, so it may be anything.
            stream.value(cap=0)


def _read_packages(index: Index, stream: JsonStream, key: str) -> None:
    if stream.at_object():
        _read_entries(index, stream, list(KINDS).index(key))
    # `null` says that there are none.
    elif stream.value(cap=len(b"null")) != b"null":
        raise BadIndex(f"`{key}` in the index is not an object.")


def _read_entries(index: Index, stream: JsonStream, kind: int) -> None:
    """Takes in the members of the object that begins here; any other value has none."""
    if not stream.at_object():
        stream.value(cap=0)
        return
    for group in stream.entries():
        index.add(group, kind)
    index.add_unreadable(stream.unreadable)
    stream.unreadable = []
    index.repeated.take_over(stream.repeated)


def _count_v3(stream: JsonStream) -> int:
    """How many records the part `v3` has: an object of objects of records."""
    if not stream.at_object():
        stream.value(cap=0)
        return 0
    return sum(_count_members(stream) for _ in stream.inner_members())


def _count_members(stream: JsonStream) -> int:
    if not stream.at_object():
        stream.value(cap=0)
        return 0
    count = sum(len(group) for group in stream.entries()) + len(stream.unreadable)
    # What is wrong with them concerns nobody: none is published.
    stream.unreadable, stream.repeated = [], RepeatedKeys()
    return count


def _info(stream: JsonStream) -> dict[str, object]:
    text = stream.value(cap=INFO_CAP)
    if text == b"null":
        return {}
    if text is None or not text.startswith(b"{"):
        raise BadIndex("`info` in the index is not an object of at most 64 kB.")
    info = decode(text, dict[str, object])
    # It announces parts of the index (`v3`) that are not taken over.
    info.pop("repodata_revisions", None)
    return info


def _removed(stream: JsonStream) -> list[str]:
    text = stream.value(cap=REMOVED_CAP)
    if text is None:
        raise BadIndex(f"`removed` in the index has more than {REMOVED_CAP >> 20} MB.")
    if not text.startswith(b"["):
        return []  # Some registries write an empty object; it is only a list of what to leave out.
    return [file for file in decode(text, list[object]) if isinstance(file, str)]


def _check_shape(keys: set[str]) -> None:
    """Another service's word for an error, say, must not pass as an empty channel."""
    if keys and keys.isdisjoint(("info", *KINDS)):
        raise BadIndex("The index has neither `info` nor `packages`: it is something else.")


def _check_subdir(index: Index) -> None:
    stated = index.info.get("subdir") or index.subdir
    if stated != index.subdir:
        raise BadIndex(f"The index says it is the one of `{stated}`, not of `{index.subdir}`.")
