"""Pages of lists: by `offset` and `limit`, or by the id of the last event that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from django.db.models import Model, QuerySet
from ninja import Field, Schema

from web.api.schemas import CountedAnswer, ListAnswer

Row = TypeVar("Row", bound=Model)

MAX_NUMBER = 1_000_000_000
"""Of a number in an address or a query; databases refuse much larger ones."""
DEFAULT_EVENTS, MAX_EVENTS = 100, 1000
"""Events in one answer."""
COUNT_LIMIT = 10_000
"""Counting stops here: beyond it nobody pages, and a database would have to read every row."""


class Paging(Schema):
    """`limit` absent = everything; 0 = nothing but the total."""

    offset: int = Field(0, ge=0, le=MAX_NUMBER)
    limit: int | None = Field(None, ge=0, le=MAX_NUMBER)


class EventPaging(Schema):
    """A place in a list that has no end: `offset` rows are read and skipped, `after` seeks."""

    # A database reads every row that it skips; `after` costs nothing of the kind.
    offset: int = Field(0, ge=0, le=10 * COUNT_LIMIT)
    limit: int | None = Field(DEFAULT_EVENTS, ge=0, le=MAX_NUMBER)
    # Up to the largest id that databases have.
    after: int | None = Field(None, ge=0, le=2**63 - 1)
    """The `event_id` that the page before ended with."""


def paginate(rows: QuerySet[Row], paging: Paging) -> list[Row]:
    """The rows of one page."""
    if paging.limit == 0:
        return []
    end = None if paging.limit is None else paging.offset + paging.limit
    return list(rows[paging.offset : end])


def paginate_events(rows: QuerySet[Row], paging: EventPaging, *, descending: bool) -> list[Row]:
    """At most `MAX_EVENTS` of these events, in the order of their ids."""
    if paging.after is not None:
        rows = rows.filter(**{"pk__lt" if descending else "pk__gt": paging.after})
    limit = DEFAULT_EVENTS if paging.limit is None else min(paging.limit, MAX_EVENTS)
    ordered = rows.order_by("-pk" if descending else "pk")
    return paginate(ordered, Paging(offset=paging.offset, limit=limit))


def item_list(items: Sequence[Mapping[str, object]], total: int) -> ListAnswer:
    """An `ItemList` of one page's items."""
    return {"total_count": total, "items": items}


def counted_list(
    items: Sequence[Mapping[str, object]], rows: QuerySet[Row], *, count_all: bool = False
) -> CountedAnswer:
    """A `CountedList` of some of these rows; `count_all`: counted to their end."""
    if count_all:
        return {**item_list(items, rows.order_by().count()), "count_exact": True}
    # Ordering would have the database sort what is only counted. One row beyond the limit says
    # that there are more.
    total = rows.order_by()[: COUNT_LIMIT + 1].count()
    return {**item_list(items, min(total, COUNT_LIMIT)), "count_exact": total <= COUNT_LIMIT}
