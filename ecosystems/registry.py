"""The types there are, by their name in the API or their artifact family."""

from __future__ import annotations

from ecosystems.base import Ecosystem
from ecosystems.conda.ecosystem import Conda
from ecosystems.cran.ecosystem import Cran
from ecosystems.python.ecosystem import PythonSimple

_CONDA: Ecosystem = Conda()
_CRAN: Ecosystem = Cran()
_PYTHON: Ecosystem = PythonSimple()
_BY_KIND = {one.kind: one for one in (_CONDA, _PYTHON, _CRAN)}
_BY_FAMILY = {one.family: one for one in _BY_KIND.values()}


def get(kind: str) -> Ecosystem:
    """The ecosystem of a mirror type; KeyError for one that does not exist."""
    return _BY_KIND[kind]


def of_family(family: str) -> Ecosystem:
    """The ecosystem of an artifact family."""
    return _BY_FAMILY[family]


def of_section(section: str) -> Ecosystem:
    """The ecosystem that a section belongs to; KeyError for none."""
    for one in _BY_KIND.values():
        if section and one.owns(section):
            return one
    raise KeyError(section)


def prefixed() -> dict[str, Ecosystem]:
    """The ecosystems whose addresses begin with a word of their own, by that word."""
    return {one.prefix: one for one in _BY_KIND.values() if one.prefix}


def kinds() -> list[str]:
    """The API's names of all types."""
    return list(_BY_KIND)
