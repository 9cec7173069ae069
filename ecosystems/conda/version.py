"""The order of conda versions (CEP 33) and conditions on them (CEP 29).

Rule: what is compared here is only text that was read as a version; a text that
is none satisfies no comparison, but globs inside it still see its characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import NamedTuple, NoReturn

from ecosystems import globs, memo
from ecosystems.conda import regex
from ecosystems.errors import SpecError

Component = tuple[int, int | str]
Segment = tuple[Component, ...]
Key = tuple[tuple[object, ...], ...]

LONGEST = 200
"""Characters of a version."""
_DEEPEST = 20
_DEV, _TEXT, _NUMBER, _POST = range(4)
_ZERO: Component = (_NUMBER, 0)
# Stands where a list ends. Below it is everything smaller than zero, above it
# everything greater, so that missing parts count as zeros.
_END: tuple[int, ...] = (1,)
_WORD = re.compile(r"[0-9]+|[a-z_]+")
_CHARACTERS = re.compile(r"[0-9a-z._+!-]+")
_SEPARATOR = re.compile(r"[._-]")


class _Version(NamedTuple):
    text: str
    main: tuple[Segment, ...]
    local: tuple[Segment, ...]
    key: Key | None
    """None where the text is no version."""


def key(version: str) -> Key:
    """What versions are sorted and compared by; SpecError where `version` is none."""
    parsed_key = _look(version).key
    if parsed_key is None:
        return _read(version)[2]
    return parsed_key


@memo.short(65536)
def _look(version: str) -> _Version:
    try:
        main, local, version_key = _read(version)
    except SpecError:
        return _Version(version, (), (), None)
    return _Version(version, main, local, version_key)


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
    words = _SEPARATOR.split(text.removesuffix("_"))
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


def _starts(version: _Version, prefix: _Version) -> bool:
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


_Test = Callable[[_Version], bool]
_OPERATOR = re.compile(r"==|!=|<=|>=|~=|=|<|>")
_COMPARE: dict[str, Callable[[Key, Key], bool]] = {
    "": eq,
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_LITERAL = re.compile(r"[0-9A-Za-z._+!*-]+")
_FIRST, _MORE = r"[0-9][0-9a-z]*+", r"\.[0-9a-z]++"
_CLAUSE = (
    rf"(?:(?:==|!=|>=|=|<|){_FIRST}(?:{_MORE})*+(?:\.?\*)?+"
    rf"|(?:<=|>){_FIRST}(?:{_MORE})*+|~={_FIRST}(?:{_MORE})++)"
)
PLAIN = rf"{_CLAUSE}(?:, *+{_CLAUSE})*+"
"""Clauses that are conditions whatever the numbers and letters in them are."""
_PLAIN = re.compile(PLAIN)


def is_plain(text: str) -> bool:
    """Whether `text` is a condition for sure."""
    return len(text) <= LONGEST and _PLAIN.fullmatch(text) is not None


# conda cuts a condition here too, so a "$" stands at the end of an expression only.
_REGEX = re.compile(r"\^[^$]*\$")


class VersionRange:
    """A condition on versions, such as `>=1.8,<2|3.*`, with a memory of its verdicts.

    `whole` and `at` say in which longer text, and where, this one was found, so
    that an error can name the place in what the user wrote. What is plainly a
    condition is read when it is asked first: most of a long list never is.
    """

    __slots__ = ("_test", "_verdicts", "text")

    def __init__(
        self, text: str, *, whole: str | None = None, at: int = 0, plain: bool = False
    ) -> None:
        """`plain`: the caller knows that `text` is `PLAIN`."""
        self._test: _Test | None = None
        self._verdicts: dict[str, bool] | None = None
        if plain or is_plain(text):
            self.text = text.replace(" ", "")
            return
        said = "".join(text.split())
        # In a regular expression \d and \D mean two things.
        self.text = said if "^" in said else said.lower()
        self._test = _Parser(text, whole=text if whole is None else whole, at=at).parse()

    @property
    def always(self) -> bool:
        """Whether this says nothing: `*`."""
        return self.text != "" and self.text.strip("*") == ""

    def matches(self, version: str) -> bool:
        """Whether `version` satisfies the condition."""
        if self._verdicts is None:
            self._verdicts = {}
        verdict = self._verdicts.get(version)
        if verdict is None:
            if self._test is None:
                self._test = _Parser(self.text, whole=self.text, at=0).parse()
            verdict = self._test(_look(version))
            # Bounds the memory of one condition that meets a whole repository.
            if len(self._verdicts) >= 4096:
                self._verdicts.clear()
            self._verdicts[version] = verdict
        return verdict


class _Parser:
    """Reads alternatives of conjunctions of clauses, by recursive descent."""

    def __init__(self, text: str, *, whole: str, at: int) -> None:
        self.text, self.whole, self.at, self.pos = text, whole, at, 0
        self.depth = 0

    def parse(self) -> _Test:
        test = self._alternatives()
        if self._next():
            self._fail(f'"{self.text[self.pos]}" was not expected here')
        return test

    def _fail(self, why: str) -> NoReturn:
        raise SpecError(f'{why} (character {self.at + self.pos + 1} of "{self.whole}")')

    def _next(self) -> str:
        while self.pos < len(self.text) and self.text[self.pos].isspace():
            self.pos += 1
        return self.text[self.pos] if self.pos < len(self.text) else ""

    def _alternatives(self) -> _Test:
        arms = [self._all_of()]
        while self._next() == "|":
            self.pos += 1
            arms.append(self._all_of())
        fixed = tuple(arms)
        return fixed[0] if len(fixed) == 1 else lambda v: any(test(v) for test in fixed)

    def _all_of(self) -> _Test:
        parts = [self._clause()]
        while self._next() == ",":
            self.pos += 1
            parts.append(self._clause())
        if self._next() and self.text[self.pos] not in "|)":
            self._fail(f'a "," or "|" was expected before "{self.text[self.pos :]}"')
        fixed = tuple(parts)
        return fixed[0] if len(fixed) == 1 else lambda v: all(test(v) for test in fixed)

    def _group(self) -> _Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail(f"parentheses are nested more than {_DEEPEST} deep")
        self.pos += 1
        test = self._alternatives()
        if self._next() != ")":
            self._fail('a "(" is not closed')
        self.pos += 1
        self.depth -= 1
        return test

    def _clause(self) -> _Test:
        if self._next() == "(":
            return self._group()
        if operator_match := _OPERATOR.match(self.text, self.pos):
            self.pos = operator_match.end()
        operator = operator_match.group() if operator_match else ""
        if self._next() in ("^", "$"):
            return self._regex(operator)
        start = self.pos
        literal = _LITERAL.match(self.text, start)
        if literal is None:
            unread = self.text[start:]
            after = f' after "{operator}"' if operator else ""
            self._fail(f"a version was expected{after}" + (f', not "{unread}"' if unread else ""))
        self.pos = literal.end()
        try:
            return _compiled(operator, literal.group())
        except SpecError as error:
            place = self.at + start + 1
            raise SpecError(f'{error} (character {place} of "{self.whole}")') from error

    def _regex(self, operator: str) -> _Test:
        expression = _REGEX.match(self.text, self.pos)
        if expression is None:
            self._fail(regex.FORM)
        if operator:
            self._fail(f'"{operator}" cannot be used with a regular expression')
        try:
            fits = regex.matcher(expression.group())
        except SpecError as error:
            self._fail(str(error))
        self.pos = expression.end()
        return lambda v: fits(v.text)


def _compiled(operator: str, literal: str) -> _Test:
    if "*" not in literal:
        return _comparison(operator, literal)
    base = literal.rstrip("*")
    if operator not in ("", "=", "==", "!="):
        if operator not in (">=", "<") or "*" in base or not base:
            raise SpecError(f'"{operator}" cannot be used with "*" ("{operator}{literal}")')
        # Every version that begins with 1.8 is as great as 1.8, so the * adds nothing.
        return _comparison(operator, base.removesuffix("."))
    test = _pattern(base, literal)
    return (lambda v: v.key is not None and not test(v)) if operator == "!=" else test


def _pattern(base: str, literal: str) -> _Test:
    if not base:
        return lambda _: True
    if "*" in base:
        fits = globs.matcher(literal)
        return lambda v: fits(v.text)
    return _prefix(base.removesuffix("."))


def _prefix(text: str) -> _Test:
    key(text)
    prefix = _look(text)
    return lambda v: v.key is not None and _starts(v, prefix)


def _comparison(operator: str, literal: str) -> _Test:
    bound = key(literal)
    if operator == "=":
        return _prefix(literal)
    if operator == "~=":
        return _compatible(literal, bound)
    # What is no version satisfies nothing, not even `!=`.
    compare = _COMPARE[operator]
    return lambda v: v.key is not None and compare(v.key, bound)


def _compatible(literal: str, bound: Key) -> _Test:
    stem = literal.partition("+")[0]
    places = list(_SEPARATOR.finditer(stem))
    if not places:
        raise SpecError(f'"~=" needs a version of at least two parts, not "{literal}"')
    # ~=1.2.3 is >=1.2.3 and =1.2 (CEP 29), as in PEP 440.
    same = _prefix(stem[: places[-1].start()])
    return lambda v: v.key is not None and v.key >= bound and same(v)
