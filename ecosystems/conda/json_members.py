"""Members of a JSON object, as text in memory: found, decoded one by one, compared by key.

Rule: one member that is broken costs no other. In its place stands a text that says what is wrong
with it; `ecosystems.conda.readable` knows these.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from ecosystems.errors import BadIndex
from ecosystems.sentences import SHOWN_NAMES, first_names

NOT_TEXT = "The record's text is not valid Unicode."
NOT_JSON = "The record is not valid JSON."

# Possessive (`*+`): a text whose end is not there yet must cost neither a second look at each
# of its bytes nor memory for going back.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
TOKEN = re.compile(STRING + rb'|[{}\[\]"]', re.DOTALL)
"""What decides where a value ends; a lone `"` begins a string whose end is not there."""
SCALAR_END = re.compile(rb"[,}\]\s]")
_MEMBER = re.compile(rb"[ \t\n\r,]*+(" + STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+", re.DOTALL)
_SPACED_COMMA = re.compile(rb"\}[ \t\n\r]++,")

Group = dict[str, msgspec.Raw]
"""Members by key, each value as it came."""

_T = TypeVar("_T")


def decode(text: bytes, kind: type[_T]) -> _T:
    """`text` as a value of `kind`; BadIndex if it is none."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadIndex(f"The index is not valid JSON: {error}.") from error


class RepeatedKeys:
    """Keys that an object has more than once: how many more, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []

    def scan(self, text: bytes) -> None:
        """Add those of the members in `text`."""
        keys: set[bytes] = set()
        at = 0
        while (match := _MEMBER.match(text, at)) is not None:
            if match[1] in keys:
                self._add(1, [match[1][1:-1].decode(errors="replace")])
            keys.add(match[1])
            at = _value_end(text, match.end())

    def scan_group(self, text: bytes, group: Group) -> None:
        """Add those of `text`, of which `group` is what decoding gave.

        Decoding keeps the last of equal keys and does not say so. Two sums tell that a text has
        none, as nearly all: only the others are read key by key, which is slow.
        """
        text = text.strip(b" \t\n\r,")
        parts = sum(map(len, group.values())) + sum(map(len, group))
        if not group or len(text) == parts + 4 * len(group) - 1:
            return  # `"key":value,` each, and nothing else.
        if text.count(b"},") + 1 == len(group) and not _SPACED_COMMA.search(text):
            return
        self.scan(text)

    def take_over(self, repeated: RepeatedKeys) -> None:
        """Add those of another, which then has none."""
        self._add(repeated.count, repeated.names)
        repeated.count, repeated.names = 0, []

    def _add(self, count: int, names: list[str]) -> None:
        self.count += count
        # A sentence names some of them, and each of these once.
        fresh = [name for name in names if name not in self.names]
        self.names += fresh[: SHOWN_NAMES - len(self.names)]

    def __str__(self) -> str:
        return first_names(self.names, max(self.count, len(self.names)))


def decode_each(text: bytes, at: int) -> tuple[Group, list[str]]:
    """The members of `text` from `at` on, each by itself, and keys that are not even text."""
    group: Group = {}
    unreadable: list[str] = []
    while (match := _MEMBER.match(text, at)) is not None:
        key, at = match[1], match.end()
        end = _value_end(text, at)
        try:
            group[decode(key, str)] = _value_or_reason(text[at:end])
        except BadIndex:
            unreadable.append(key[1:-1].decode(errors="replace"))
        at = end
    if text[at:].strip(b" \t\n\r,"):
        raise BadIndex("The index is not valid JSON: `key: value` expected.")
    return group, unreadable


def _value_end(text: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    depth = 0
    for match in TOKEN.finditer(text, at):
        if depth == 0 and text[at : match.start()].strip(b" \t\n\r"):
            break  # A number or a word: what matched lies behind it.
        depth += (match[0] in (b"{", b"[")) - (match[0] in (b"}", b"]"))
        if depth == 0:
            return match.end()
    end = SCALAR_END.search(text, at)
    return end.start() if end else len(text)


def _value_or_reason(text: bytes) -> msgspec.Raw:
    """A value, or what is wrong with it."""
    try:
        text.decode()
        msgspec.json.decode(text)
    except UnicodeDecodeError:
        return msgspec.Raw(msgspec.json.encode(NOT_TEXT))
    except (msgspec.DecodeError, RecursionError):
        # Half a surrogate pair and a long number are JSON; `readable` looks at these.
        if not _is_json(text):
            return msgspec.Raw(msgspec.json.encode(NOT_JSON))
    return msgspec.Raw(text)


def _is_json(text: bytes) -> bool:
    try:
        # As an element of raw values: msgspec then checks the syntax and builds no value.
        msgspec.json.decode(b"[" + text + b"]", type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
