"""Every row of the catalogue of faults and attacks has a test that names it, or stands as open."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

FAMILIES = {"N": 22, "M": 11, "S": 10, "W": 11, "D": 5, "C": 7, "P": 9, "A": 13}
"""How many rows each family has: upstream's transport, content, storage, workers, databases and
time, concurrency, serving, access."""

OPEN = {
    "M06": "facts read from package files, against what their index says",
    "M11": "uploads: names that the organisation has for itself",
    "S05": "operations: a power cut, with a disk image that is copied while the server works",
    "S10": "operations: fsck lists and repairs a database that is older or newer than the files",
}
"""Rows that no test names yet. Who writes a test for one takes it out of here."""

IN_PART = {
    "A08": "single sign-on: roles that change at the provider, its keys, audience and issuer",
}
"""Rows whose tests show all but a part, which waits for this feature."""

ROOT = Path(__file__).resolve().parent.parent
_ROW = re.compile(r"(?<![A-Za-z0-9])([NMSWDCPA])([0-9]{2})(?![0-9A-Za-z])", re.IGNORECASE)


def rows() -> set[str]:
    return {
        f"{family}{number:02}"
        for family, count in FAMILIES.items()
        for number in range(1, count + 1)
    }


def words() -> Iterator[str]:
    """Names and docstrings of all tests, and what a whole file of them is about."""
    for path in ROOT.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        tree = ast.parse(path.read_text())
        yield ast.get_docstring(tree) or ""
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{node.name.replace('_', ' ')} {ast.get_docstring(node) or ''}"


def named() -> set[str]:
    return {"".join(found).upper() for text in words() for found in _ROW.findall(text)}


def test_every_row_has_a_test_or_is_open() -> None:
    assert sorted(rows() - named() - set(OPEN)) == []


def test_no_row_with_a_test_is_called_open() -> None:
    assert sorted(named() & set(OPEN)) == []
    assert set(OPEN) <= rows()


def test_rows_that_are_shown_in_part_have_a_test() -> None:
    assert set(IN_PART) <= named()
