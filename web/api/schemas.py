"""The base of request bodies, the lists that operations answer with, and how values are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, TypedDict

from ninja import Schema
from pydantic import ConfigDict, model_validator

JsonObject = dict[str, object]
"""An object of JSON; who reads a value of it has to look what it is."""


class RequestBody(Schema):
    """What a request may say. A field that nobody reads is refused, so that no typo passes.

    An empty one is not, nor one that a GET shows: whoever reads, edits and sends back need not
    take those out.
    """

    model_config = ConfigDict(extra="forbid")
    READ_ONLY: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_read_only(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {
            key: value
            for key, value in values.items()
            if key in cls.model_fields or (value and key not in cls.READ_ONLY)
        }


class ItemList(Schema):
    total_count: int
    items: list[JsonObject]


class CountedList(ItemList):
    """A list that is not counted to its end: if `count_exact` is false, there are more."""

    count_exact: bool


class ListAnswer(TypedDict):
    """What an operation returns for an `ItemList`."""

    total_count: int
    items: Sequence[Mapping[str, object]]


class CountedAnswer(ListAnswer):
    """What an operation returns for a `CountedList`."""

    count_exact: bool


def with_text_ids(value: object) -> object:
    """The same with every id as text: the vendor's clients join ids into addresses."""
    if isinstance(value, dict):
        return {key: _with_text_id(key, member) for key, member in value.items()}
    if isinstance(value, list):
        return [with_text_ids(member) for member in value]
    return value


def _with_text_id(key: str, value: object) -> object:
    if key == "metadata":
        # What an upstream wrote; nothing in it is an id of this server.
        return value
    # In Python, a bool is an int.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if key == "id" or key.endswith("_id") else value
    return with_text_ids(value)


def timestamp(moment: datetime | None) -> str | None:
    """A time as the API writes it (ISO 8601 with its offset)."""
    return moment.isoformat() if moment else None
