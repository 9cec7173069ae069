"""Opens compressed index files (zstd: RFC 8878, gzip: RFC 1952, bzip2, xz) as streams of blocks.

Rule: a block is yielded early, but the end is reached only where the decoder
saw its own end mark, nothing follows it, and the cap was not exceeded.
Libraries accept a truncated stream in silence; this module does not.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, Protocol

import zstandard

from ecosystems.errors import BadIndex


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, most: int, /) -> bytes:
        """At least one byte, at most `most`; b"" at the end."""


Encoding = Literal["zst", "bz2", "gz", "xz", "identity"]

BLOCK = 2 << 20
READ = 256 * 1024
MAX_WINDOW = 128 << 20
"""The memory that a decoder may ask for."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Magic number and frame header: 4 and 14 bytes at most (RFC 8878, 3.1.1).
_HEADER_MOST = 18


def open_decoded(path: Path, encoding: Encoding, *, cap: int) -> Iterator[bytes]:
    """The decoded content of `path` in blocks of up to 2 MiB.

    BadIndex where the file is damaged, cut, followed by something else, or
    decodes to more than `cap` bytes.
    """
    total = 0
    with path.open("rb") as file:
        for block in _READERS[encoding](file):
            total += len(block)
            if total > cap:
                raise BadIndex(f"The index decodes to more than {cap} bytes.")
            yield block


def encoding_of(path: Path) -> Encoding:
    """How a file is compressed, by its first bytes: for files whose name does not say it."""
    with path.open("rb") as file:
        first = file.read(_LONGEST_MAGIC)
    return next((name for magic, name in _MAGICS if first.startswith(magic)), "identity")


def _identity(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """The structure is walked first: the decoder cannot say whether it saw the end."""
    _walk_frames(file)
    file.seek(0)
    # The frames' own sizes were checked; this holds whatever they say.
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    try:
        with decoder.stream_reader(file, READ, read_across_frames=True, closefd=False) as reader:
            while block := reader.read(BLOCK):
                yield block
    except zstandard.ZstdError as error:
        raise BadIndex("The zstd data of the index is damaged.") from error


def _walk_frames(file: BinaryIO) -> None:
    """Follow frames and blocks by their lengths up to exactly the end of the file."""
    size = file.seek(0, 2)
    at = 0
    while True:
        file.seek(at)
        head = file.read(_HEADER_MOST)
        if at and not head:
            return
        # A skippable frame: 0x184D2A50 to 0x184D2A5F, and its size (RFC 8878, 3.1.2).
        skippable = len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5
        if skippable:
            at += 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == _ZSTD_MAGIC:
            at = _walk_blocks(file, at, head)
        else:
            problem = "Something follows the zstd data of" if at else "There is no zstd data in"
            raise BadIndex(f"{problem} the index.")
        if at > size:
            raise BadIndex("The zstd data of the index is cut off.")


def _walk_blocks(file: BinaryIO, start: int, head: bytes) -> int:
    """Where the frame that begins at `start` ends."""
    try:
        frame = zstandard.get_frame_parameters(head)
        at = start + int(zstandard.frame_header_size(head))
    except zstandard.ZstdError as error:
        raise BadIndex("The zstd data of the index is damaged.") from error
    # The frame's own word decides how much memory the decoder takes.
    if frame.window_size > MAX_WINDOW:
        raise BadIndex(
            f"The zstd data of the index needs a window of {frame.window_size} bytes, "
            f"at most {MAX_WINDOW} are accepted."
        )
    # Each block begins with 3 bytes: last block, type, size (RFC 8878, 3.1.1.2).
    last = False
    while not last:
        file.seek(at)
        block = file.read(3)
        if len(block) < 3:
            raise BadIndex("The zstd data of the index is cut off.")
        field = int.from_bytes(block, "little")
        last, kind, length = bool(field & 1), field >> 1 & 3, field >> 3
        # Reserved (RFC 8878, 3.1.1.2.2).
        if kind == 3:
            raise BadIndex("The zstd data of the index is damaged.")
        # A run-length block holds one byte, however much it decodes to.
        at += 3 + (1 if kind == 1 else length)
    return at + (4 if frame.has_checksum else 0)


class _Decoder(Protocol):
    """Decodes one stream up to its end mark."""

    magic: ClassVar[bytes]

    @property
    def eof(self) -> bool: ...
    @property
    def unused(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def feed(self, data: bytes) -> bytes: ...


class _Bz2:
    """One bzip2 stream."""

    magic: ClassVar[bytes] = b"BZh"

    def __init__(self) -> None:
        self._inner = bz2.BZ2Decompressor()

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data, BLOCK)


class _Gzip:
    """One gzip member."""

    magic: ClassVar[bytes] = b"\x1f\x8b"

    def __init__(self) -> None:
        # 16 + 15: a gzip header and trailer, and the largest window.
        self._inner = zlib.decompressobj(wbits=31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        # A full block may leave output inside the decoder with no input left over.
        return not self._inner.unconsumed_tail and not self._full

    def feed(self, data: bytes) -> bytes:
        block = self._inner.decompress(self._inner.unconsumed_tail + data, BLOCK)
        self._full = len(block) == BLOCK
        return block


class _Xz:
    """One xz stream."""

    magic: ClassVar[bytes] = b"\xfd7zXZ\x00"

    def __init__(self) -> None:
        # The stream states the size of its dictionary, up to 4 GB.
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data, BLOCK)


def _members(file: Readable, kind: type[_Decoder], name: str) -> Iterator[bytes]:
    """Decode streams one after another; at least one, each up to its end mark."""
    data = file.read(READ)
    first = True
    while data or first:
        # The last read may have ended within the mark of the next stream.
        if len(data) < len(kind.magic):
            data += file.read(READ)
        if not data.startswith(kind.magic):
            if first:
                raise BadIndex(f"There is no {name} data in the index.")
            raise BadIndex(f"Something follows the {name} data of the index.")
        decoder, first = kind(), False
        yield from _member(decoder, data, file, name)
        data = decoder.unused or file.read(READ)


def _member(decoder: _Decoder, data: bytes, file: Readable, name: str) -> Iterator[bytes]:
    """Decode one stream, of which `data` is the beginning."""
    while not decoder.eof:
        try:
            block = decoder.feed(data)
        except (OSError, zlib.error, lzma.LZMAError) as error:
            raise BadIndex(f"The {name} data of the index is damaged.") from error
        if block:
            yield block
        data = b""
        if decoder.needs_input and not decoder.eof:
            data = file.read(READ)
            if not data:
                raise BadIndex(f"The {name} data of the index is cut off.")


def _bzip2(file: BinaryIO) -> Iterator[bytes]:
    return _members(file, _Bz2, "bzip2")


def gunzip(file: Readable) -> Iterator[bytes]:
    """What gzip data decodes to, in blocks; BadIndex where it is damaged."""
    return _members(file, _Gzip, "gzip")


def _xz(file: BinaryIO) -> Iterator[bytes]:
    return _members(file, _Xz, "xz")


_READERS = {"zst": _zstd, "bz2": _bzip2, "gz": gunzip, "xz": _xz, "identity": _identity}
_MAGICS: tuple[tuple[bytes, Encoding], ...] = (
    (_ZSTD_MAGIC, "zst"),
    (_Bz2.magic, "bz2"),
    (_Gzip.magic, "gz"),
    (_Xz.magic, "xz"),
)
_LONGEST_MAGIC = max(len(magic) for magic, _ in _MAGICS)
