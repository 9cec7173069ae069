"""Documents name files, folders, pictures and other documents: each of them is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrorserver.environment import PROJECT

DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").glob("*.md")),
]
MADE = {"var", ".venv"}
"""Folders that no checkout has."""
ROOTS = {path.name for path in PROJECT.iterdir() if path.is_dir()} - MADE
PATH = re.compile(r"`([a-z0-9_./-]+/[A-Za-z0-9_./-]*|[a-z-]+\.(?:yml|toml|md))`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def paths(text: str) -> Iterator[str]:
    """What stands in backticks and begins with one of the project's folders."""
    for path in PATH.findall(text):
        if path.partition("/")[0] in ROOTS:
            yield path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_and_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    missing = [path for path in paths(text) if not (PROJECT / path).exists()]
    missing += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert missing == []


def test_every_picture_is_shown_somewhere() -> None:
    text = "".join(document.read_text() for document in DOCUMENTS)
    pictures = (PROJECT / "docs").glob("*.png")
    assert [path.name for path in pictures if f"{path.name})" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    for target in re.findall(r"(?:^ +|`|\. )make ([a-z.][a-z./-]*)", document.read_text()):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
