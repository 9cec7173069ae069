"""The types of packages, by both names that they have."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A mirror's type as the API names it."""

    CONDA = "conda"
    PYTHON = "python_simple"
    CRAN = "CRAN"


class Family(StrEnum):
    """A type's artifact family, in events and the API."""

    CONDA = "conda"
    PYTHON = "python"
    CRAN = "cran"


KIND_OF_FAMILY = dict(zip(Family, Kind, strict=True))
