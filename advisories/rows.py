"""Many rows at once, without a model instance for each: a third of the time of `bulk_create`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, models

MOST_PARAMETERS = 10_000
"""Of one statement; SQLite takes 32,766, PostgreSQL 65,535."""

TimeAdapter = Callable[[dt.datetime | None], dt.datetime | str | None]
"""A time in UTC as the driver of the database takes it."""


def insert(
    model: type[models.Model],
    fields: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    unique: Sequence[str] = (),
) -> None:
    """Insert rows of column values, in the order of `fields` (names of columns).

    A row that stands already, by the columns of the constraint `unique`, gets the others' values.
    """
    size = MOST_PARAMETERS // len(fields)
    quote = connection.ops.quote_name
    holders = f"({', '.join(['%s'] * len(fields))})"
    table, columns = quote(model._meta.db_table), ", ".join(map(quote, fields))
    # Both databases write it so.
    rest = [quote(name) for name in fields if name not in unique]
    settings = ", ".join(f"{name} = EXCLUDED.{name}" for name in rest)
    key = ", ".join(map(quote, unique))
    conflict = f" ON CONFLICT ({key}) DO UPDATE SET {settings}" if unique else ""
    with connection.cursor() as cursor:
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            # Names of tables and columns are the models' own; every value is a parameter.
            values = ", ".join([holders] * len(part))
            statement = f"INSERT INTO {table} ({columns}) VALUES {values}{conflict}"
            cursor.execute(statement, [value for row in part for value in row])


def update(model: type[models.Model], fields: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Set `fields` of the rows whose id is the last value of each row."""
    settings = ", ".join(f"{connection.ops.quote_name(name)} = %s" for name in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} SET {settings} WHERE id = %s", rows)


def select(query: str, values: Sequence[Any], *arguments: Any) -> list[tuple[Any, ...]]:
    """Rows of a query whose `{in}` stands for a list of values; `arguments` come before it."""
    selected: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(values), MOST_PARAMETERS):
            part = values[start : start + MOST_PARAMETERS]
            holders = ", ".join(["%s"] * len(part))
            cursor.execute(query.replace("{in}", holders), [*arguments, *part])
            selected += cursor.fetchall()
    return selected


def time_adapter() -> TimeAdapter:
    """What makes a time in UTC one that the database's driver takes.

    As Django's own adapter writes it, in a tenth of its time: a million are written at once.
    """
    if connection.features.supports_timezones:
        return lambda time: time
    return lambda time: None if time is None else time.replace(tzinfo=None).isoformat(" ")


def aware(time: dt.datetime) -> dt.datetime:
    """A time that a driver read: SQLite's leaves out that it is in UTC."""
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
