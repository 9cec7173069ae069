"""Reads one large JSON object from a stream of blocks, member by member.

Memory stays at a few blocks, whatever the size of the whole. Members of inner
objects come in groups of some megabytes, each group cut where a member ends
and verified by decoding it: a cut that only looks right is never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from ecosystems.conda.json_members import (
    SCALAR_END,
    STRING,
    TOKEN,
    Group,
    RepeatedKeys,
    decode,
    decode_each,
)
from ecosystems.errors import BadIndex

GROUP = 2 << 20
"""Bytes that a group of members has at least, but for the last one."""

LARGEST_MEMBER = 64 << 20
DEEPEST = 1000
"""Brackets in brackets: more than any client reads."""
LONGEST_KEY = 64 << 10

_SPACE = re.compile(rb"[ \t\n\r]*+")
_TEXT = re.compile(STRING, re.DOTALL)
_NEXT_MEMBER = re.compile(rb'\},[ \t\n\r]*"[^"\\]*"[ \t\n\r]*:[ \t\n\r]*\{')
_DOUBLE_END = re.compile(rb"\}[ \t\n\r]*\}")
_CUTS_TRIED = 3
_TAIL = 64 << 10
"""Bytes at the end of the text in which a cut is looked for: more than a record has as a rule."""


class JsonStream:
    """A cursor over the text of one JSON document."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._text = b""
        self._at = 0
        self._ended = False
        self._decoder = msgspec.json.Decoder(Group)
        self.unreadable: list[str] = []
        """Keys of members that `entries` has left out because not even their key is text."""
        self.repeated = RepeatedKeys()
        """Keys that were there before, in the same group: the last counts."""

    def members(self) -> Iterator[str]:
        """The keys of the document's object.

        After each key its value must be consumed, by `entries` or `value`.
        """
        self._begin()
        yield from self._members()
        if self.peek():
            raise BadIndex("The index is not valid JSON: it goes on after its end.")

    def inner_members(self) -> Iterator[str]:
        """The keys of the object that begins here; again each value must be consumed."""
        self._expect(b"{")
        yield from self._members()

    def _members(self) -> Iterator[str]:
        while self.peek() != b"}":
            key = self.value(cap=LONGEST_KEY)
            if key is None or not key.startswith(b'"'):
                raise BadIndex("The index is not valid JSON: a key is not a text.")
            self._expect(b":")
            yield decode(key, str)
            if self.peek() != b"}":
                self._expect(b",")
        self._at += 1

    def entries(self) -> Iterator[Group]:
        """The members of the object that begins here, in groups of whole members."""
        self._expect(b"{")
        while True:
            self.peek()
            self._fill(GROUP)
            group = None if self._ended else self._group_by_cut()
            closed = False
            if group is None:
                group, closed = self._group_before_end() or self._group_by_walk()
            if group:
                yield group
            if closed:
                return
            if self.peek() != b"}":
                self._expect(b",")

    def elements(self, *, cap: int) -> Iterator[bytes | None]:
        """The text of each element of the array that begins here; None for one beyond `cap`."""
        self._expect(b"[")
        while self.peek() != b"]":
            yield self.value(cap=cap)
            if self.peek() != b"]":
                self._expect(b",")
        self._at += 1

    def value(self, *, cap: int) -> bytes | None:
        """The text of the value that begins here; None, passing over it, if longer than `cap`."""
        first = self.peek()
        if first not in (b"{", b"["):
            return self._scalar(first, cap=cap)
        pieces: list[bytes] = []
        size = depth = 0
        while True:
            end, depth = self._walk_value(depth)
            size += end - self._at
            if size <= cap:
                pieces.append(self._text[self._at : end])
            self._at = end
            if depth == 0:
                return b"".join(pieces) if size <= cap else None
            self._grow()

    def at_object(self) -> bool:
        """Whether the next value is an object."""
        first = self.peek()
        if not first:
            raise _ended()
        return first == b"{"

    def peek(self) -> bytes:
        """The next byte that is not white space; b"" at the end of the document."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _begin(self) -> None:
        first = self.peek()
        if first == b"<":
            raise BadIndex("HTML was received in place of an index.")
        if not first:
            raise BadIndex("The index is empty: not even an empty JSON object was received.")
        if first != b"{":
            raise BadIndex("What was received is not an index: it does not begin with `{`.")
        self._at += 1

    def _expect(self, expected: bytes) -> None:
        actual = self.peek()
        if not actual:
            raise _ended()
        if actual != expected:
            actual_text, expected_text = actual.decode("latin-1"), expected.decode()
            raise BadIndex(
                f"The index is not valid JSON: `{expected_text}` expected, `{actual_text}` found."
            )
        self._at += 1

    def _more(self) -> bool:
        """Appends a block and drops what is behind the cursor; False at the end."""
        # What lies behind the cursor is never read again, and would be the whole index.
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            return False
        self._text = self._text[self._at :] + block
        self._at = 0
        return True

    def _fill(self, size: int) -> None:
        pieces = [self._text[self._at :]]
        held = len(pieces[0])
        while held < size and not self._ended:
            block = next(self._blocks, None)
            self._ended = block is None
            pieces.append(block or b"")
            held += len(pieces[-1])
        self._text, self._at = b"".join(pieces), 0

    def _grow(self) -> None:
        """Makes the text ahead longer, or tells why that cannot be."""
        ahead = len(self._text) - self._at
        if ahead > LARGEST_MEMBER:
            raise BadIndex("The index holds a record of more than 64 MB.")
        # Twice as much: what is ahead is looked at from its begin again.
        self._fill(min(2 * ahead, LARGEST_MEMBER) + GROUP)
        if len(self._text) - self._at == ahead:
            raise _ended()

    def _group_by_cut(self) -> Group | None:
        """The group up to the last place that looks like the begin of another member."""
        # From the end: the larger the group, the fewer calls of the decoder.
        start = max(self._at, len(self._text) - _TAIL)
        cuts = [match.start() + 1 for match in _NEXT_MEMBER.finditer(self._text, start)]
        return self._first_that_decodes(cuts[: -_CUTS_TRIED - 1 : -1])

    def _group_before_end(self) -> tuple[Group, bool] | None:
        """The group up to the object's end, where records hold no objects themselves."""
        matches = _DOUBLE_END.finditer(self._text, self._at)
        cuts = [match.start() + 1 for _, match in zip(range(_CUTS_TRIED), matches, strict=False)]
        group = self._first_that_decodes(cuts)
        if group is None:
            return None
        self._expect(b"}")
        return group, True

    def _group_by_walk(self) -> tuple[Group, bool]:
        """The group found by following every bracket: slow, and right for any JSON."""
        while True:
            end, closed = self._walk_members()
            if end is not None:
                break
            self._grow()
        try:
            group = self._decoded(end)
        except BadIndex:
            # Something in it is broken, which must not cost its neighbors.
            group, unreadable = decode_each(self._text[:end], self._at)
            self.unreadable += unreadable
        self.repeated.scan_group(self._text[self._at : end], group)
        self._at = end + closed
        return group, closed

    def _walk_members(self) -> tuple[int | None, bool]:
        """Where the last whole member ends, and whether the object ends there too."""
        depth = 0
        end: int | None = None
        for match in TOKEN.finditer(self._text, self._at):
            token = match[0]
            if token == b'"':
                break
            if token in (b"{", b"["):
                depth += 1
            elif token in (b"}", b"]"):
                if depth == 0:
                    return match.start(), True
                depth -= 1
                end = match.end() if depth == 0 else end
        return end, False

    def _walk_value(self, depth: int) -> tuple[int, int]:
        """Follows brackets from the cursor; (how far, how deep it is there)."""
        for match in TOKEN.finditer(self._text, self._at):
            token = match[0]
            if token == b'"':
                return match.start(), depth
            if token in (b"{", b"["):
                depth += 1
                if depth > DEEPEST:
                    raise BadIndex(f"The index has more than {DEEPEST} brackets in each other.")
            elif token in (b"}", b"]"):
                depth -= 1
                if depth == 0:
                    return match.end(), 0
        return len(self._text), depth

    def _scalar(self, first: bytes, *, cap: int) -> bytes | None:
        while True:
            if first == b'"':
                match = _TEXT.match(self._text, self._at)
                end = match.end() if match else -1
            else:
                match = SCALAR_END.search(self._text, self._at)
                end = match.start() if match else -1
            if end >= 0:
                break
            self._grow()
        text, self._at = self._text[self._at : end], end
        return text if len(text) <= cap else None

    def _first_that_decodes(self, ends: list[int]) -> Group | None:
        for end in ends:
            try:
                group = self._decoded(end)
            except BadIndex:
                continue
            self.repeated.scan_group(self._text[self._at : end], group)
            self._at = end
            return group
        return None

    def _decoded(self, end: int) -> Group:
        text = b"{" + self._text[self._at : end] + b"}"
        try:
            # msgspec does not check that raw values are UTF-8.
            if not text.isascii():
                text.decode()
            return self._decoder.decode(text)
        except UnicodeDecodeError as error:
            raise BadIndex("The index is not valid UTF-8.") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadIndex(f"The index is not valid JSON: {error}.") from error


def _ended() -> BadIndex:
    return BadIndex("The index ended in the middle: it is not whole.")
