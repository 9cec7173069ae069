"""Upstream's texts on their way into the database."""

from __future__ import annotations

UNREADABLE = "The package name in the file name breaks the naming rules."
"""Why a record is in no package, and so is not published."""


def storable(text: str) -> str:
    """`text` without what PostgreSQL cannot store: NUL and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
