"""The types there are, by their name in the API or their artifact family."""

from __future__ import annotations

from ecosystems.base import Ecosystem
from ecosystems.conda.ecosystem import Conda

_CONDA: Ecosystem = Conda()
_BY_KIND = {one.kind: one for one in (_CONDA,)}
_BY_FAMILY = {one.family: one for one in _BY_KIND.values()}


def get(kind: str) -> Ecosystem:
    """The ecosystem of a mirror type; KeyError for one that does not exist."""
    return _BY_KIND[kind]


def of_family(family: str) -> Ecosystem:
    """The ecosystem of an artifact family."""
    return _BY_FAMILY[family]


def kinds() -> list[str]:
    """The API's names of all types."""
    return list(_BY_KIND)
