"""Pages of long lists, and the values that stand in the query of an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from web.api.pagination import COUNT_LIMIT

Row = TypeVar("Row")
ModelRow = TypeVar("ModelRow", bound=Model)

PAGE_SIZE = 50
MAX_TEXT = 300
MAX_PAGE = COUNT_LIMIT // PAGE_SIZE


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows of a list and where they stand in it."""

    rows: Sequence[Row]
    number: int
    total: int
    size: int = PAGE_SIZE

    @property
    def capped(self) -> bool:
        """Whether there are more than were counted."""
        return self.total > COUNT_LIMIT

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.last < self.total else None

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def paginate(
    request: HttpRequest, rows: QuerySet[ModelRow], *, size: int = PAGE_SIZE
) -> Page[ModelRow]:
    """The rows of the page that the address asks for; the first where it has no such page."""
    # Counting stops one row behind the limit, so a page costs the same however long the list is.
    total = rows.order_by()[: COUNT_LIMIT + 1].count()
    number = page_number(request)
    if (number - 1) * size >= total:
        number = 1
    return Page(list(rows[(number - 1) * size : number * size]), number, total, size)


def page_number(request: HttpRequest) -> int:
    """The page that the address asks for."""
    return number_parameter(request, "page", maximum=MAX_PAGE)


def text_parameter(request: HttpRequest, key: str) -> str:
    """A text in the query, without NUL, which no database can look for."""
    return request.GET.get(key, "").replace("\x00", "").strip()[:MAX_TEXT]


def number_parameter(request: HttpRequest, key: str, *, maximum: int, default: int = 1) -> int:
    """A number from 1 to `maximum` in the query; `default` for whatever else stands there."""
    text = request.GET.get(key, "")
    # Nine digits: int() takes time that grows with the square of a number's length.
    if text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= maximum:
        return int(text[:9])
    return default
