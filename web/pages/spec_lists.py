"""Lists of package names and specs, as people type and paste them into a form.

The rule: static/app.js splits in the same way, and a test compares the two.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from web.pages.account_forms import LinesField

# Only names may have blanks between them: in “numpy >=1.26” the blank belongs to the spec.
_NAME = re.compile(r"[A-Za-z_][\w.*-]*")
_LINES = re.compile(r"[\n\r;]+")
_MARKS = re.compile(r"[\[\],]")
# What continues a spec after a comma: “numpy >=1,<2”, “numpy 1.26,1.27”.
_VERSION = re.compile(r"\s*[<>=!~*\d]")


def split(text: str) -> list[str]:
    """The entries of a typed or pasted list: one a line, or with commas between them."""
    entries: list[str] = []
    for piece in (piece for line in _LINES.split(text) for piece in _at_commas(line)):
        words = piece.split()
        entries += words if all(map(_NAME.fullmatch, words)) else [piece.strip()]
    return [entry for entry in entries if entry]


def _at_commas(line: str) -> list[str]:
    """The parts of a line between commas, in one pass, however long it is.

    A comma inside a spec stands before a version ("numpy >=1,<2") or between brackets: the next
    bracket is a closing one.
    """
    separators: list[int] = []
    inside = False
    for mark in reversed(list(_MARKS.finditer(line))):
        if mark[0] != ",":
            inside = mark[0] == "]"
        elif not inside and not _VERSION.match(line, mark.end()):
            separators.append(mark.start())
    edges = [-1, *reversed(separators), len(line)]
    return [line[start + 1 : end] for start, end in pairwise(edges)]


class SpecListField(LinesField):
    """A list of package names and specs."""

    def to_python(self, value: object) -> Any:
        return split(str(value or ""))
