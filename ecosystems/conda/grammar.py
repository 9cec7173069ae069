"""Splits the text of a conda MatchSpec (CEP 29) into its expressions.

Rule: nothing is judged here and nothing is guessed; what the grammar leaves
ambiguous is refused with a sentence that names the place.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from ecosystems.conda import regex
from ecosystems.conda.channel import is_subdir
from ecosystems.errors import SpecError

_NAME = re.compile(r"[A-Za-z0-9_.*-]+")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUILD = re.compile(r"[A-Za-z0-9_.+*!-]+")
_QUOTED = re.compile(r"""(['"])((?:\\.|(?!\1)[^\\])*)\1""")
_BARE = re.compile(r"""[^\s,'"\[\]]+""")
# A space that separates two expressions, and is not beside an operator of a version.
_GAP = re.compile(r"(?<![=!<>~,|(\s])\s+(?![,|)\s])")
# A "=" that separates, and is not part of an operator.
_EQUALS = re.compile(r"(?<![=!<>~,|(])=(?![=])")
_OPERATORS = "=!<>~"
# A regular expression as an expression of its own: it ends at the first "$" that may end one.
_REGEX = re.compile(r"(?<![^\s=,|(])\^.*?\$(?=$|[\s=!<>~,|)\[])")


class Part(NamedTuple):
    """One expression and where in the whole text it begins."""

    text: str
    at: int


class Parts(NamedTuple):
    """A spec, split: positional expressions and `[key=value]` pairs alike."""

    name: Part
    fields: dict[str, Part]


def fail(why: str, *, text: str, at: int) -> NoReturn:
    """Refuse `text` because of what stands at `at`."""
    raise SpecError(f'{why} (character {at + 1} of "{text}")')


def split(text: str) -> Parts:
    """The expressions of a spec by field; a bracket key overrides a positional value."""
    if not text.strip():
        raise SpecError("the spec is empty")
    masked = _masked(text)
    opening = masked.find("[")
    head = masked if opening < 0 else masked[:opening]
    pairs = {} if opening < 0 else _pairs(text, opening)
    start, fields = _prefix(text, head)
    name, positional = _positional(text, head, start)
    name = _unmasked(name, text)
    fields |= {key: _unmasked(part, text) for key, part in positional.items()}
    named = pairs.pop("name", None)
    if named is not None and name.text == "*":
        name = named
    elif named is not None and named.text.lower() != name.text.lower():
        fail(f'the name is "{name.text}" already, before the brackets', text=text, at=named.at)
    return Parts(name, fields | pairs)


def _masked(text: str) -> str:
    """`text` with letters in place of regular expressions, which hold any character."""
    at, masked = 0, text
    while match := _REGEX.search(masked, at):
        if 0 <= masked.find("[", at) < match.start():
            break
        at = match.end()
        masked = masked[: match.start()] + "x" * len(match.group()) + masked[at:]
    return masked


def _unmasked(part: Part, text: str) -> Part:
    return Part(text[part.at : part.at + len(part.text)], part.at)


def _prefix(text: str, head: str) -> tuple[int, dict[str, Part]]:
    """Where the name begins, and what `channel/subdir::` before it says."""
    before, colon, _ = head.rpartition(":")
    if not colon:
        return 0, {}
    channel, second, _namespace = before.rpartition(":")
    if not second:  # namespace:name; the namespace is read and means nothing
        return len(before) + 1, {}
    place, slash, subdir = channel.strip().rpartition("/")
    if not slash:
        place, subdir = channel.strip(), ""
    if place not in ("", "*") or (subdir and not is_subdir(subdir.lower())):
        hint = f'; write "*/{subdir}::…"' if slash and is_subdir(subdir.lower()) else ""
        why = f'a mirror has one source, so the channel "{channel.strip()}" cannot be chosen here'
        fail(why + hint, text=text, at=0)
    fields = {"subdir": Part(subdir, channel.index(subdir))} if subdir else {}
    return len(before) + 1, fields


def _positional(text: str, head: str, start: int) -> tuple[Part, dict[str, Part]]:
    at = start + len(head[start:]) - len(head[start:].lstrip())
    if head[at : at + 1] in ("^", "$"):
        fail(regex.FORM, text=text, at=at)
    match = _NAME.match(head, at)
    if match is None:
        if head[at:].strip():
            fail(f'"{head[at]}" cannot begin a package name', text=text, at=at)
        fail('the package name is missing; write "*" for every name', text=text, at=at)
    end = match.end()
    condition = head[end:].rstrip()
    if condition and not condition[0].isspace() and condition[0] not in _OPERATORS:
        fail(f'"{condition[0]}" cannot stand in a package name', text=text, at=end)
    spaced = condition != condition.lstrip()
    at, condition = end + len(condition) - len(condition.lstrip()), condition.lstrip()
    if not condition:
        return Part(match.group(), match.start()), {}
    return Part(match.group(), match.start()), _version_and_build(text, Part(condition, at), spaced)


def _version_and_build(text: str, condition: Part, spaced: bool) -> dict[str, Part]:
    gaps = list(_GAP.finditer(condition.text))
    equals = [m for m in _EQUALS.finditer(condition.text) if m.start() > 0]
    if gaps:
        by_both = bool(equals) or (not spaced and _begins_with_equals(condition.text))
        if len(gaps) > 1 or by_both:
            _refuse_separators(text, condition, gaps)
        return _two(text, condition, cut=(gaps[0].start(), gaps[0].end()))
    if not equals:
        return {"version": condition}
    if len(equals) > 1:
        fail('one "=" too many', text=text, at=condition.at + equals[1].start())
    return _two(text, condition, cut=(equals[0].start(), equals[0].end()))


def _begins_with_equals(text: str) -> bool:
    return text[0] == "=" != text[1:2]


def _refuse_separators(text: str, condition: Part, gaps: list[re.Match[str]]) -> NoReturn:
    """Refuse a version and a build that are not told apart in one way."""
    at = condition.at + (gaps[1] if len(gaps) > 1 else gaps[0]).end()
    why = "name, version and build are separated by spaces or by '=', not by both"
    if len(gaps) > 1 or _builds(condition.text[gaps[0].end() :]) is None:
        why = 'only name, version and build fit here; join version conditions with ","'
    fail(why, text=text, at=at)


def _builds(text: str) -> str | None:
    match = _BUILD.fullmatch(text)
    return match.group() if match else None


def _two(text: str, condition: Part, *, cut: tuple[int, int]) -> dict[str, Part]:
    version, build = condition.text[: cut[0]], condition.text[cut[1] :]
    at = condition.at
    by_equals = condition.text[cut[0]] == "="
    if by_equals and version[0] == "=" != version[1:2]:
        # name=1.8=b: the first "=" separates here, and does not mean "begins with".
        version, at = version[1:], at + 1
    if _builds(build) is None:
        place = condition.at + cut[1]
        if build[:1] in ("^", "$"):
            fail(regex.FORM, text=text, at=place)
        if build[:1] in tuple(_OPERATORS) and build:
            fail('join version conditions with "," or "|"', text=text, at=place)
        why = f'"{build}" is no build string' if build else "the build string is missing"
        fail(why, text=text, at=place)
    return {"version": Part(version, at), "build": Part(build, condition.at + cut[1])}


def _pairs(text: str, opening: int) -> dict[str, Part]:
    pairs: dict[str, Part] = {}
    at = _skip(text, opening + 1)
    while text[at : at + 1] != "]":
        name, value, at = _pair(text, at)
        if name in pairs:
            fail(f'"{name}" is given twice', text=text, at=value.at)
        pairs[name] = value
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
    if text[at + 1 :].strip():
        fail("nothing may follow the brackets", text=text, at=at + 1)
    return pairs


def _pair(text: str, at: int) -> tuple[str, Part, int]:
    if at >= len(text):
        fail('the "[" is not closed', text=text, at=text.index("["))
    key = _KEY.match(text, at)
    if key is None:
        fail('key=value was expected; quote values that hold a "," or space', text=text, at=at)
    at = _skip(text, key.end())
    if text[at : at + 1] != "=":
        fail(f'"{key.group()}" needs "=" and a value', text=text, at=at)
    at = _skip(text, at + 1)
    if quoted := _QUOTED.match(text, at):
        value = re.sub(r"\\(.)", r"\1", quoted.group(2))
        return key.group().lower(), Part(value, at + 1), quoted.end()
    bare = _BARE.match(text, at)
    if bare is None:
        why = "the quote is not closed" if text[at : at + 1] in ("'", '"') else "a value is missing"
        fail(why, text=text, at=at)
    return key.group().lower(), Part(bare.group(), at), bare.end()


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
