"""Whether a version is affected, by the order of the ecosystem that the file is of.

A conda file is judged in conda's order, also by ranges of PyPI: of the 140,846 versions that
PyPI's advisories list, conda's order and PEP 440 never disagree where both can read them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

from advisories.formats.purl import BIOCONDUCTOR, CRAN, PYPI
from advisories.formats.report import Bound, Range
from ecosystems.conda.version import key as conda_key
from ecosystems.cran.versions import is_version
from ecosystems.cran.versions import parse as r_version
from ecosystems.errors import SpecError
from ecosystems.python.names import canonical_version
from ecosystems.python.names import version as python_version

VersionKey = Any
"""Compared with keys of the same order only; those of the three orders share no type."""
Order = Callable[[str], VersionKey | None]
"""A version as what can be compared with others of the same order; None where it is none."""


class Scheme(enum.StrEnum):
    """How versions are compared."""

    CONDA = "conda"
    PYTHON = "python"
    R = "r"


def scheme_of(ecosystem: str) -> Scheme:
    """The scheme of an ecosystem's own versions.

    conda's order is the most lenient of the three and agrees with semantic versioning on
    numbers and pre-releases, so it serves for all others.
    """
    if ecosystem == PYPI:
        return Scheme.PYTHON
    return Scheme.R if ecosystem in (CRAN, BIOCONDUCTOR) else Scheme.CONDA


def _conda(text: str) -> object | None:
    try:
        return conda_key(text)
    except SpecError:
        return None


def _python(text: str) -> object | None:
    canonical = canonical_version(text)
    return None if canonical is None else python_version(canonical)


def _r(text: str) -> object | None:
    # A bound may be a single number, which is no version of a package.
    return r_version(text) if is_version(text) or is_version(f"{text}.0") else None


ORDERS: dict[Scheme, Order] = {Scheme.CONDA: _conda, Scheme.PYTHON: _python, Scheme.R: _r}


class Versions:
    """The affected versions of one package by one record, ready to be asked many times."""

    __slots__ = ("_everything", "_keys", "_limits", "_order", "_ranges", "_texts")

    def __init__(
        self,
        ranges: Iterable[Range],
        versions: Iterable[str],
        scheme: Scheme,
        *,
        malware: bool = False,
    ) -> None:
        """`malware`: a report that names no versions is about all of them."""
        self._order = ORDERS[scheme]
        self._texts = frozenset(versions)
        # By key as well as by text: "1.0" lists the file of 1.0.0 in the order of PEP 440.
        self._keys = {key for text in self._texts if (key := self._order(text)) is not None}
        self._ranges = [self._sorted(events) for events in ranges]
        self._everything = malware and not self._texts and not self._ranges

    def contains(self, version: str) -> bool:
        """Whether `version` is listed, or inside of a range (OSV schema, "Evaluation")."""
        if self._everything or version in self._texts:
            return True
        key = self._order(version)
        if key is None:
            # It cannot be placed; only a range without any end is certain to hold it.
            return any(_is_everything(events, limits) for events, limits in self._ranges)
        return key in self._keys or any(
            _inside(key, events, limits) for events, limits in self._ranges
        )

    def _sorted(self, events: Range) -> tuple[list[tuple[VersionKey, Bound]], list[VersionKey]]:
        """Events in their order (None = before every version), and the limits.

        A bound that cannot be read is left out: an end that is missing leaves the range open,
        so that what may be affected is reported.
        """
        placed: list[tuple[VersionKey, Bound]] = []
        limits: list[VersionKey] = []
        for event in events:
            if event.bound is Bound.INTRODUCED and event.version == "0":
                placed.append((None, event.bound))
                continue
            key = self._order(event.version)
            if key is None:
                continue
            if event.bound is Bound.LIMIT:
                limits.append(key)
            else:
                placed.append((key, event.bound))
        # "*" is a limit that no version reaches, and one limit is enough.
        if any(event.bound is Bound.LIMIT and event.version == "*" for event in events):
            limits = []
        first = [entry for entry in placed if entry[0] is None]
        # Sources list events in any order; the sort is stable, so equal bounds stay as they were
        # listed.
        later = sorted((entry for entry in placed if entry[0] is not None), key=lambda e: e[0])
        return first + later, limits


def _inside(
    key: VersionKey, events: list[tuple[VersionKey, Bound]], limits: list[VersionKey]
) -> bool:
    if limits and not any(key < limit for limit in limits):
        return False
    vulnerable = False
    # The OSV schema's algorithm: events in order, and the last one that applies decides.
    for at, bound in events:
        if bound is Bound.INTRODUCED:
            vulnerable = vulnerable or at is None or key >= at
        elif bound is Bound.FIXED:
            vulnerable = vulnerable and key < at
        else:
            vulnerable = vulnerable and key <= at
    return vulnerable


def _is_everything(events: list[tuple[VersionKey, Bound]], limits: list[VersionKey]) -> bool:
    return not limits and bool(events) and all(at is None for at, _ in events)
