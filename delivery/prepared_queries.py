"""Queries of the repo path, made once: to make SQL takes longer than to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
_NUMBERS_FROM = 30_001
"""Placeholders for numbers: all fit the smallest integer column, and no query has them itself."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The SQL of a query, where each value goes, and how Django reads a row of the answer."""

    sql: str
    places: list[tuple[int | None, Any]]
    names: list[str]
    converters: list[tuple[int, list[Any], Any]]


class Prepared(Generic[M]):
    """The rows of a query set that `build` makes of some values; one type for each of them."""

    def __init__(self, build: Callable[..., QuerySet[M]], *types: type[int] | type[str]) -> None:
        self._build, self._types = build, types
        self._written: tuple[type[M], _Written] | None = None

    def __call__(self, *values: int | str) -> list[M]:
        """The rows for these values, in the order that `build` asked for."""
        model, written = self._written or self._write()
        parameters = [values[at] if at is not None else fixed for at, fixed in written.places]
        with connection.cursor() as cursor:
            cursor.execute(written.sql, parameters)
            rows = cursor.fetchall()
        return [
            model.from_db(DEFAULT_DB_ALIAS, written.names, _converted(row, written.converters))
            for row in rows
        ]

    def _write(self) -> tuple[type[M], _Written]:
        # The query set is compiled with a mark for each value; its place among the parameters says
        # where the value goes. All else among them is fixed.
        marks = [
            _NUMBERS_FROM + at if kind is int else f"value-{at}"
            for at, kind in enumerate(self._types)
        ]
        rows = self._build(*marks)
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        # A value without a place would be ignored in silence: the answer to another question.
        missing = [mark for mark in marks if mark not in parameters]
        if missing:
            raise ValueError(f"The query does not depend on {missing}.")
        places = [(marks.index(value) if value in marks else None, value) for value in parameters]
        columns = [column for column, _, _ in compiler.select]
        names = [column.target.attname for column in columns]
        converters = [(at, *how) for at, how in compiler.get_converters(columns).items()]
        self._written = prepared = rows.model, _Written(sql, places, names, converters)
        return prepared


def _converted(row: tuple[Any, ...], converters: list[tuple[int, list[Any], Any]]) -> list[Any]:
    values = list(row)
    for at, functions, column in converters:
        for convert in functions:
            values[at] = convert(values[at], column, connection)
    return values
