"""OSV records (schema 1.7, ossf.github.io/osv-schema)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import msgspec

from advisories.formats import purl
from advisories.formats.report import (
    Affected,
    BadRecord,
    Bound,
    Event,
    Range,
    Report,
    check_id,
    check_ids,
    check_time,
    decode,
    shown,
)
from advisories.formats.scores import best, from_vector, from_word, severity_word

MOST_AFFECTED = 20_000
"""Packages of one record; the largest public ones name some hundreds."""
LONGEST_NAME = 300
LONGEST_VERSION = 200

_ECOSYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()-]{0,63}")
_VERSIONED = frozenset({"ECOSYSTEM", "SEMVER"})
"""Range types whose bounds are versions. `GIT` has commits, which no package index states."""
_BOUNDS = tuple(Bound)


class _Package(msgspec.Struct, gc=False):
    ecosystem: str
    name: str


class _Range(msgspec.Struct, gc=False):
    type: str
    events: list[dict[str, str]]


class _Severity(msgspec.Struct, gc=False):
    score: str
    type: str = ""


class _Affected(msgspec.Struct, gc=False):
    package: _Package | None = None
    ranges: list[_Range] | None = None
    versions: list[str] | None = None
    severity: list[_Severity] | None = None


class _Reference(msgspec.Struct, gc=False):
    url: str


class OSV(msgspec.Struct, gc=False):
    """The fields that are read. Text that only pages show is decoded too: it must be text."""

    id: str
    modified: dt.datetime
    published: dt.datetime | None = None
    withdrawn: dt.datetime | None = None
    aliases: list[str] | None = None
    upstream: list[str] | None = None
    summary: str | None = None
    details: str | None = None
    severity: list[_Severity] | None = None
    affected: list[_Affected] | None = None
    references: list[_Reference] | None = None
    database_specific: dict[str, Any] | None = None


class _Named(msgspec.Struct, gc=False):
    id: str


class _Head(_Named, gc=False):
    modified: dt.datetime


_DECODER = msgspec.json.Decoder(OSV)
_NAMED = msgspec.json.Decoder(_Named)
_HEAD = msgspec.json.Decoder(_Head)


def parse(raw: bytes) -> Report:
    """A record as a Report; `BadRecord` for everything else."""
    try:
        return _report(decode(raw, OSV, _DECODER))
    except BadRecord as error:
        error.id = error.id or _id(raw)
        raise


def head(raw: bytes) -> tuple[str, dt.datetime] | None:
    """Id and time of change, read without the rest; None where they cannot be read.

    Most records of an archive are known already, and this takes a tenth of `parse`.
    """
    try:
        start = _HEAD.decode(raw)
        return check_id(start.id), check_time(start.modified)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadRecord):
        return None


def _id(raw: bytes) -> str:
    try:
        return shown(_NAMED.decode(raw).id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _report(record: OSV) -> Report:
    check_id(record.id)
    affected = record.affected or []
    if len(affected) > MOST_AFFECTED:
        raise BadRecord(f"it names {len(affected)} packages, at most {MOST_AFFECTED} are read")
    vectors = [
        *(record.severity or ()),
        *(vector for entry in affected for vector in entry.severity or ()),
    ]
    word = severity_word((record.database_specific or {}).get("severity"))
    # A vector says more than a word, so the word counts only where no vector can be read.
    score = best([from_vector(vector.score) for vector in vectors]) or from_word(word)
    return Report(
        id=record.id,
        modified=check_time(record.modified),
        published=check_time(record.published) if record.published else None,
        withdrawn=record.withdrawn is not None,
        aliases=check_ids(record.aliases or (), record.id),
        upstream=check_ids(record.upstream or (), record.id),
        summary=shown(record.summary or record.details or ""),
        score=score,
        affected=_merged(affected),
    )


def _merged(entries: list[_Affected]) -> tuple[Affected, ...]:
    """One entry a package: records repeat a package for each of its branches."""
    packages: dict[tuple[str, str], tuple[list[Range], list[str]]] = {}
    for entry in entries:
        if entry.package is None:
            continue  # Git repositories only.
        ranges = [_range(bounds) for bounds in entry.ranges or () if bounds.type in _VERSIONED]
        # Git ranges only: as an entry without bounds it would be about no version, or of malware
        # about all.
        if entry.ranges and not ranges and not entry.versions:
            continue
        key = _key(entry.package)
        held = packages.setdefault(key, ([], []))
        held[0].extend(ranges)
        held[1].extend(_versions(entry.versions or []))
    return tuple(
        Affected(ecosystem, name, tuple(dict.fromkeys(ranges)), tuple(dict.fromkeys(versions)))
        for (ecosystem, name), (ranges, versions) in packages.items()
    )


def _key(package: _Package) -> tuple[str, str]:
    # "Debian:12" is the release 12 of Debian; which release is no matter of names.
    ecosystem = package.ecosystem.partition(":")[0]
    if not _ECOSYSTEM.fullmatch(ecosystem):
        raise BadRecord(f"{shown(ecosystem)!r} is not an ecosystem")
    name = purl.normalized(ecosystem, package.name)
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise BadRecord(f"{shown(name)!r} is not a package name")
    return ecosystem, name


def _range(entry: _Range) -> Range:
    events = []
    for event in entry.events:
        # The schema has one bound an event; sources that write both ends in one exist.
        bounds = [Event(bound, _version(event[bound])) for bound in _BOUNDS if bound in event]
        if not bounds:
            raise BadRecord("an event of a range has none of introduced, fixed, last_affected")
        events.extend(bounds)
    return tuple(events)


def _versions(texts: list[str]) -> list[str]:
    # Most of a record: lists of hundreds of versions, and nearly never a bad one.
    if texts and not 0 < min(map(len, texts)) <= max(map(len, texts)) <= LONGEST_VERSION:
        return [_version(text) for text in texts]
    return texts


def _version(text: str) -> str:
    if not text or len(text) > LONGEST_VERSION:
        raise BadRecord(f"{shown(text)!r} is not a version")
    return text
