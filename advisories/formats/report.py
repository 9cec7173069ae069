"""What one source says of one vulnerability or one piece of malware, whatever its format."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from advisories.formats.scores import Score

_T = TypeVar("_T")

LONGEST_ID = 100
LONGEST_SUMMARY = 300
LARGEST_RECORD = 16 << 20
"""Bytes of one record; the largest public ones are about 3 MB."""
MOST_ALIASES = 100
"""More would join what has nothing in common: no public record has a tenth of them."""
MALWARE = "MAL-"
"""How the ids of reports of malicious packages begin (OSSF malicious-packages)."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]*")
# Control characters, separators of lines, and those that turn the direction of text: with the
# latter a summary could show another id or another package than it names.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_EARLIEST = dt.datetime(1980, 1, 1, tzinfo=dt.UTC)
_LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


class BadRecord(Exception):
    """A record that cannot be used; `str()` says why, `id` names it where it could be read."""

    def __init__(self, why: str, id: str = "") -> None:
        super().__init__(why)
        self.id = id


class Bound(enum.StrEnum):
    """The events of a version range (OSV schema, `affected[].ranges[].events`)."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One end of a range. `introduced` "0" is before every version, `limit` "*" after them."""

    bound: Bound
    version: str


Range = tuple[Event, ...]


class Affected(msgspec.Struct, frozen=True, gc=False):
    """The affected versions of one package.

    `ecosystem` is the OSV name without what follows a colon (`PyPI`, `CRAN`), `name` the
    spelling under which the ecosystem compares names.
    """

    ecosystem: str
    name: str
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One source's record, checked. Times are UTC."""

    id: str
    modified: dt.datetime
    published: dt.datetime | None = None
    withdrawn: bool = False
    aliases: tuple[str, ...] = ()
    """Other ids of the same vulnerability."""
    upstream: tuple[str, ...] = ()
    """Vulnerabilities of other software that this one comes from."""
    summary: str = ""
    score: Score | None = None
    affected: tuple[Affected, ...] = ()

    @property
    def malware(self) -> bool:
        """Whether it reports a malicious package, under its own id or under an alias."""
        return any(name.startswith(MALWARE) for name in (self.id, *self.aliases))

    @property
    def same(self) -> tuple[str, ...]:
        """All ids under which this is the same vulnerability.

        A record without aliases and with a single `upstream` is that vulnerability in a
        repackaged form (RSEC records name their CVE so). With several it is none of them.
        """
        if not self.aliases and len(self.upstream) == 1:
            return (self.id, *self.upstream)
        return (self.id, *self.aliases)


def decode(raw: bytes, kind: type[_T], decoder: msgspec.json.Decoder[_T]) -> _T:
    """`raw` as a value of `kind`, or `BadRecord`."""
    if len(raw) > LARGEST_RECORD:
        raise BadRecord(f"it has {len(raw)} bytes, at most {LARGEST_RECORD} are read")
    try:
        # The decoder passes over fields that nobody asked for, and over bytes in them.
        if not raw.isascii():
            raw.decode()
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise BadRecord("it is not valid UTF-8") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRecord(f"it is not {kind.__name__} JSON: {error}") from error


def check_id(text: str) -> str:
    """`text` if it can be the id of an advisory, else `BadRecord`."""
    if len(text) > LONGEST_ID or not _ID.fullmatch(text):
        raise BadRecord(f"{shown(text)!r} is not an id")
    return text


def check_ids(texts: Sequence[str], own: str) -> tuple[str, ...]:
    """Ids without `own` and without repetition, in order."""
    if len(texts) > MOST_ALIASES:
        raise BadRecord(f"it has {len(texts)} aliases, at most {MOST_ALIASES} are read", own)
    return tuple(dict.fromkeys(check_id(text) for text in texts if text != own))


def check_time(time: dt.datetime) -> dt.datetime:
    """`time` in UTC (a time without a zone is UTC), or `BadRecord`."""
    aware = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
    if not _EARLIEST <= aware <= _LATEST:
        raise BadRecord(f"{time.isoformat()} is not a time that an advisory can have")
    return aware.astimezone(dt.UTC)


def shown(text: str, longest: int = LONGEST_SUMMARY) -> str:
    """`text` on one line, without what changes how the line is read, and not too long."""
    # First, so that a text of megabytes is not searched; four times, since blanks may fall
    # together.
    cut = text[: longest * 4]
    line = " ".join(_UNPRINTABLE.sub(" ", cut).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
