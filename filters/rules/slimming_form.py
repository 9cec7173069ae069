"""The fields of a mirror's filter that keep it small, and the one that lets it trust files.

    {"file_formats": ["wheel"], "python_versions": ["3.12"], "platform_tags": ["manylinux*_x86_64"],
     "newest_versions": 3, "largest_size": 500000000, "allow_unhashed": false}

A list or a number that is missing or empty is no rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

WHEEL, SDIST = "wheel", "sdist"
FILE_FORMATS = (WHEEL, SDIST)
UNHASHED = "allow_unhashed"
NUMBERS = {"newest_versions": 10_000, "largest_size": 1 << 50}
"""Whole numbers from 1 on, with the largest that is taken."""
SLIMMING_LISTS = ("file_formats", "python_versions", "platform_tags")
SLIMMING_FIELDS = (*SLIMMING_LISTS, *NUMBERS)
MIRROR_FIELDS = (*SLIMMING_FIELDS, UNHASHED)
"""What can be set for a mirror only: a channel has no say in how much of a source is kept."""
MOST_ENTRIES = 100
_PYTHON = re.compile(r"3\.(?:[0-9]|[1-9][0-9])")
_TAG = re.compile(r"[A-Za-z0-9_*]{1,100}")


class Entry(NamedTuple):
    """What is wrong: the field, the place in its list or None, and a sentence."""

    field: str
    place: int | None
    message: str


def slimming_problems(filters: Mapping[str, object], *, by: str) -> list[Entry]:
    """All that is wrong with these fields."""
    if by != "mirror":
        why = "is chosen for a mirror, not for a channel"
        return [Entry(key, None, f'"{key}" {why}') for key in MIRROR_FIELDS if filters.get(key)]
    entries: list[Entry] = []
    for key in SLIMMING_LISTS:
        entries += _list_problems(key, filters.get(key))
    for key, most in NUMBERS.items():
        value = filters.get(key)
        # A bool is an int in Python.
        fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
        if value is not None and not fits:
            entries.append(Entry(key, None, f'"{key}" is a whole number from 1 to {most:,}'))
    return entries


def normalized_slimming(filters: Mapping[str, Any]) -> dict[str, Any]:
    """These fields in their canonical form; `filters` must have no problems."""
    lists = {
        key: list(dict.fromkeys(text.strip().lower() for text in filters.get(key) or ()))
        for key in SLIMMING_LISTS
    }
    return {**lists, **{key: filters.get(key) for key in NUMBERS}}


def _list_problems(key: str, value: object) -> list[Entry]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        return [Entry(key, None, f'"{key}" is a list of texts')]
    if len(value) > MOST_ENTRIES:
        return [Entry(key, None, f'"{key}" has at most {MOST_ENTRIES} entries')]
    return [
        Entry(key, place, message)
        for place, entry in enumerate(value)
        if (message := _entry_problem(key, entry))
    ]


def _entry_problem(key: str, entry: object) -> str:
    text = entry.strip() if isinstance(entry, str) else ""
    shown = str(entry)[:60]
    if key == "file_formats" and text.lower() not in FILE_FORMATS:
        return f'"{shown}" is no format of files; the formats are {", ".join(FILE_FORMATS)}'
    if key == "python_versions" and not _PYTHON.fullmatch(text):
        return f'"{shown}" is no version of Python; versions look like 3.12'
    if key == "platform_tags" and not _TAG.fullmatch(text):
        return f'"{shown}" is no platform tag; tags look like win_amd64, manylinux*_x86_64'
    return ""
