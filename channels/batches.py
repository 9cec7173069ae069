"""How many rows one statement, or one short transaction, reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

# Few enough that others wait little: SQLite has one writer at a time. It also bounds the variables
# of a statement, of which each of the databases takes only so many.
BATCH_ROWS = 500


def batched(items: Iterable[T], size: int = BATCH_ROWS) -> Iterator[list[T]]:
    """The items in order, in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
