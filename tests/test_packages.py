"""Every package says in one sentence what it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mirrorserver.environment import PROJECT

ROOMS = sorted(path.parent for path in PROJECT.glob("*/__init__.py") if path.parent.name != "tests")
PACKAGES = [
    path.parent.relative_to(PROJECT)
    for room in ROOMS
    for path in sorted(room.rglob("__init__.py"))
    if path.parent.name != "migrations"
]


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_a_package_says_what_it_is_for(package: Path) -> None:
    text = ast.get_docstring(ast.parse((PROJECT / package / "__init__.py").read_text()))
    assert text, "no docstring"
    assert text.partition("\n\n")[0].endswith("."), text


def test_a_room_says_nothing_but_that() -> None:
    loud = [
        room.name
        for room in ROOMS
        if len(ast.parse((room / "__init__.py").read_text()).body) > 1
        and room.name != "mirrorserver"  # Celery looks for its app there.
    ]
    assert loud == []
