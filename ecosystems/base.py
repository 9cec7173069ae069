"""What the three ecosystems have in common: records, shards, documents, errors.

Nothing here knows Django, a database or a particular index format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec


class EcosystemError(Exception):
    """Base of every error this package raises on purpose."""


class SpecError(EcosystemError):
    """A package spec that cannot be parsed; `str()` is the parser's words."""


class BadIndex(EcosystemError):
    """An index that is not what its address promises; `str()` is a sentence."""


class Record(msgspec.Struct, gc=False, kw_only=True):
    """One file as the upstream lists it, with the fields that rules look at.

    `raw` is the upstream's record, byte for byte. `timestamp` is the build
    time in milliseconds since 1970 UTC, None where the record has none that
    makes sense. Missing text fields are "", a missing size is -1.
    """

    filename: str = ""
    raw: bytes = b""
    name: str = ""
    version: str = ""
    build: str = ""
    build_number: int = 0
    license: str = ""
    license_family: str = ""
    timestamp: int | None = None
    size: int = -1
    sha256: str = ""
    md5: str = ""

    def value(self, key: str) -> str | int | None:
        """The record's own value of `key` (any text or integer field), or None."""
        raise NotImplementedError


@dataclass(slots=True)
class Invalid:
    """A record that the upstream lists and that must not be published."""

    filename: str
    why: str


@dataclass(slots=True)
class Shard:
    """All records of one package name in one section.

    `body` is the ecosystem's own canonical form of the records, verbatim
    inside; equal bodies mean equal content, whatever order the upstream used.
    """

    section: str
    name: str
    body: bytes


class Spec(Protocol):
    """A parsed package spec."""

    text: str
    name_only: bool  # True: says nothing but the name, so it decides for the whole shard

    def matches_name(self, name: str) -> bool: ...
    def matches(self, record: Record) -> bool: ...


@dataclass(slots=True)
class Document:
    """An index file as served, written to `path` (a temporary file)."""

    name: str
    path: Path
    sha256: str
    size: int
    etag: str
    """Strong ETag, quoted: of the bytes that clients get."""


Stop = Callable[[], None]
"""Called between chunks; raises to end the work."""


def never_stop() -> None:
    """A `Stop` that never stops."""
