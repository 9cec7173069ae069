"""Where the files of a package row come from: the one place that writes and reads the column.

In the database it is `[[file source id, mirror id, [file names] or null], ...]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import models


class ListedFrom(msgspec.Struct, array_like=True, frozen=True):
    """A mirror brought these files from this file source."""

    file_source_id: int
    mirror_id: int
    filenames: list[str] | None
    """None for all files that no other entry names."""


def entry_of(sources: Iterable[ListedFrom], filename: str) -> ListedFrom | None:
    """The entry that a file of the row belongs to: the one that names it, or the unnamed rest."""
    unnamed = None
    for entry in sources:
        if entry.filenames is None:
            unnamed = unnamed or entry
        elif filename in entry.filenames:
            return entry
    return unnamed


class ListedFromField(models.JSONField):
    """A column whose value is a list of `ListedFrom`."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        """Decode a column; also in `values_list`."""
        return msgspec.convert(
            super().from_db_value(value, expression, connection), list[ListedFrom]
        )

    def get_prep_value(self, value: Any) -> Any:
        """Plain lists of the entries; expressions of queries pass as they are."""
        return super().get_prep_value(
            msgspec.to_builtins(value) if isinstance(value, list) else value
        )
