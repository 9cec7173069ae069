"""What all parts of the REST API have in common: its errors, its lists, its times."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from ninja import Field, Schema
from pydantic import ConfigDict, model_validator

from accounts.errors import ApiError

LARGEST = 1_000_000_000
"""Of a number in an address or a query; databases refuse much larger ones."""


USUAL, MOST = 100, 1000
"""Events that are told at once."""
COUNTED = 10_000
"""Counting stops here: beyond it nobody pages, and a database would have to read every row."""


class ErrorDetail(Schema):
    model_config = ConfigDict(extra="allow")
    code: str
    message: str


class ErrorAnswer(Schema):
    """Every error. Bad input has `fields`: {name of the field: [sentences]}."""

    model_config = ConfigDict(extra="allow")
    error: ErrorDetail
    message: str


class ItemList(Schema):
    total_count: int
    items: list[dict[str, Any]]


class CountedList(ItemList):
    """A list that is not counted to its end: if `count_exact` is false, there are more."""

    count_exact: bool


ERRORS: dict[int, type[Schema]] = dict.fromkeys(
    (400, 401, 403, 404, 409, 412, 413, 422, 429, 503), ErrorAnswer
)
"""What any operation may answer beside its success."""


class Body(Schema):
    """What a request may say; a field that nobody reads would be a wish nobody grants.

    So it is refused, unless it is empty, or a GET shows it: whoever reads, edits and sends back
    need not take those out.
    """

    model_config = ConfigDict(extra="forbid")
    SHOWN: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_shown(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            key: value
            for key, value in values.items()
            if key in cls.model_fields or (value and key not in cls.SHOWN)
        }


class Behind(Schema):
    """A place in a list that has no end: `offset` rows are read and left out, `after` skips."""

    offset: int = Field(0, ge=0, le=10 * COUNTED)
    limit: int | None = Field(USUAL, ge=0, le=LARGEST)
    after: int | None = Field(None, ge=0, le=2**63 - 1)
    """The `event_id` that the part before ended with."""


class Paging(Schema):
    """`limit` absent = everything; 0 = nothing but the total."""

    offset: int = Field(0, ge=0, le=LARGEST)
    limit: int | None = Field(None, ge=0, le=LARGEST)


def not_found(what: str) -> ApiError:
    return ApiError(404, f"There is no {what} here that you may see.")


def invalid(field: str, message: str) -> ApiError:
    """422 with the field named."""
    return ApiError(422, f"{field}: {message}", fields={field: [message]})


def part(rows: QuerySet[Any] | list[Any], paging: Paging) -> list[Any]:
    """The rows of one page."""
    if paging.limit == 0:
        return []
    end = None if paging.limit is None else paging.offset + paging.limit
    return list(rows[paging.offset : end])


def behind(rows: QuerySet[Any], place: Behind, *, downwards: bool) -> list[Any]:
    """At most 1,000 of these events, in the order of their ids."""
    if place.after is not None:
        rows = rows.filter(**{"pk__lt" if downwards else "pk__gt": place.after})
    limit = USUAL if place.limit is None else min(place.limit, MOST)
    ordered = rows.order_by("-pk" if downwards else "pk")
    return part(ordered, Paging(offset=place.offset, limit=limit))


def listed(items: list[dict[str, Any]], total: int) -> dict[str, Any]:
    return {"total_count": total, "items": items}


def counted(
    items: list[dict[str, Any]], rows: QuerySet[Any], *, whole: bool = False
) -> dict[str, Any]:
    """A `CountedList` of some of these rows; `whole`: counted to their end."""
    if whole:
        return {**listed(items, rows.order_by().count()), "count_exact": True}
    total = rows.order_by()[: COUNTED + 1].count()
    return {**listed(items, min(total, COUNTED)), "count_exact": total <= COUNTED}


def with_text_ids(value: Any) -> Any:
    """The same with every id as text: the vendor's clients join ids into addresses.

    `metadata` is what an upstream wrote; nothing in it is ours.
    """
    if isinstance(value, dict):
        return {key: _answered(key, one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_text_ids(one) for one in value]
    return value


def _answered(key: str, value: Any) -> Any:
    if key == "metadata":
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if key == "id" or key.endswith("_id") else value
    return with_text_ids(value)


def stamp(moment: datetime | None) -> str | None:
    """A time as the API writes it."""
    return moment.isoformat() if moment else None
