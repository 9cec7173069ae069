"""Reads a conda index (`repodata.json`) into one shard a package name.

Rule: the index is never one tree in memory. Records go, byte for byte, from
the stream into one temporary file, and a small table remembers where the
records of each name lie; shards are then read back name by name.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from ecosystems.conda.channel import is_name, name_of
from ecosystems.conda.json_stream import Group, JsonStream, Repeated, decoded
from ecosystems.errors import BadIndex
from ecosystems.progress import Stop
from ecosystems.records import Invalid, Shard

KINDS = {"packages": ".tar.bz2", "packages.conda": ".conda"}
SMALL_VALUE = 64 << 10
REMOVED_CAP = 64 << 20
INVALID_SHOWN = 1000
STOP_EVERY = 200  # shards


class _Place:
    """Where the records of one name and kind lie in the temporary file."""

    __slots__ = ("count", "last", "ordered", "spans")

    def __init__(self) -> None:
        self.spans = array("Q")  # start, end, start, end ...
        self.count = 0
        self.last = ""
        self.ordered = True


class Index:
    """A conda index as read: what stands beside the records, and the shards.

    `invalid` holds the first 1000 of the `invalid_count` records whose package
    name breaks the naming rules; they are in no shard. `dropped` counts what is
    not taken over, by key (`v3`). `listed` is the number of records of each
    kind, the invalid ones included; final once `shards` has run. `signed` has what
    the index says under `signatures`, in place of records.
    """

    def __init__(self, subdir: str, work: Path) -> None:
        self.subdir = subdir
        self.info: dict[str, Any] = {}
        self.repodata_version = 1
        self.removed: list[str] = []
        self.listed = dict.fromkeys(KINDS, 0)
        self.dropped: dict[str, int] = {}
        self.unknown: dict[str, Any] = {}
        self.signed: Index | None = None
        self.invalid: list[Invalid] = []
        self.invalid_count = 0
        self.repeated = Repeated()
        """File names that are listed again; final once `shards` has run."""
        self._places: tuple[dict[str, _Place], ...] = tuple({} for _ in KINDS)
        self._size = 0
        # Without a name on disk: a killed process leaves nothing behind.
        self._spool = tempfile.TemporaryFile(dir=work, buffering=0)  # noqa: SIM115

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._spool.close()
        if self.signed is not None:
            self.signed.close()

    @property
    def names(self) -> list[str]:
        """The package names that have records, sorted."""
        return sorted(set().union(*self._places))

    @property
    def base_url(self) -> str:
        """The upstream's own word on where the files are (CEP 15), or ""."""
        base_url = self.info.get("base_url")
        return base_url if isinstance(base_url, str) else ""

    def shards(self, stop: Stop) -> Iterator[Shard]:
        """One shard a name, in the order of the names.

        Also of those all of whose files were removed: it says that they are gone on purpose.
        """
        removed = self._removed_by_name()
        for number, name in enumerate(sorted({*self.names, *removed})):
            if number % STOP_EVERY == 0:
                stop()
            body = self.body(name, removed.get(name, ()))
            yield Shard(self.subdir, name, body, count=self.count(name))

    def twice(self, entries: str = "records") -> list[str]:
        """A sentence on the files that are listed more than once, if there are any."""
        number = self.repeated.count
        if not number:
            return []
        again = "1 file name is" if number == 1 else f"{number:,} file names are"
        return [
            f"{again} listed again: {self.repeated}; the last of the {entries} counts, as clients"
            " read it."
        ]

    def body(self, name: str, removed: Iterable[str] = ()) -> bytes:
        """The canonical body of one name's records; one without any for an unknown name."""
        packages, conda = (self._entries(name, kind) for kind in range(len(KINDS)))
        return join_body(packages, conda, removed)

    def count(self, name: str) -> int:
        """How many records a name has."""
        return sum(place.count for place in self._of(name))

    def weight(self, name: str) -> int:
        """How many bytes the records of a name have."""
        return sum(sum(place.spans[1::2]) - sum(place.spans[::2]) for place in self._of(name))

    def sort(self, group: Group, kind: int) -> None:
        """Takes a group in; clients install files of one kind that are listed among the other."""
        other_extension = list(KINDS.values())[1 - kind]
        if misplaced := {
            file: raw for file, raw in group.items() if file.endswith(other_extension)
        }:
            self._take(misplaced, 1 - kind)
            group = {file: raw for file, raw in group.items() if file not in misplaced}
        if group:
            self._take(group, kind)

    def refuse(self, files: list[str]) -> None:
        """Counts records that are in no shard, because their key says no package name."""
        self.listed["packages"] += len(files)
        self._refuse(files)

    def _of(self, name: str) -> list[_Place]:
        return [places[name] for places in self._places if name in places]

    def _take(self, group: Group, kind: int) -> None:
        """Spools a group of records and notes where those of each name lie."""
        files = list(group)
        keys = _encoded(files)
        raws = list(group.values())
        parts: list[Any] = [b'"', b"", b'":', b"", b","] * len(files)
        parts[1::5], parts[3::5] = keys, raws  # `"file":record,` each
        ends = list(
            accumulate(
                (len(key) + len(raw) + 4 for key, raw in zip(keys, raws, strict=True)),
                initial=self._size,
            )
        )
        # The name alone: file names are parsed in full when their shard is read.
        names = [file.rsplit("-", 2)[0] for file in files]
        begin, current = 0, names[0]
        for number, name in enumerate(names):
            if name != current:
                self._note(current, files[begin:number], (ends[begin], ends[number]), kind)
                begin, current = number, name
        self._note(current, files[begin:], (ends[begin], ends[-1]), kind)
        _write(self._spool.fileno(), b"".join(parts))
        self._size = ends[-1]
        self.listed[list(KINDS)[kind]] += len(files)

    def _note(self, name: str, files: list[str], span: tuple[int, int], kind: int) -> None:
        place = self._places[kind].get(name)
        if place is None:
            if not is_name(name):
                self._refuse(files)
                return
            place = self._places[kind][name] = _Place()
        if place.ordered:
            place.ordered = place.last < files[0] and files == sorted(files)
            place.last = files[-1]
        place.count += len(files)
        spans = place.spans
        if spans and spans[-1] == span[0]:
            spans[-1] = span[1]
        else:
            spans.extend(span)

    def _refuse(self, files: list[str]) -> None:
        self.invalid_count += len(files)
        why = "The package name in the file name breaks the naming rules of conda."
        free = max(0, INVALID_SHOWN - len(self.invalid))
        self.invalid += [Invalid(file, why) for file in files[:free]]

    def _entries(self, name: str, kind: int) -> bytes:
        place = self._places[kind].get(name)
        if place is None:
            return b""
        spans = place.spans
        descriptor = self._spool.fileno()
        pairs = zip(spans[::2], spans[1::2], strict=True)
        text = b"".join(os.pread(descriptor, end - start, start) for start, end in pairs)[:-1]
        if place.ordered:
            return text
        # A dict keeps the last of equal keys, which is the one that clients take.
        members = msgspec.json.decode(b"{" + text + b"}", type=Group)
        if place.count > len(members):
            self.repeated.find(text)
        self.listed[list(KINDS)[kind]] -= place.count - len(members)
        place.count = len(members)
        return join_entries((file, bytes(members[file])) for file in sorted(members))

    def _removed_by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for file in sorted(set(self.removed)):
            if name := name_of(file):
                by_name.setdefault(name, []).append(file)
        return by_name


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
            _once(key, keys)
            if key == "signatures":
                index.signed = Index(subdir, work)
                _entries(index.signed, stream, kind=0)
            else:
                _member(index, stream, key)
        _check_shape(keys)
        _check_subdir(index)
    except BaseException:
        index.close()
        raise
    return index


def join_body(packages: bytes, conda: bytes, removed: Iterable[str]) -> bytes:
    """The canonical body of a shard, from entries in the order of their file names."""
    tail = msgspec.json.encode(list(removed))
    return b"".join(
        (b'{"packages":{', packages, b'},"packages.conda":{', conda, b'},"removed":', tail, b"}")
    )


def join_entries(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """`"file":record,...` of records as they are."""
    return b",".join(msgspec.json.encode(file) + b":" + raw for file, raw in entries)


def _once(key: str, keys: set[str]) -> None:
    if key in keys:
        raise BadIndex(f"The index holds `{key}` twice.")
    keys.add(key)


def _stoppable(blocks: Iterable[bytes], stop: Stop) -> Iterator[bytes]:
    for block in blocks:
        stop()
        yield block


def _member(index: Index, stream: JsonStream, key: str) -> None:
    if key in KINDS:
        kind = list(KINDS).index(key)
        if not stream.at_object():
            if stream.value(cap=SMALL_VALUE) == b"null":
                return
            raise BadIndex(f"`{key}` in the index is not an object.")
        _entries(index, stream, kind)
    elif key == "v3":
        # Its records repeat the packages in another form: all of it goes, so that
        # nothing left out can be found there.
        index.dropped[key] = _count(stream)
    elif key == "info":
        index.info = _info(stream)
    elif key == "removed":
        index.removed = _removed(stream)
    elif key == "repodata_version":
        number = stream.value(cap=SMALL_VALUE) or b""
        index.repodata_version = int(number) if number.isdigit() and len(number) < 4 else 1
    else:
        text = stream.value(cap=SMALL_VALUE)
        if text is not None:
            with suppress(BadIndex):  # Nothing is published of it, so it may be anything.
                index.unknown[key] = decoded(text, object)


def _entries(index: Index, stream: JsonStream, kind: int) -> None:
    """Takes in the members of the object that begins here; any other value has none."""
    if not stream.at_object():
        stream.value(cap=0)
        return
    for group in stream.entries():
        index.sort(group, kind)
    index.refuse(stream.unreadable)
    stream.unreadable = []
    index.repeated.take(stream.repeated)


def _count(stream: JsonStream) -> int:
    if not stream.at_object():
        stream.value(cap=0)
        return 0
    count = 0
    for _ in stream.inner_members():
        count += _members_of(stream)
    return count


def _members_of(stream: JsonStream) -> int:
    if not stream.at_object():
        stream.value(cap=0)
        return 0
    count = sum(len(group) for group in stream.entries()) + len(stream.unreadable)
    # They are no records.
    stream.unreadable, stream.repeated = [], Repeated()
    return count


def _info(stream: JsonStream) -> dict[str, Any]:
    text = stream.value(cap=SMALL_VALUE)
    if text == b"null":
        return {}
    if text is None or not text.startswith(b"{"):
        raise BadIndex("`info` in the index is not an object of at most 64 kB.")
    info = decoded(text, dict[str, Any])
    # It announces parts of the index (`v3`) that are not taken over.
    info.pop("repodata_revisions", None)
    return info


def _removed(stream: JsonStream) -> list[str]:
    text = stream.value(cap=REMOVED_CAP)
    if text is None:
        raise BadIndex(f"`removed` in the index has more than {REMOVED_CAP >> 20} MB.")
    if not text.startswith(b"["):
        return []  # Some registries write an empty object; it is only a list of what to leave out.
    return [file for file in decoded(text, list[Any]) if isinstance(file, str)]


def _check_shape(keys: set[str]) -> None:
    """Another service's word for an error, say, must not pass as an empty channel."""
    if keys and keys.isdisjoint(("info", *KINDS)):
        raise BadIndex("The index has neither `info` nor `packages`: it is something else.")


def _check_subdir(index: Index) -> None:
    stated = index.info.get("subdir") or index.subdir
    if stated != index.subdir:
        raise BadIndex(f"The index says it is the one of `{stated}`, not of `{index.subdir}`.")


def _encoded(files: list[str]) -> list[bytes]:
    """The file names as the inside of JSON strings."""
    together = " ".join(files)
    plain = together.isascii() and together.isprintable() and together.count(" ") < len(files)
    if plain and '"' not in together and "\\" not in together:
        return together.encode().split(b" ")
    return [msgspec.json.encode(file)[1:-1] for file in files]


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
