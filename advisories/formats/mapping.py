"""Which Python projects a conda package holds, in parselmouth's form.

`{"pytorch": ["torch"], "zlib": null}`: null says that the package is no Python package, which
keeps a C library apart from the Python project that happens to have its name.
(prefix-dev/parselmouth, `files/v0/<channel>/compressed_mapping.json`)
"""

from __future__ import annotations

import re

import msgspec

from advisories.formats.purl import normalized
from advisories.formats.report import BadRecord, shown
from ecosystems.python.names import is_name, normalize

MOST_PROJECTS = 1000
"""Of one package: a distribution of many projects; the largest public one has some dozens."""

_CONDA_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,127})")
_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(str | list[str] | None)

Names = tuple[str, ...] | None
"""Python projects in normalised spelling; None: not a Python package."""


def parse(raw: bytes) -> tuple[dict[str, Names], list[BadRecord]]:
    """The mapping and its broken entries; `BadRecord` where the whole is none."""
    try:
        entries = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(f"it is not a JSON object: {error}") from error
    mapping: dict[str, Names] = {}
    broken: list[BadRecord] = []
    for name, value in entries.items():
        try:
            mapping[conda_name(name)] = _names(value)
        except BadRecord as error:
            error.id = shown(name)
            broken.append(error)
    return mapping, broken


def conda_name(name: str) -> str:
    """The name of a conda package as it is compared; `BadRecord` where it is none (CEP 26)."""
    lower = normalized("conda", name)
    if not _CONDA_NAME.fullmatch(lower):
        raise BadRecord(f"{shown(name)!r} is not the name of a conda package")
    return lower


def projects(names: list[str]) -> tuple[str, ...]:
    """Python projects in the one spelling, without repetition; `BadRecord` for other names."""
    if len(names) > MOST_PROJECTS:
        raise BadRecord(f"it names {len(names)} projects, at most {MOST_PROJECTS} are read")
    for name in names:
        if not is_name(name):
            raise BadRecord(f"{shown(name)!r} is not the name of a Python project")
    return tuple(dict.fromkeys(map(normalize, names)))


def _names(value: msgspec.Raw) -> Names:
    try:
        entry = _ENTRY.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("neither a list of names nor null") from error
    if entry is None:
        return None
    # An empty list says what null says.
    return projects([entry] if isinstance(entry, str) else entry) or None
