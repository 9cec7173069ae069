"""The types there are, by their name in the API or their artifact family."""

from __future__ import annotations

from functools import cache

from ecosystems.base import Ecosystem
from ecosystems.conda.ecosystem import Conda
from ecosystems.cran.ecosystem import Cran
from ecosystems.kinds import Family, Kind
from ecosystems.python.ecosystem import PythonSimple

# Each has no state: what a mirror asks for is given to a copy (`limited_to`, `including`).
_ECOSYSTEMS: tuple[Ecosystem, ...] = (Conda(), PythonSimple(), Cran())
_BY_KIND: dict[str, Ecosystem] = {ecosystem.kind: ecosystem for ecosystem in _ECOSYSTEMS}
_BY_FAMILY: dict[str, Ecosystem] = {ecosystem.family: ecosystem for ecosystem in _ECOSYSTEMS}


def get(kind: Kind | str) -> Ecosystem:
    """The ecosystem of a mirror type; KeyError for one that does not exist."""
    return _BY_KIND[kind]


def of_family(family: Family | str) -> Ecosystem:
    """The ecosystem of an artifact family."""
    return _BY_FAMILY[family]


def of_section(section: str) -> Ecosystem:
    """The ecosystem that a section belongs to; KeyError for none."""
    for ecosystem in _ECOSYSTEMS:
        # conda owns the root too, which is no section of a package.
        if section and ecosystem.owns_section(section):
            return ecosystem
    raise KeyError(section)


def at_root() -> Ecosystem:
    """The one ecosystem whose sections stand at the root of a channel, behind no prefix."""
    return next(ecosystem for ecosystem in _ECOSYSTEMS if not ecosystem.prefix)


@cache
def root_names() -> frozenset[str]:
    """The names at a channel's root that are no subchannel's."""
    root = at_root()
    return root.root_files.union(root.sections([]), prefixed())


def prefixed() -> dict[str, Ecosystem]:
    """The ecosystems whose addresses begin with a word of their own, by that word."""
    return {ecosystem.prefix: ecosystem for ecosystem in _ECOSYSTEMS if ecosystem.prefix}


def kinds() -> list[str]:
    """The API's names of all types."""
    return list(_BY_KIND)
