"""Upstream's texts on their way into the database."""

from __future__ import annotations


def storable(text: str) -> str:
    """`text` without what PostgreSQL cannot store: NUL and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
