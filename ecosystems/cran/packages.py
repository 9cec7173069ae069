"""Stanzas of R's PACKAGES: cut apart, read as R reads them, and put together again.

A shard's body is paragraphs with an empty line between them. The first line of
each is ours and tells what no stanza does:

    @<file name> TAB <time, ms> TAB <size> TAB <place below the section>

and the rest is the upstream's stanza, byte for byte, less the fields that would
lead clients past this server. A version that only the archive has gets a
stanza of its own, of name, version and the license that the package has now.

Rule: what R would read otherwise than we judged it (a field twice, a carriage
return inside a line, a line that belongs to no field) is not published.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from ecosystems.cran.layout import (
    ARCHIVE,
    LONGEST_FILE,
    extension_of,
    is_name,
    is_place,
    plain,
)
from ecosystems.cran.versions import is_version
from ecosystems.errors import BadIndex
from ecosystems.records import Invalid, Record

BETWEEN = b"\n\n"
LOCATION_FIELDS = ("Path", "File", "DownloadURL")
LARGEST_FILE = 1 << 50

_BLANK = re.compile(rb"\n(?:[ \t\r]*\n)+")
_BLANK_FIRST = re.compile(rb"(?:[ \t\r]*\n)*")
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}:[0-9]{2}(?= UTC| *$))?")
_MD5 = re.compile(r"[0-9a-f]{32}")


class Head(NamedTuple):
    """What the first line of a paragraph says; -1 and None where it is not known."""

    filename: str
    time: int | None
    size: int
    place: str

    @property
    def archived(self) -> bool:
        """Whether the upstream has the file in its archive only."""
        return self.place.startswith(ARCHIVE)


class CranRecord(Record):
    """One version of a package of R."""

    def value(self, key: str) -> str | int | None:
        return fields(stanza(self.raw)).get(key)


class BadStanza(Exception):
    """A stanza that R would not read as we do; `str()` is a sentence."""


def paragraphs(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The stanzas of a file, as they are, without the empty lines around them."""
    unread = b""
    first = True
    for block in blocks:
        unread += block
        if first:
            # A byte order mark would become a part of the first field's name.
            unread, first = unread.removeprefix(b"\xef\xbb\xbf"), False
        *whole, unread = _BLANK.split(unread)
        yield from (part for part in map(_trimmed, whole) if part)
    if last := _trimmed(unread):
        yield last


def _trimmed(text: bytes) -> bytes:
    # A block may have ended in the middle of empty lines.
    return _BLANK_FIRST.sub(b"", text, count=1).rstrip()


def fields(text: bytes) -> dict[str, str]:
    """A stanza's fields with their values, as R's `read.dcf` gives them."""
    try:
        plain = text.decode()
    except UnicodeDecodeError as error:
        raise BadStanza("The entry is not in UTF-8.") from error
    if _CONTROL.search(plain):
        raise BadStanza("The entry has control characters in it.")
    values: dict[str, str] = {}
    name = ""
    for line in plain.split("\n"):
        # Debian's control format: a line that begins with white space goes on with the field.
        if line[:1] in (" ", "\t"):
            if not name:
                raise BadStanza("The entry begins in the middle of a field.")
            more = line.strip()
            before = values[name]
            # A dot by itself stands for an empty line.
            values[name] = f"{before}\n{'' if more == '.' else more}".lstrip("\n")
            continue
        match = _FIELD.fullmatch(line.rstrip("\r"))
        if match is None:
            raise BadStanza("The entry has a line that belongs to no field.")
        name = match[1]
        if name in values:
            raise BadStanza(f"The entry has the field {name} twice.")
        values[name] = match[2].strip()
    return values


def without_fields(text: bytes, names: tuple[str, ...]) -> bytes:
    """The stanza less these fields; every other line stays as it is."""
    cut = tuple(f"{name}:".encode() for name in names)
    lines: list[bytes] = []
    cutting = False
    for line in text.split(b"\n"):
        # Lines that go on with a field go with it.
        if line[:1] not in (b" ", b"\t"):
            cutting = line.startswith(cut)
        if not cutting:
            lines.append(line)
    return b"\n".join(lines)


def paragraph(head: Head, text: bytes) -> bytes:
    """Our line and the stanza."""
    time = "" if head.time is None else str(head.time)
    return f"@{head.filename}\t{time}\t{head.size}\t{head.place}\n".encode() + text


def stanza(raw: bytes) -> bytes:
    """The upstream's part of a paragraph."""
    return raw.partition(b"\n")[2]


def head(raw: bytes) -> Head:
    """Our part of a paragraph."""
    try:
        filename, time, size, place = raw.partition(b"\n")[0].decode().split("\t")
        return Head(filename[1:], int(time) if time else None, int(size), place)
    except ValueError as error:
        raise BadIndex(f"A stored shard cannot be read: {error}.") from error


def entries(body: bytes) -> dict[str, bytes]:
    """File name -> paragraph."""
    return {head(raw).filename: raw for raw in body.split(BETWEEN)} if body else {}


def build(files: Iterable[tuple[str, bytes]]) -> bytes:
    """The canonical body: by file name."""
    return BETWEEN.join(raw for _, raw in sorted(files))


def records(body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
    """The versions of a package, in the order of their file names."""
    return [
        record(file, raw, section=section, name=name) for file, raw in sorted(entries(body).items())
    ]


def record(filename: str, raw: bytes, *, section: str, name: str) -> CranRecord | Invalid:
    """One paragraph as a record, or what forbids to publish it."""
    head_line = head(raw)
    try:
        values = fields(stanza(raw))
    except BadStanza as error:
        return Invalid(filename, str(error))
    version, md5 = values.get("Version", ""), values.get("MD5sum", "").lower()
    if why := _problem(head_line, values, section=section, name=name):
        return Invalid(filename, why)
    published_at = head_line.time if head_line.time is not None else _published(values)
    return CranRecord(
        filename=filename,
        raw=raw,
        name=name,
        version=version,
        license=" ".join(values.get("License", "").split()),
        timestamp=published_at,
        indexed_at=published_at,
        size=head_line.size,
        md5=md5,
        address="" if head_line.place == filename else head_line.place,
        archived=head_line.archived,
    )


def _published(values: dict[str, str]) -> int | None:
    """When a version was published, where its entry says so: some repositories copy the field."""
    for field in ("Date/Publication", "Published"):
        if match := _DAY.match(values.get(field, "")):
            with suppress(ValueError):
                day = dt.datetime.fromisoformat(match[0]).replace(tzinfo=dt.UTC)
                return int(day.timestamp() * 1000)
    return None


def _problem(head_line: Head, values: dict[str, str], *, section: str, name: str) -> str:
    """What forbids to publish the entry; "" if nothing does."""
    version, md5 = values.get("Version", ""), values.get("MD5sum", "").lower()
    if values.get("Package") != name:
        return "The entry's Package is not the name it is listed under."
    if not is_version(version):
        return "The entry's Version is not one that R takes."
    if head_line.filename != f"{name}_{version}{extension_of(section)}":
        return "The file name is not made of name and version."
    if len(head_line.filename) > LONGEST_FILE:
        return "The file name is too long."
    if not is_place(head_line.place):
        return "The entry's Path or File leads out of the repository."
    if md5 and not _MD5.fullmatch(md5):
        return "The entry's MD5sum is not 32 hexadecimal digits."
    return ""


def parse_listed(text: bytes, *, section: str) -> tuple[str, Head, bytes] | None:
    """A stanza of an index as (package name, our line, what is kept of it).

    None where not even the name can be read.
    """
    try:
        values = fields(text)
    except BadStanza:
        values = _fields_leniently(text)
    name = values.get("Package", "")
    if not is_name(name):
        return None
    version = values.get("Version", "")
    extension = extension_of(section)
    if is_version(version):
        filename = f"{name}_{version}{extension}"
    else:
        # No file name can be made of it: one of its own keeps it apart until it is refused.
        filename = f"{name}_{hashlib.sha256(text).hexdigest()[:12]}{extension}"
    place = plain(f"{values.get('Path', '')}/{values.get('File') or filename}") or ""
    if not is_place(place):
        # No place at all, for which the record is refused.
        place = "//"
    # R downloads from where these fields point.
    if any(field in values for field in LOCATION_FIELDS):
        text = without_fields(text, LOCATION_FIELDS)
    return name, Head(filename, None, -1, place), text


def _fields_leniently(text: bytes) -> dict[str, str]:
    """The fields of a stanza that is to be refused, to say which one it was."""
    values: dict[str, str] = {}
    for line in text.decode(errors="replace").split("\n"):
        if match := _FIELD.fullmatch(line.strip()):
            values.setdefault(match[1], match[2].strip())
    return values
