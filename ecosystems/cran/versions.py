"""R's package versions: numbers between dots and dashes, compared one by one.

Rule: `1.0` comes before `1.0.0`, and `1.0-1` equals `1.0.1`, as R's own
`package_version` says.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from ecosystems import memo
from ecosystems.errors import SpecError

Version = tuple[int, ...]
Test = Callable[[str], bool]

LONGEST = 64
_VERSION = re.compile(r"[0-9]+(?:[.-][0-9]+)+")
# A condition may name one number (`>= 3`), a version has two at least.
_BOUND = re.compile(r"[0-9]+(?:[.-][0-9]+)*")
_CLAUSE = re.compile(r"\s*(==|!=|<=|>=|=|<|>|)\s*([0-9.\-]+?)(\.?\*)?\s*")
_NUMBER = "(?:0|[1-9][0-9]*)"
_BARE = rf"\s*(?:==|!=|<=|>=|<|>|)\s*{_NUMBER}(?:[.-]{_NUMBER})*\s*"
_PLAIN = re.compile(f"{_BARE}(?:,{_BARE})*")
_COMPARE: dict[str, Callable[[Version, Version], bool]] = {
    "": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def is_version(text: str) -> bool:
    """Whether `text` is the version of an R package: at least two numbers."""
    return len(text) <= LONGEST and _VERSION.fullmatch(text) is not None


@memo.short(65536)
def parse(text: str) -> Version:
    """The numbers of a version; `is_version` must hold of it, or of it with more numbers."""
    return tuple(int(part) for part in re.split("[.-]", text))


def plainly(text: str) -> str | None:
    """The one spelling of what is plainly a condition; None where `version_test` has to say.

    Long lists are read at each save, and of most of their conditions nothing is ever asked.
    """
    if len(text) > LONGEST or not _PLAIN.fullmatch(text):
        return None
    clauses = "".join(text.split()).replace("-", ".").split(",")
    return ",".join(clause if clause[0] in "=!<>" else f"=={clause}" for clause in clauses)


def version_test(text: str) -> tuple[Test, str]:
    """What conditions like `>=1.2,<2` say of a version, and their one spelling.

    A comma is "and", a bar "or"; `=1.2` and `1.2.*` mean every version that
    begins so. SpecError where `text` is none of this.
    """
    arms = [[_clause(clause) for clause in arm.split(",")] for arm in text.split("|")]
    tests = [[test for test, _ in arm] for arm in arms]
    spelling = "|".join(",".join(words for _, words in arm) for arm in arms)

    def holds(version: str) -> bool:
        return is_version(version) and any(all(test(version) for test in arm) for arm in tests)

    return holds, spelling


def _clause(text: str) -> tuple[Test, str]:
    if text.strip() == "*":
        return lambda _: True, "*"
    match = _CLAUSE.fullmatch(text)
    if match is None or len(text) > LONGEST * 2 or not _BOUND.fullmatch(match[2]):
        raise SpecError(
            f'"{text.strip()}" is no condition on a version; conditions look like >=1.2, ==1.2-3'
        )
    sign, bound, star = match[1], parse(match[2]), match[3]
    spelling = ".".join(map(str, bound))
    if sign == "=" or star:
        return _prefix(sign, bound, spelling)
    compare = _COMPARE[sign]
    return lambda version: compare(parse(version), bound), f"{sign or '=='}{spelling}"


def _prefix(sign: str, bound: Version, spelling: str) -> tuple[Test, str]:
    if sign not in ("", "=", "==", "!="):
        raise SpecError(f'"{sign}" does not go with "*": say {sign}{spelling}')
    length, positive = len(bound), sign != "!="
    shown = f"{'=' if positive else '!='}{spelling}.*"
    return lambda version: (parse(version)[:length] == bound) is positive, shown
