"""Reads plain data out of R's serialised files: numbers, texts, lists and their attributes.

Rule: data only. Whatever could hold code or a promise of it (closures,
environments, language, external pointers, promises) is refused, as is
whatever is nested deeper or longer than its bytes allow. Nothing of R runs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from ecosystems.errors import BadIndex

DEEPEST = 12

_NULL, _SYMBOL, _PAIRS, _CHARS = 0, 1, 2, 9
_LOGICAL, _INTEGER, _REAL, _STRINGS, _LIST = 10, 13, 14, 16, 19
_ALTERNATIVE, _ATTRIBUTES, _NIL, _REFERENCE = 238, 239, 254, 255
_NA_INTEGER = -(1 << 31)
_HEAD = struct.Struct(">i")


@dataclass(slots=True)
class Vector:
    """A vector or list; texts are bytes, missing values None (numbers: NaN stays NaN)."""

    values: list[object]
    attributes: dict[bytes, object] = field(default_factory=dict)

    def names(self, attribute: bytes = b"names") -> list[bytes]:
        """The names of the elements (or rows); BadIndex where they do not fit."""
        names = self.attributes.get(attribute)
        if not isinstance(names, Vector) or not all(isinstance(n, bytes) for n in names.values):
            raise BadIndex(f"The R data has no {attribute.decode()}.")
        return [name for name in names.values if isinstance(name, bytes)]

    def columns(self) -> dict[bytes, Vector]:
        """The elements that are vectors, by name."""
        pairs = zip(self.names(), self.values, strict=False)
        return {name: value for name, value in pairs if isinstance(value, Vector)}


def read(data: bytes) -> object:
    """The one object in an uncompressed file of R's XDR form, version 2 or 3."""
    try:
        return _Reader(data).whole()
    except (struct.error, IndexError, OverflowError) as error:
        raise BadIndex("The R data is cut off.") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._symbols: list[bytes] = []
        # Owners, groups and the like occur in every row.
        self._texts: dict[bytes, bytes] = {}
        self._kinds: dict[int, Callable[[int, int], object]] = {
            _SYMBOL: self._symbol,
            _PAIRS: self._pairs,
            _CHARS: self._chars,
            _LOGICAL: self._integers,
            _INTEGER: self._integers,
            _REAL: self._reals,
            _STRINGS: self._strings,
            _LIST: self._list,
            _ALTERNATIVE: self._alternative,
            _REFERENCE: self._reference,
        }

    def whole(self) -> object:
        # R Internals, 1.8: `X` is the XDR form, big-endian.
        if self._data[:2] != b"X\n":
            raise BadIndex("This is no R data in the XDR form.")
        self._at = 2
        version = self._integer()
        # The versions of R that wrote it and that can read it.
        self._at += 8
        # Version 3 names the writer's encoding.
        if version == 3:
            self._take(self._integer())
        elif version != 2:
            raise BadIndex(f"R data of version {version} is not understood.")
        value = self._item(0)
        if self._at != len(self._data):
            raise BadIndex("Something follows the R data.")
        return value

    def _integer(self) -> int:
        (value,) = _HEAD.unpack_from(self._data, self._at)
        self._at += 4
        return int(value)

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise BadIndex("The R data is cut off.")
        data = self._data[self._at : end]
        self._at = end
        return data

    def _length(self, width: int) -> int:
        """A number of elements that the bytes left can hold."""
        length = self._integer()
        if not 0 <= length * width <= len(self._data) - self._at:
            raise BadIndex("The R data is cut off.")
        return length

    def _item(self, depth: int) -> object:
        flags = self._integer()
        kind = flags & 0xFF
        if kind in (_NIL, _NULL):
            return None
        reader = self._kinds.get(kind)
        if reader is None or depth > DEEPEST:
            raise BadIndex("The R data holds more than plain tables.")
        return reader(flags, depth)

    def _symbol(self, _flags: int, depth: int) -> bytes:
        name = self._item(depth + 1)
        if not isinstance(name, bytes):
            raise BadIndex("The R data holds more than plain tables.")
        self._symbols.append(name)
        return name

    def _reference(self, flags: int, _depth: int) -> bytes:
        # Small references are packed into the flags.
        return self._symbols[((flags >> 8) or self._integer()) - 1]

    def _chars(self, _flags: int, _depth: int) -> bytes | None:
        length = self._integer()
        # R's NA among the texts.
        if length == -1:
            return None
        text = self._take(length)
        return self._texts.setdefault(text, text) if length < 16 else text

    def _pairs(self, flags: int, depth: int) -> dict[bytes, object]:
        """A pairlist; elements without a tag are numbered."""
        pairs: dict[bytes, object] = {}
        while True:
            # R Internals, 1.8: bit 9 says that attributes follow, bit 10 that a tag does.
            if flags & 0x200:
                self._item(depth + 1)
            tag = self._item(depth + 1) if flags & 0x400 else b"%d" % len(pairs)
            if not isinstance(tag, bytes):
                raise BadIndex("The R data holds more than plain tables.")
            pairs[tag] = self._item(depth + 1)
            flags = self._integer()
            if flags & 0xFF in (_NIL, _NULL):
                return pairs
            if flags & 0xFF not in (_PAIRS, _ATTRIBUTES):
                raise BadIndex("The R data holds more than plain tables.")

    def _finished(self, values: list[object], flags: int, depth: int) -> Vector:
        if not flags & 0x200:
            return Vector(values)
        attributes = self._item(depth + 1)
        return Vector(values, attributes if isinstance(attributes, dict) else {})

    def _integers(self, flags: int, depth: int) -> Vector:
        length = self._length(4)
        values = struct.unpack(f">{length}i", self._take(4 * length))
        return self._finished([None if v == _NA_INTEGER else v for v in values], flags, depth)

    def _reals(self, flags: int, depth: int) -> Vector:
        length = self._length(8)
        values = struct.unpack(f">{length}d", self._take(8 * length))
        return self._finished(list(values), flags, depth)

    def _strings(self, flags: int, depth: int) -> Vector:
        length = self._length(8)
        values: list[object] = []
        for _ in range(length):
            if self._integer() & 0xFF != _CHARS:
                raise BadIndex("The R data holds more than plain tables.")
            values.append(self._chars(0, depth))
        return self._finished(values, flags, depth)

    def _list(self, flags: int, depth: int) -> Vector:
        length = self._length(4)
        return self._finished([self._item(depth + 1) for _ in range(length)], flags, depth)

    def _alternative(self, _flags: int, depth: int) -> object:
        """R's wrapped vectors: the plain vector with a note on its order, which is passed over."""
        info, state = self._item(depth + 1), self._item(depth + 1)
        attributes = self._item(depth + 1)
        kind = info.get(b"0") if isinstance(info, dict) else None
        inner = state.values[0] if isinstance(state, Vector) and state.values else None
        if isinstance(state, dict):
            inner = state.get(b"0")
        if not (
            isinstance(kind, bytes) and kind.startswith(b"wrap_") and isinstance(inner, Vector)
        ):
            raise BadIndex("The R data holds more than plain tables.")
        if isinstance(attributes, dict):
            inner.attributes.update(attributes)
        return inner
