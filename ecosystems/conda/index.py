"""The records of a conda index, outside of memory, and the shards they make.

Rule: records go, byte for byte, into one temporary file, and a small table remembers where
those of each name lie; shards are then read back name by name.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from types import TracebackType

import msgspec

from ecosystems.conda.body import KINDS, join_body, join_entries
from ecosystems.conda.channel import is_name, name_of
from ecosystems.conda.json_members import Group, RepeatedKeys
from ecosystems.progress import Stop
from ecosystems.records import Invalid, Shard

INVALID_SHOWN = 1000
STOP_EVERY = 200
"""Shards between two calls of `stop`."""


class _Spans:
    """Where the records of one name and kind lie in the temporary file."""

    __slots__ = ("count", "last", "offsets", "ordered")

    def __init__(self) -> None:
        # An array: a list of integers would take several times the memory, for each name.
        self.offsets = array("Q")  # start, end, start, end ...
        self.count = 0
        self.last = ""
        self.ordered = True


class Index:
    """A conda index as read: what stands beside the records, and the shards.

    `invalid` holds the first 1000 of the `invalid_count` records whose package
    name breaks the naming rules; they are in no shard. `v3_records` counts those of
    the part `v3`, which is not taken over. `listed` is the number of records of each
    kind, the invalid ones included; final once `shards` has run. `signatures` has what
    the index says under that key, in place of records.
    """

    def __init__(self, subdir: str, work: Path) -> None:
        self.subdir = subdir
        self.info: dict[str, object] = {}
        self.removed: list[str] = []
        self.listed = dict.fromkeys(KINDS, 0)
        self.v3_records = 0
        self.signatures: Index | None = None
        self.invalid: list[Invalid] = []
        self.invalid_count = 0
        self.repeated = RepeatedKeys()
        """File names that are listed again; final once `shards` has run."""
        self._spans: tuple[dict[str, _Spans], ...] = tuple({} for _ in KINDS)
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
        """Give the temporary file back."""
        self._spool.close()
        if self.signatures is not None:
            self.signatures.close()

    @property
    def names(self) -> list[str]:
        """The package names that have records, sorted."""
        return sorted(set().union(*self._spans))

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

    def repeated_warnings(self, entries: str = "records") -> list[str]:
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
        return sum(spans.count for spans in self._spans_of(name))

    def weight(self, name: str) -> int:
        """How many bytes the records of a name have."""
        spans_of_kinds = self._spans_of(name)
        return sum(sum(s.offsets[1::2]) - sum(s.offsets[::2]) for s in spans_of_kinds)

    def add(self, group: Group, kind: int) -> None:
        """Take a group of records in; `kind`: the position in `KINDS` that lists them.

        Clients install files of one kind that are listed among the other, so the name decides.
        """
        other_extension = list(KINDS.values())[1 - kind]
        if misplaced := {
            file: raw for file, raw in group.items() if file.endswith(other_extension)
        }:
            self._spool_group(misplaced, 1 - kind)
            group = {file: raw for file, raw in group.items() if file not in misplaced}
        if group:
            self._spool_group(group, kind)

    def add_unreadable(self, files: list[str]) -> None:
        """Count records that are in no shard, because their key says no package name."""
        self.listed["packages"] += len(files)
        self._add_invalid(files)

    def _spans_of(self, name: str) -> list[_Spans]:
        return [spans[name] for spans in self._spans if name in spans]

    def _spool_group(self, group: Group, kind: int) -> None:
        """Append a group of records to the temporary file and note where each name's lie."""
        files = list(group)
        keys = _encoded(files)
        raws: list[bytes | msgspec.Raw] = list(group.values())
        # Slices and no loop: a large index has hundreds of thousands of records.
        parts: list[bytes | msgspec.Raw] = [b'"', b"", b'":', b"", b","] * len(files)
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
                self._add_span(current, files[begin:number], (ends[begin], ends[number]), kind)
                begin, current = number, name
        self._add_span(current, files[begin:], (ends[begin], ends[-1]), kind)
        _write(self._spool.fileno(), b"".join(parts))
        self._size = ends[-1]
        self.listed[list(KINDS)[kind]] += len(files)

    def _add_span(self, name: str, files: list[str], span: tuple[int, int], kind: int) -> None:
        spans = self._spans[kind].get(name)
        if spans is None:
            if not is_name(name):
                self._add_invalid(files)
                return
            spans = self._spans[kind][name] = _Spans()
        if spans.ordered:
            spans.ordered = spans.last < files[0] and files == sorted(files)
            spans.last = files[-1]
        spans.count += len(files)
        offsets = spans.offsets
        # Most indexes are sorted by name: a name then has one span, however many groups it is in.
        if offsets and offsets[-1] == span[0]:
            offsets[-1] = span[1]
        else:
            offsets.extend(span)

    def _add_invalid(self, files: list[str]) -> None:
        self.invalid_count += len(files)
        why = "The package name in the file name breaks the naming rules of conda."
        free = max(0, INVALID_SHOWN - len(self.invalid))
        self.invalid += [Invalid(file, why) for file in files[:free]]

    def _entries(self, name: str, kind: int) -> bytes:
        """The records of a name as they stand in a canonical body."""
        spans = self._spans[kind].get(name)
        if spans is None:
            return b""
        offsets = spans.offsets
        descriptor = self._spool.fileno()
        pairs = zip(offsets[::2], offsets[1::2], strict=True)
        text = b"".join(os.pread(descriptor, end - start, start) for start, end in pairs)[:-1]
        if spans.ordered:
            return text
        # A dict keeps the last of equal keys, which is the one that clients take.
        members = msgspec.json.decode(b"{" + text + b"}", type=Group)
        if spans.count > len(members):
            self.repeated.scan(text)
        self.listed[list(KINDS)[kind]] -= spans.count - len(members)
        spans.count = len(members)
        return join_entries((file, bytes(members[file])) for file in sorted(members))

    def _removed_by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for file in sorted(set(self.removed)):
            if name := name_of(file):
                by_name.setdefault(name, []).append(file)
        return by_name


def _encoded(files: list[str]) -> list[bytes]:
    """The file names as the inside of JSON strings."""
    # Nearly all are plain: one look at all of them saves encoding each.
    together = " ".join(files)
    plain = together.isascii() and together.isprintable() and together.count(" ") < len(files)
    if plain and '"' not in together and "\\" not in together:
        return together.encode().split(b" ")
    return [msgspec.json.encode(file)[1:-1] for file in files]


def _write(descriptor: int, data: bytes) -> None:
    # The file is unbuffered, and a write of that many bytes may be a part of them only.
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
