"""The order of conda versions (CEP 33).

Rule: a version is read once into a key that Python's tuples order as the CEP says; a text that
is no version has no key. Conditions on versions are `ecosystems.conda.version_range`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ecosystems import memo
from ecosystems.errors import SpecError

Component = tuple[int, int | str]
Segment = tuple[Component, ...]
Key = tuple[tuple[object, ...], ...]

LONGEST = 200
"""Characters of a version."""
_DEV, _TEXT, _NUMBER, _POST = range(4)
_ZERO: Component = (_NUMBER, 0)
# Stands where a list ends. Below it is everything smaller than zero, above it
# everything greater, so that missing parts count as zeros.
_END: tuple[int, ...] = (1,)
_WORD = re.compile(r"[0-9]+|[a-z_]+")
_CHARACTERS = re.compile(r"[0-9a-z._+!-]+")
SEPARATOR = re.compile(r"[._-]")


class ParsedVersion(NamedTuple):
    """A text as a version: the segments before and behind `+`, each with its components."""

    text: str
    main: tuple[Segment, ...]
    local: tuple[Segment, ...]
    key: Key | None
    """None where the text is no version."""


def key(version: str) -> Key:
    """What versions are sorted and compared by; SpecError where `version` is none."""
    parsed_key = parsed(version).key
    if parsed_key is None:
        return _read(version)[2]
    return parsed_key


@memo.short(65536)
def parsed(version: str) -> ParsedVersion:
    """The parts of a version, without segments and key where the text is none."""
    try:
        main, local, version_key = _read(version)
    except SpecError:
        return ParsedVersion(version, (), (), None)
    return ParsedVersion(version, main, local, version_key)


def _read(version: str) -> tuple[tuple[Segment, ...], tuple[Segment, ...], Key]:
    # CEP 33: case counts for nothing.
    text = version.strip().lower()
    if not text:
        raise SpecError("the version is empty")
    if len(text) > LONGEST:
        raise SpecError(f"a version has at most {LONGEST} characters, and this has {len(text)}")
    if not _CHARACTERS.fullmatch(text):
        raise SpecError(f'"{version}" has a character that no version may have')
    epoch, bang, release = text.rpartition("!")
    if bang and not epoch.isdecimal():
        raise SpecError(f'"{version}" needs one whole number before its "!"')
    body, plus, tail = release.partition("+")
    main = (((_NUMBER, int(epoch or 0)),), *_segments(body, version))
    local = _segments(tail, version) if plus else ()
    return main, local, (_padded(main), _padded(local))


def _segments(text: str, version: str) -> tuple[Segment, ...]:
    # One underscore at the end belongs to the last part: 1.0.1_ sorts before 1.0.1a.
    ending = "_" if text.endswith("_") else ""
    words = SEPARATOR.split(text.removesuffix("_"))
    if "+" in text:
        raise SpecError(f'"{version}" has more than one "+"')
    if not all(words):
        raise SpecError(f'"{version}" has an empty part')
    words[-1] += ending
    return tuple(_segment(_WORD.findall(word)) for word in words)


def _segment(words: Sequence[str]) -> Segment:
    components = tuple(_component(word) for word in words)
    # CEP 33: a part that begins with letters gets a zero in front of them.
    return components if components[0][0] == _NUMBER else (_ZERO, *components)


def _component(word: str) -> Component:
    if word.isdecimal():
        return (_NUMBER, int(word))
    # CEP 33: `dev` is below every other text, `post` above every number.
    if word == "dev":
        return (_DEV, "")
    return (_POST, 0) if word == "post" else (_TEXT, word)


def _run(values: Sequence[object], signs: Sequence[int]) -> tuple[object, ...]:
    """A tuple that Python orders as if `values` went on with zeros for ever.

    Zeros are only counted. The sooner something below zero comes, the smaller
    the list; the sooner something above zero comes, the greater.
    """
    out: list[object] = []
    zeros = 0
    for value, sign in zip(values, signs, strict=True):
        if sign == 0:
            zeros += 1
            continue
        out.append((0, zeros, value) if sign < 0 else (2, -zeros, value))
        zeros = 0
    out.append(_END)
    return tuple(out)


def _sign(component: Component) -> int:
    return 0 if component == _ZERO else (-1 if component[0] < _NUMBER else 1)


@memo.short(65536)
def _segment_key(segment: Segment) -> tuple[tuple[object, ...], int]:
    segment_key = _run(segment, [_sign(component) for component in segment])
    first = segment_key[0]
    assert isinstance(first, tuple)
    return segment_key, first[0] - 1


def _padded(segments: Sequence[Segment]) -> tuple[object, ...]:
    keys = [_segment_key(segment) for segment in segments]
    return _run([segment_key for segment_key, _ in keys], [sign for _, sign in keys])


def starts_with(version: ParsedVersion, prefix: ParsedVersion) -> bool:
    """Whether the parts of `prefix` are the first parts of `version`.

    The last part of the prefix may be followed by more within its own segment:
    1.8 begins 1.8rc1 and 1.8.2, and not 1.80.
    """
    ours, theirs = version.main, prefix.main
    if prefix.local:
        if _padded(ours) != _padded(theirs):
            return False
        ours, theirs = version.local, prefix.local
    last = len(theirs) - 1
    if _padded(ours[:last]) != _padded(theirs[:last]):
        return False
    have = ours[last] if len(ours) > last else ()
    want = theirs[last]
    deep = len(want) - 1
    if _segment_key(have[:deep])[0] != _segment_key(want[:deep])[0]:
        return False
    component = have[deep] if len(have) > deep else _ZERO
    kind, value = want[deep]
    if kind == _TEXT:
        return component[0] == _TEXT and str(component[1]).startswith(str(value))
    return component == want[deep]
