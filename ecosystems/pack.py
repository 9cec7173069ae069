"""One immutable file that holds many named bodies, each compressed by itself.

Rule: a pack is written once, from front to back, and has its table of contents
at the end; a digest of every body lets two packs be compared name by name
without reading either.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard

from ecosystems import left_out
from ecosystems.errors import EcosystemError
from ecosystems.left_out import LeftOut
from ecosystems.records import Invalid, Record

_MAGIC = b"MPACK1\n\0"
# At the end, because it is written last: a pack that was cut off has none.
_TRAILER = len(_MAGIC) + 16


class DamagedPack(EcosystemError):
    """A pack that cannot be read back; `str()` is a sentence."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """Where a body lies, what it is (sha256) and how many records it has."""

    digest: bytes
    offset: int
    length: int
    count: int


class _Contents(msgspec.Struct, gc=False):
    meta: dict[str, object]
    names: list[str]
    # All in one, 32 bytes a name: a list of as many objects takes several times the memory.
    digests: bytes
    places: list[tuple[int, int, int]]
    left_out: dict[str, list[LeftOut]] = {}


Records = Callable[[str, bytes], Iterable[Record | Invalid]]
"""The records of a name's body, as the ecosystem reads them."""


class Pack:
    """A written pack, read through a file descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # `__del__` runs also where the file cannot be opened.
        self._descriptor = -1
        # pread needs no position, so threads share the descriptor.
        self._descriptor = os.open(path, os.O_RDONLY)
        # Packs are shared by threads; a decompressor must not be.
        self._threads = threading.local()
        try:
            contents = self._contents()
        except BaseException:
            self.close()
            raise
        self.meta = contents.meta
        self.left_out = contents.left_out
        digests = contents.digests
        self._names = {
            name: Entry(digests[32 * number : 32 * number + 32], *place)
            for number, (name, place) in enumerate(
                zip(contents.names, contents.places, strict=True)
            )
        }

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def names(self) -> dict[str, Entry]:
        """What the pack has, in the order in which it was written."""
        return self._names

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, name: str) -> bytes:
        """The body of `name`; KeyError if there is none."""
        return self._decompressed(self.read_compressed(name))

    def read_compressed(self, name: str) -> bytes:
        """The body of `name` as zstd, as it is stored."""
        entry = self._names[name]
        return self._at(entry.offset, entry.length)

    def _at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, offset)
        if len(data) != length:
            raise DamagedPack(f"{self.path} is damaged: it ends too early.")
        return data

    def _decompressed(self, data: bytes) -> bytes:
        try:
            return self._decompressor().decompress(data)
        except zstandard.ZstdError as error:
            raise DamagedPack(f"{self.path} is damaged: {error}.") from error

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        decompressor: zstandard.ZstdDecompressor | None = getattr(self._threads, "zstd", None)
        if decompressor is None:
            decompressor = self._threads.zstd = zstandard.ZstdDecompressor()
        return decompressor

    def _contents(self) -> _Contents:
        size = os.fstat(self._descriptor).st_size
        if size < _TRAILER:
            raise DamagedPack(f"{self.path} is no pack.")
        trailer = self._at(size - _TRAILER, _TRAILER)
        if not trailer.endswith(_MAGIC):
            raise DamagedPack(f"{self.path} is no pack, or not a whole one.")
        offset, length = (int.from_bytes(trailer[at : at + 8], "little") for at in (0, 8))
        text = self._decompressed(self._at(offset, length))
        try:
            return msgspec.msgpack.decode(text, type=_Contents)
        except msgspec.DecodeError as error:
            raise DamagedPack(f"{self.path} is damaged: {error}.") from error


class Layered:
    """A pack and bodies that came later, each zstd; what the pack has under a name counts."""

    def __init__(self, pack: Pack, later: Mapping[str, tuple[bytes, int]]) -> None:
        self._pack = pack
        self.left_out = pack.left_out
        self._zstd = zstandard.ZstdDecompressor()
        self._later = {name: item for name, item in later.items() if name not in pack.names()}
        self._names = dict(pack.names())
        for name, (body, count) in self._later.items():
            digest = hashlib.sha256(self._zstd.decompress(body)).digest()
            self._names[name] = Entry(digest, 0, len(body), count)

    def names(self) -> dict[str, Entry]:
        """What there is; where a later body lies is not told."""
        return self._names

    def read(self, name: str) -> bytes:
        """The body of `name`; KeyError if there is none."""
        if name in self._later:
            return self._zstd.decompress(self._later[name][0])
        return self._pack.read(name)

    def read_compressed(self, name: str) -> bytes:
        """The body of `name` as zstd, as it is stored."""
        return self._later[name][0] if name in self._later else self._pack.read_compressed(name)


class PackWriter:
    """Writes a pack. Leaving the `with` block before `close` removes the file.

    With `old`, a body that the old pack has under the same name is copied as
    it lies there instead of being compressed again. With `records`, the pack
    remembers which records of each body are invalid.
    """

    def __init__(
        self,
        path: Path,
        *,
        level: int = 1,
        old: Pack | None = None,
        records: Records | None = None,
    ) -> None:
        self.path = path
        self.left_out: dict[str, list[LeftOut]] = {}
        self._old, self._records = old, records
        # `x`: a pack is written once; one of this name may be open elsewhere.
        self._file = path.open("xb")
        # A checksum: a damaged pack is noticed when it is read.
        self._zstd = zstandard.ZstdCompressor(level=level, write_checksum=True)
        self._names: dict[str, Entry] = {}
        self._offset = 0
        self._hash = hashlib.sha256()

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._file.closed:
            self._file.close()
            self.path.unlink(missing_ok=True)

    def names(self) -> dict[str, Entry]:
        """What has been added so far."""
        return self._names

    def add(self, name: str, body: bytes, count: int = 0) -> Entry:
        """Adds a body; returns where it lies."""
        digest = hashlib.sha256(body).digest()
        old = self._old.names().get(name) if self._old else None
        if self._old and old and old.digest == digest:
            self._note(name, self._old.left_out.get(name))
            # Most packages are what they were: what they were compressed to is copied.
            return self._append(name, self._old.read_compressed(name), digest, count)
        if self._records is not None:
            self._note(name, left_out.of(self._records(name, body)))
        return self._append(name, self._zstd.compress(body), digest, count)

    def copy(self, name: str, source: Pack) -> Entry:
        """Adds the body that `source` has under this name, without decompressing it."""
        entry = source.names()[name]
        self._note(name, source.left_out.get(name))
        return self._append(name, source.read_compressed(name), entry.digest, entry.count)

    def close(self, meta: Mapping[str, object] | None = None) -> str:
        """Ends the pack with its table of contents; returns the sha256 of the file.

        `meta` is what the caller wants to find again: plain, small values.
        """
        contents = _Contents(
            meta=dict(meta or {}),
            names=list(self._names),
            digests=b"".join(entry.digest for entry in self._names.values()),
            places=[(entry.offset, entry.length, entry.count) for entry in self._names.values()],
            left_out=self.left_out,
        )
        text = self._zstd.compress(msgspec.msgpack.encode(contents))
        self._write(text)
        self._write(self._offset.to_bytes(8, "little") + len(text).to_bytes(8, "little"))
        self._write(_MAGIC)
        self._file.close()
        return self._hash.hexdigest()

    def _note(self, name: str, left_out: list[LeftOut] | None) -> None:
        if left_out:
            self.left_out[name] = left_out

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)

    def _append(self, name: str, data: bytes, digest: bytes, count: int) -> Entry:
        if name in self._names:
            # The first body would be lost without a word.
            raise ValueError(f"{name} is in the pack already")
        self._write(data)
        entry = self._names[name] = Entry(digest, self._offset, len(data), count)
        self._offset += len(data)
        return entry


class Changes(NamedTuple):
    """What differs between two packs, as names in their order."""

    added: list[str]
    replaced: list[str]
    removed: list[str]


def changed(old: Pack | None, new: Pack) -> Changes:
    """What it takes to come from `old` to `new`."""
    before = old.names() if old else {}
    return Changes(
        added=[name for name in new.names() if name not in before],
        replaced=[
            name
            for name, entry in new.names().items()
            if name in before and before[name].digest != entry.digest
        ],
        removed=[name for name in before if name not in new.names()],
    )
