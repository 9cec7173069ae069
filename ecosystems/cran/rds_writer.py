"""Writes R's serialised files: a matrix of texts, a file table, and a list of those.

Rule: the same content gives the same bytes, and every R since 2.3 reads them.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

# XDR, version 2, written by R 4.0.0, readable since R 2.3.0 (R Internals 1.8).
HEAD = b"X\n" + struct.pack(">iii", 2, 0x00040000, 0x00020300)
NIL = struct.pack(">i", 254)
NA = struct.pack(">ii", 9, -1)

_STRINGS, _LIST, _INTEGER, _LOGICAL, _REAL = 16, 19, 13, 10, 14
_OBJECT, _HAS_ATTRIBUTES = 0x100, 0x200
_TAGGED = struct.pack(">i", 0x402)
_ASCII, _UTF8 = 0x00040009, 0x00008009
_NA_INTEGER = -(1 << 31)


class FileRow(NamedTuple):
    """A file of a table: its place, its size (-1 unknown) and its time (ms; None unknown)."""

    place: str
    size: int
    time: int | None


def chars(text: str) -> bytes:
    """One text as R stores it in a vector."""
    data = text.encode()
    return struct.pack(">ii", _ASCII if text.isascii() else _UTF8, len(data)) + data


class Matrix:
    """A character matrix with named columns, collected row by row."""

    def __init__(self, columns: Iterable[str] = ()) -> None:
        self._columns = {name: bytearray() for name in columns}
        self._filled = dict.fromkeys(self._columns, 0)
        self._rows = 0

    def add(self, row: Mapping[str, str]) -> None:
        """Append a row; columns that it does not name are NA there."""
        for name, text in row.items():
            column = self._columns.setdefault(name, bytearray())
            # Rows before the first that names the column have nothing in it.
            column += NA * (self._rows - self._filled.get(name, 0)) + chars(text)
            self._filled[name] = self._rows + 1
        self._rows += 1

    def write(self, path: Path) -> None:
        """Write the file, compressed as R does."""
        with path.open("wb") as raw, _compressed(raw) as file:
            file.write(HEAD)
            file.write(_flags(_STRINGS, attributes=True))
            file.write(struct.pack(">i", self._rows * len(self._columns)))
            for name, column in self._columns.items():
                file.write(column)
                file.write(NA * (self._rows - self._filled[name]))
            dim = _flags(_INTEGER) + struct.pack(">iii", 2, self._rows, len(self._columns))
            names = _flags(_LIST) + struct.pack(">i", 2) + NIL + _strings(list(self._columns))
            symbols = _Symbols()
            file.write(symbols.tag("dim") + dim + symbols.tag("dimnames") + names + NIL)


def write_archive(tables: Iterable[tuple[str, Sequence[FileRow]]], path: Path) -> None:
    """The named list of file tables that `Meta/archive.rds` is, one for each package."""
    symbols = _Symbols()
    names: list[str] = []
    parts: list[bytes] = []
    for name, files in tables:
        names.append(name)
        parts.append(_table(files, symbols))
    with path.open("wb") as raw, _compressed(raw) as file:
        file.write(HEAD + _flags(_LIST, attributes=True) + struct.pack(">i", len(parts)))
        file.writelines(parts)
        file.write(symbols.tag("names") + _strings(names) + NIL)


def write_table(files: Sequence[FileRow], path: Path) -> None:
    """One file table by itself, as `Meta/current.rds` is."""
    with path.open("wb") as raw, _compressed(raw) as file:
        file.write(HEAD + _table(files, _Symbols()))


class _Symbols:
    """Names of attributes: written out once, then referred to by number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def tag(self, name: str) -> bytes:
        """The beginning of an attribute's pair."""
        number = self._numbers.get(name)
        if number is not None:
            # A reference, packed into the flags (R Internals, 1.8).
            return _TAGGED + struct.pack(">i", number << 8 | 255)
        self._numbers[name] = len(self._numbers) + 1
        return _TAGGED + struct.pack(">i", 1) + chars(name)


def _table(files: Sequence[FileRow], symbols: _Symbols) -> bytes:
    """A data frame of the shape that R's `file.info` gives."""
    count = len(files)
    nan = struct.pack(">Q", 0x7FF00000000007A2)  # R's NA among the numbers
    times = b"".join(nan if f.time is None else struct.pack(">d", f.time / 1000) for f in files)
    sizes = b"".join(nan if f.size < 0 else struct.pack(">d", f.size) for f in files)
    mode = _classed(_INTEGER, struct.pack(">i", 0o644) * count, ("octmode",), symbols, count=count)
    # Written in this order: the first use of a symbol spells it out, the others refer to it.
    moment, again = (
        _classed(_REAL, times, ("POSIXct", "POSIXt"), symbols, count=count) for _ in range(2)
    )
    unknown = _vector(_INTEGER, count, struct.pack(">i", _NA_INTEGER) * count)
    nobody = _flags(_STRINGS) + struct.pack(">i", count) + NA * count
    columns = {
        "size": _vector(_REAL, count, sizes),
        "isdir": _vector(_LOGICAL, count, struct.pack(">i", 0) * count),
        "mode": mode,
        "mtime": moment,
        "ctime": again,
        "atime": again,
        "uid": unknown,
        "gid": unknown,
        "uname": nobody,
        "grname": nobody,
    }
    return b"".join(
        [
            _flags(_LIST, attributes=True, is_object=True),
            struct.pack(">i", len(columns)),
            *columns.values(),
            symbols.tag("names"),
            _strings(list(columns)),
            symbols.tag("class"),
            _strings(["data.frame"]),
            symbols.tag("row.names"),
            _strings([file.place for file in files]),
            NIL,
        ]
    )


def _vector(kind: int, count: int, data: bytes) -> bytes:
    return _flags(kind) + struct.pack(">i", count) + data


def _classed(
    kind: int, data: bytes, classes: Sequence[str], symbols: _Symbols, *, count: int
) -> bytes:
    """A vector of a class."""
    head = _flags(kind, attributes=True, is_object=True) + struct.pack(">i", count)
    return head + data + symbols.tag("class") + _strings(classes) + NIL


def _strings(texts: Sequence[str]) -> bytes:
    return _flags(_STRINGS) + struct.pack(">i", len(texts)) + b"".join(map(chars, texts))


def _flags(kind: int, *, attributes: bool = False, is_object: bool = False) -> bytes:
    return struct.pack(">i", kind | _HAS_ATTRIBUTES * attributes | _OBJECT * is_object)


def _compressed(raw: BinaryIO) -> gzip.GzipFile:
    # Neither a name nor a time, so that equal content stays equal.
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
