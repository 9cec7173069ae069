"""Records, specs and shards as all types have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec


# gc=False: an index has millions, none of which can be part of a reference cycle.
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
    license_known: bool = True
    """False: the index does not say it; the file itself may."""
    timestamp: int | None = None
    indexed_at: int | None = None
    """When the server that lists the file says that it took it in, as `timestamp`; None where it
    does not say."""
    size: int = -1
    sha256: str = ""
    md5: str = ""
    checksum: str = ""
    """Where neither of these is stated: another hash, as `algorithm=digits`."""
    unhashed: bool = False
    """The index states no hash at all where its type always does: the file is not verifiable."""
    address: str = ""
    """Where the file lies, absolute or relative to the index; "" = under its own name there."""
    archived: bool = False
    """The index does not show it as a current version, but in its archive."""
    purls: tuple[str, ...] | None = None
    """Package URLs of what the file holds; None where the index does not say it."""
    companions: tuple[Record, ...] = ()
    """Small files that belong to this one (a wheel's metadata, PEP 658); it is whole only with
    them."""

    def value(self, key: str) -> str | int | None:
        """The record's own value of `key` (any text or integer field), or None."""
        raise NotImplementedError


def same_bytes(first: Record | None, second: Record | None) -> bool:
    """Whether two records of one file name stand for the same bytes, as far as they tell."""
    if first is None or second is None:
        return False
    # The stronger hash decides alone: equal MD5 prove nothing where the SHA-256 differ.
    for one, other in ((first.sha256, second.sha256), (first.md5, second.md5)):
        if one and other:
            return one == other
    algorithm, _, digits = first.checksum.partition("=")
    if digits and second.checksum.startswith(f"{algorithm}="):
        return first.checksum == second.checksum
    # No hash that both have: the sizes may tell them apart.
    return first.size == second.size or first.size < 0 or second.size < 0


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
    count: int = 0
    """Of the records in it, where the reader knows it."""


class Spec(Protocol):
    """A parsed package spec."""

    text: str
    name_only: bool
    """Whether it says nothing but the name, so that it decides for the whole shard."""

    def matches_name(self, name: str) -> bool: ...
    def matches(self, record: Record) -> bool: ...
