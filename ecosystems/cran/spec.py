"""Specs of R packages: a name, and what its version must be.

    dplyr    p*    dplyr (>= 1.1)    dplyr>=1.1,<2    dplyr 1.1.*

Rule: names are compared without regard to case, versions in R's order, and no
pattern of a user can take more than linear time.
"""

from __future__ import annotations

import re

from ecosystems import globs
from ecosystems.cran.versions import Test, plainly, version_test
from ecosystems.errors import SpecError
from ecosystems.records import Record

_LONGEST = 1000
_PARTS = re.compile(r"\s*([A-Za-z0-9.*_]+)\s*(?:\(([^()]*)\)|([^()]*?))\s*")
_NAME = re.compile(r"[A-Za-z0-9.*]+")


class CranSpec:
    """A parsed spec; see `filters.rules.model` for what may be asked of it."""

    __slots__ = (
        "_condition",
        "_fits_name",
        "_version",
        "canonical",
        "exact_name",
        "name_only",
        "text",
    )

    version_only = True

    def __init__(self, text: str, name: str, condition: str) -> None:
        self.text = text
        self.exact_name = None if "*" in name else name.lower()
        self._fits_name = globs.matcher(name) if self.exact_name is None else None
        self._version: Test | None = None
        # Long lists are read at each save; of most conditions nothing is ever asked.
        self._condition, spelling = condition, plainly(condition) if condition else "*"
        if spelling is None:
            self._version, spelling = version_test(condition)
        self.name_only = spelling == "*"
        self.canonical = name.lower() + ("" if self.name_only else f" {spelling}")

    def __repr__(self) -> str:
        return f"CranSpec({self.text!r})"

    def matches_name(self, name: str) -> bool:
        """Whether a package of this name can match at all."""
        if self._fits_name is not None:
            return self._fits_name(name)
        return name.lower() == self.exact_name

    def matches(self, record: Record) -> bool:
        """Whether the record has the name and a version that the spec asks for."""
        if not self.matches_name(record.name):
            return False
        if self.name_only:
            return True
        if self._version is None:
            self._version, _ = version_test(self._condition)
        return self._version(record.version)


def parse(text: str) -> CranSpec:
    """The spec that `text` says; SpecError, in words, where it says none."""
    if len(text) > _LONGEST:
        raise SpecError(f"a spec has at most {_LONGEST} characters, and this has {len(text)}")
    match = _PARTS.fullmatch(text)
    if match is None or not _NAME.fullmatch(match[1]):
        raise SpecError(
            f'"{text.strip()}" is no package of R with a version; write name, name (>= 1.2), '
            "or name>=1.2,<2"
        )
    return CranSpec(text.strip(), match[1], (match[2] or match[3] or "").strip())
