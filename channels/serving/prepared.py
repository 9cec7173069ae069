"""Queries of the repo path, made once: to make SQL takes longer than to run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
_NUMBERS_FROM = 30_001
"""Placeholders for numbers: all fit the smallest integer column, and no query has them itself."""


class Prepared(Generic[M]):
    """The rows of a query set that `build` makes of some values; one type for each of them."""

    def __init__(self, build: Callable[..., QuerySet[M]], *types: type[int] | type[str]) -> None:
        self._build, self._types = build, types
        self._written: tuple[QuerySet[M], str, list[Any]] | None = None

    def __call__(self, *values: int | str) -> list[M]:
        """The rows for these values, in the order that `build` asked for."""
        rows, sql, places = self._written or self._write()
        parameters = [values[at] if at is not None else fixed for at, fixed in places]
        return list(rows.raw(sql, parameters))

    def _write(self) -> tuple[QuerySet[M], str, list[Any]]:
        marks = [
            _NUMBERS_FROM + at if kind is int else f"value-{at}"
            for at, kind in enumerate(self._types)
        ]
        rows = self._build(*marks)
        sql, parameters = rows.query.sql_with_params()
        missing = [mark for mark in marks if mark not in parameters]
        if missing:
            raise ValueError(f"The query does not depend on {missing}.")
        places = [(marks.index(one) if one in marks else None, one) for one in parameters]
        self._written = rows.model._default_manager.all(), sql, places
        return self._written
