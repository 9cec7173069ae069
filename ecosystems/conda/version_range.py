"""Conditions on conda versions (CEP 29), such as `>=1.8,<2|3.*`.

Rule: what is compared here is only text that was read as a version; a text that
is none satisfies no comparison, but globs inside it still see its characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import NoReturn

from ecosystems import globs
from ecosystems.conda import regex
from ecosystems.conda.version import (
    LONGEST,
    SEPARATOR,
    Key,
    ParsedVersion,
    key,
    parsed,
    starts_with,
)
from ecosystems.errors import SpecError

_DEEPEST = 20
"""Parentheses in parentheses: each level is a level of Python's own stack."""
_MOST_VERDICTS = 4096
"""Versions that one condition remembers: some thousand specs may meet a whole repository."""

_Test = Callable[[ParsedVersion], bool]
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
        spelling = "".join(text.split())
        # In a regular expression \d and \D mean two things.
        self.text = spelling if "^" in spelling else spelling.lower()
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
            verdict = self._test(parsed(version))
            if len(self._verdicts) >= _MOST_VERDICTS:
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
    prefix = parsed(text)
    return lambda v: v.key is not None and starts_with(v, prefix)


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
    places = list(SEPARATOR.finditer(stem))
    if not places:
        raise SpecError(f'"~=" needs a version of at least two parts, not "{literal}"')
    # ~=1.2.3 is >=1.2.3 and =1.2 (CEP 29), as in PEP 440.
    same = _prefix(stem[: places[-1].start()])
    return lambda v: v.key is not None and v.key >= bound and same(v)
