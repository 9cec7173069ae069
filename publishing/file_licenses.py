"""Licenses of files whose index states none, read from the files that are here.

Rule: a license rule acts as soon as the license can be known; until then the file counts as
one whose license is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from channels import blobs
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.records import Invalid, Record
from filters.rules import Rules


def path(sha256: str) -> Path | None:
    """Where a file lies that is here; asks no database, so that threads may."""
    stored = blobs.path(sha256) if sha256 else None
    return stored if stored is not None and stored.exists() else None


def needed(rules: Sequence[Rules]) -> bool:
    """Whether any of these rules looks at licenses."""
    return any(filter_.exclude_licenses or filter_.include_licenses for filter_ in rules)


def fill(ecosystem: Ecosystem, records: Sequence[Record | Invalid]) -> None:
    """Give records of an unknown license the one that a held file of their version states."""
    # By version, because wheels and builds of a version are of the same source and license.
    releases: dict[str, list[Record]] = {}
    for record in records:
        if isinstance(record, Record) and not record.license_known:
            releases.setdefault(record.version, []).append(record)
    for group in releases.values():
        # A generator: the first license ends the search, and opening files is slow.
        licenses = (_license(ecosystem.kind, file.sha256, file.filename) for file in group)
        stated = next((license for license in licenses if license is not None), None)
        if stated is not None:
            for record in group:
                record.license, record.license_family = stated
                record.license_known = True


def _license(kind: str, sha256: str, filename: str) -> tuple[str, str] | None:
    return _read(kind, sha256, filename) if path(sha256) is not None else None


@lru_cache(maxsize=65536)
def _read(kind: str, sha256: str, filename: str) -> tuple[str, str] | None:
    """Cached, because equal hashes are equal files."""
    return registry.get(kind).read_license(blobs.path(sha256), filename)
