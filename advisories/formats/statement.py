"""What a VEX document says: which vulnerability concerns which package, and how."""

from __future__ import annotations

import enum

import msgspec

from advisories.formats.purl import CONDA, CRAN, PYPI, Purl

MOST_STATEMENTS = 100_000
LONGEST_REASON = 2000

FAMILIES = {CONDA: "conda", PYPI: "python", CRAN: "cran"}
"""The artifact families that files can be curated in, by the ecosystem of their purl."""


class Status(enum.StrEnum):
    """What people found out about an advisory and a package. `reported`: nobody has looked."""

    REPORTED = "reported"
    ACTIVE = "active"
    MITIGATED = "mitigated"
    CLEARED = "cleared"
    DISPUTED = "disputed"


class Statement(msgspec.Struct, frozen=True, gc=False):
    """A status of one advisory for the files of one package.

    `spec` is a version spec in the words of the family ("" = every version), `filename` one
    file; at most one of them is given.
    """

    advisory: str
    family: str
    package: str
    status: Status
    spec: str = ""
    filename: str = ""
    reason: str = ""


def scope(purl: Purl) -> tuple[str, str]:
    """`spec` and `filename` of what a purl names."""
    if not purl.version:
        return "", ""
    if purl.ecosystem == CONDA and purl.build and purl.extension:
        return "", f"{purl.name}-{purl.version}-{purl.build}.{purl.extension}"
    return f"=={purl.version}", ""
