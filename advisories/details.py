"""What every source of one advisory says in full: text, references, vectors and ranges.

Lists read `Advisory`, which has the sum of its records; a page about one advisory, and the API's
answer about it, read the records themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from advisories.formats import nvd, osv
from advisories.formats.report import BadRecord, Bound, Range, Report, shown
from advisories.formats.scores import Score, from_vector
from advisories.models import Record, Source

MOST_REFERENCES = 100
LONGEST_TEXT = 20_000
LONGEST_URL = 2000
_LINKS = ("http", "https")
"""A reference of any other scheme is not shown: `javascript:` would run in the reader's page."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A CVSS vector that a source states, and its base score."""

    text: str
    score: Score


@dataclass(frozen=True, slots=True)
class AffectedRange:
    """The affected versions of a package in words: `< 5.4`, `>= 1.0, <= 1.2`."""

    ecosystem: str
    name: str
    ranges: tuple[str, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordDetails:
    """One source's record."""

    name: str
    source: Source
    modified: dt.datetime
    withdrawn: bool
    summary: str
    text: str
    references: tuple[str, ...]
    vectors: tuple[Vector, ...]
    severity_word: str
    """The severity in a word, "" where the source names none."""
    affected: tuple[AffectedRange, ...]


def of_records(records: Iterable[Record]) -> list[RecordDetails]:
    """The details of these records; one that can no longer be read is left out."""
    details = []
    for record in records:
        try:
            details.append(_details(record))
        except BadRecord:
            # It was readable when it was written; the next import of its source replaces it.
            continue
    return details


def vectors(details: Sequence[RecordDetails]) -> list[Vector]:
    """The vectors of all records, each once."""
    texts = {vector.text: vector for record in details for vector in record.vectors}
    return list(texts.values())


def references(details: Sequence[RecordDetails]) -> list[str]:
    """The references of all records, each once."""
    return list(dict.fromkeys(url for record in details for url in record.references))


def description(details: Sequence[RecordDetails]) -> str:
    """The longest text that any source has."""
    texts = (record.text or record.summary for record in details)
    return max(texts, key=len, default="")


def in_words(bounds: Range) -> str:
    """A range of versions (OSV schema, `events`) as comparisons; "all versions" for all."""
    parts: list[str] = []
    start: str | None = None
    for event in bounds:
        if event.bound is Bound.INTRODUCED:
            if start is not None:
                parts.append(_from(start))
            start = event.version
        elif not (event.bound is Bound.LIMIT and event.version == "*"):
            sign = "<=" if event.bound is Bound.LAST_AFFECTED else "<"
            lower = f">= {start}, " if start not in (None, "0") else ""
            parts.append(f"{lower}{sign} {event.version}")
            start = None
    if start is not None:
        parts.append(_from(start))
    return " or ".join(parts)


def _from(start: str) -> str:
    return "all versions" if start == "0" else f">= {start}"


def _details(record: Record) -> RecordDetails:
    text = record.text
    report: Report = (nvd if record.source == Source.NVD else osv).parse(text)
    raw = _object(msgspec.json.decode(text))
    # An element of NVD's `vulnerabilities` has all of its fields under `cve`.
    if record.source == Source.NVD:
        raw = _object(raw.get("cve"))
    return RecordDetails(
        name=record.name,
        source=Source(record.source),
        modified=report.modified,
        withdrawn=report.withdrawn,
        summary=report.summary,
        text=_text(raw),
        references=tuple(_references(raw)),
        vectors=tuple(_vectors(raw)),
        severity_word=shown(_string(_object(raw.get("database_specific")).get("severity")), 20),
        affected=tuple(
            AffectedRange(
                affected.ecosystem,
                affected.name,
                tuple(in_words(bounds) for bounds in affected.ranges),
                affected.versions,
            )
            for affected in report.affected
        ),
    )


def _text(raw: dict[str, object]) -> str:
    """OSV's `details`, or NVD's description in English."""
    described = _string(raw.get("details"))
    for entry in map(_object, _list(raw.get("descriptions"))):
        if entry.get("lang") == "en":
            described = described or _string(entry.get("value"))
    return described[:LONGEST_TEXT]


def _references(raw: dict[str, object]) -> Iterator[str]:
    for entry in map(_object, _list(raw.get("references"))[:MOST_REFERENCES]):
        url = _string(entry.get("url"))
        try:
            # It raises for what looks like an IPv6 address and is none.
            scheme = urlsplit(url).scheme
        except ValueError:
            continue
        if scheme in _LINKS and len(url) <= LONGEST_URL and url.isprintable():
            yield url


def _vectors(raw: dict[str, object]) -> Iterator[Vector]:
    for text in dict.fromkeys(_vector_texts(raw)):
        score = from_vector(text)
        if score is not None:
            yield Vector(text, score)


def _vector_texts(raw: dict[str, object]) -> Iterator[str]:
    # The OSV schema has `severity` of the whole record and of each package.
    for holder in (raw, *map(_object, _list(raw.get("affected")))):
        for entry in map(_object, _list(holder.get("severity"))):
            yield _string(entry.get("score"))
    for metrics in _object(raw.get("metrics")).values():
        for metric in map(_object, _list(metrics)):
            yield _string(_object(metric.get("cvssData")).get("vectorString"))


# These three keep a page up where a source writes another type than its schema has.
def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
