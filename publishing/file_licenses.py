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
    found = blobs.path(sha256) if sha256 else None
    return found if found is not None and found.exists() else None


def needed(rules: Sequence[Rules]) -> bool:
    """Whether any of these rules looks at licenses."""
    return any(one.exclude_licenses or one.include_licenses for one in rules)


def fill(ecosystem: Ecosystem, records: Sequence[Record | Invalid]) -> None:
    """Give records of an unknown license the one that a held file of their version states."""
    releases: dict[str, list[Record]] = {}
    for record in records:
        if isinstance(record, Record) and not record.license_known:
            releases.setdefault(record.version, []).append(record)
    for group in releases.values():
        for one in group:
            found = _license(ecosystem.kind, one.sha256, one.filename)
            if found is not None:
                for record in group:
                    record.license, record.license_family = found
                    record.license_known = True
                break


def _license(kind: str, sha256: str, filename: str) -> tuple[str, str] | None:
    return _read(kind, sha256, filename) if path(sha256) is not None else None


@lru_cache(maxsize=65536)
def _read(kind: str, sha256: str, filename: str) -> tuple[str, str] | None:
    """Kept, because equal hashes are equal files."""
    return registry.get(kind).read_license(blobs.path(sha256), filename)
