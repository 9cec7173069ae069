"""What keeps a filter from being saved, and the values that several of its fields share."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Problem(NamedTuple):
    """What is wrong with a filter, and where; `place` counts from 0 in a list."""

    field: str
    place: int | None
    message: str


def day(value: object) -> dt.date | None:
    """The day that a filter's value names, None where it is empty; ValueError otherwise."""
    if value is None or value == "":
        return None
    # A datetime is a date, too, and its time of day would be lost.
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        try:
            return dt.date.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f'"{value}" is no day of the calendar') from error
    raise ValueError(f'"{short(value)}" is no date; dates look like 2026-01-31')


def short(value: object) -> str:
    """A value of any type and size, as a sentence can hold it."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
