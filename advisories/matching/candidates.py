"""Under which names of other ecosystems a conda package can have advisories, and why.

Rule: what a person decided comes first, then what the record itself says (its purls), then the
name mapping. No name is guessed: the C library `yaml` is not the Python project `yaml`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from advisories.formats import purl
from advisories.formats.mapping import Names
from advisories.formats.purl import BIOCONDUCTOR, CONDA, CRAN, PYPI

_PREFIXES = (("r-", CRAN), ("bioconductor-", BIOCONDUCTOR))
"""How conda-forge and bioconda call the packages of R's repositories."""

_OWN = {"conda": (CONDA,), "python": (PYPI,), "cran": (CRAN, BIOCONDUCTOR)}
"""The ecosystems of the files of an artifact family. Bioconductor takes no name of CRAN."""


class MatchedBy(enum.StrEnum):
    """Why an advisory of a package is taken for one of a file."""

    NAME = "name"
    """The advisory is for the file's own ecosystem."""
    PURL = "purl"
    MAPPING = "mapping"
    HAND = "hand"


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A package whose advisories concern a file.

    `version` is that of the package where it is not the file's own ("" = the file's own).
    """

    ecosystem: str
    name: str
    matched_by: MatchedBy
    version: str = ""


class NameMap(msgspec.Struct, frozen=True, gc=False):
    """What is known of one conda name. A missing entry is not the same as `None` names."""

    names: Names
    by_hand: bool = False


def candidates(
    family: str, name: str, purls: Sequence[str] | None = None, entry: NameMap | None = None
) -> tuple[Candidate, ...]:
    """The packages whose advisories concern a file of `family` (`conda`, `python`, `cran`).

    `purls` are the record's own, None where it states none; an empty list says that the file
    is no package of another ecosystem. `entry` is what the mapping has for the name.
    """
    own = [Candidate(kind, purl.normalized(kind, name), MatchedBy.NAME) for kind in _OWN[family]]
    first = own[0]
    if family != "conda":
        return tuple(own)
    if entry is not None and entry.by_hand:
        return (first, *_projects(entry, MatchedBy.HAND))
    # Also where the list is empty: the record says itself that it repackages nothing.
    if purls is not None:
        return (first, *_of_purls(purls))
    # Before the mapping, which has Python projects only.
    for prefix, ecosystem in _PREFIXES:
        if first.name.startswith(prefix):
            bare = first.name.removeprefix(prefix)
            return (first, Candidate(ecosystem, bare, MatchedBy.MAPPING))
    return (first, *(_projects(entry, MatchedBy.MAPPING) if entry else ()))


def _projects(entry: NameMap, matched_by: MatchedBy) -> tuple[Candidate, ...]:
    return tuple(Candidate(PYPI, name, matched_by) for name in entry.names or ())


def _of_purls(purls: Sequence[str]) -> tuple[Candidate, ...]:
    parsed = [package for text in purls if (package := purl.parse(text)) is not None]
    return tuple(
        dict.fromkeys(
            Candidate(package.ecosystem, package.name, MatchedBy.PURL, package.version)
            for package in parsed
            if package.ecosystem != CONDA
        )
    )
