"""Names in sentences for people: the first few, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_NAMES = 3
"""So many names stand in a sentence; the others are a number."""
LONGEST_SHOWN_NAME = 100


def first_names(names: Sequence[str], total: int | None = None) -> str:
    """ "a, b, c and 12 more" of `total` names (all of `names`, if not said)."""
    total = len(names) if total is None else total
    shown = [shortened(name) for name in names[:SHOWN_NAMES]]
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def shortened(name: str) -> str:
    """A name of any length as a sentence can hold it."""
    # Upstreams choose the names: one of a megabyte must not fill a page.
    return name if len(name) <= LONGEST_SHOWN_NAME else f"{name[:LONGEST_SHOWN_NAME]}…"
