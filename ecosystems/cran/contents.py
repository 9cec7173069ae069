"""Reads a fetched PACKAGES, and what the upstream's Meta folder says of sizes and dates.

Rule: PACKAGES.rds of an upstream is never asked for. Of its Meta folder only
plain tables are read, by our own reader (`rds`), and nothing of it is passed on
but names, sizes and times.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ecosystems.cran import rds
from ecosystems.cran.layout import ARCHIVE, SOURCE, archive_place, file_parts
from ecosystems.cran.packages import (
    LARGEST_FILE,
    Head,
    build,
    head,
    paragraph,
    paragraphs,
    parse_listed,
)
from ecosystems.errors import BadIndex
from ecosystems.progress import Stop

LAST_SECOND = 253_402_300_799
STOP_EVERY = 500
LONGEST_SHOWN = 100


@dataclass(slots=True)
class FileFacts:
    """Size (-1) and time in ms (None) of files, by their way below `src/contrib`."""

    files: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    odd: int = 0
    """Files of the archive whose names no package of R has."""


@dataclass(slots=True)
class Contents:
    """A section's entries by package name, then by file name."""

    packages: dict[str, dict[str, bytes]] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    """Files that are listed again, once for each time."""
    newest: int = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.packages.values()))

    def bodies(self) -> Iterator[tuple[str, bytes, int]]:
        """(name, body, number of entries), in the order of the names."""
        for name in sorted(self.packages):
            entries = self.packages[name]
            yield name, build(entries.items()), len(entries)


def read(blocks: Iterable[bytes], *, section: str, facts: FileFacts, stop: Stop) -> Contents:
    """The contents of a PACKAGES file, with what is known of its files.

    BadIndex where the text does not look like PACKAGES at all.
    """
    contents = Contents()
    number = 0
    for number, text in enumerate(paragraphs(blocks), 1):
        if number % STOP_EVERY == 1:
            stop()
        parsed = parse_listed(text, section=section)
        if parsed is None:
            contents.invalid.append(text[:LONGEST_SHOWN].decode(errors="replace").split("\n")[0])
            continue
        name, head_line, stanza = parsed
        entries = contents.packages.setdefault(name, {})
        before = entries.get(head_line.filename)
        if before is not None:
            contents.repeated.append(head_line.filename)
        if before is None or _comes_before(head_line, head(before)):
            size, time = facts.files.get(head_line.place, (-1, None))
            entries[head_line.filename] = paragraph(
                Head(head_line.filename, time, size, head_line.place), stanza
            )
            contents.newest = max(contents.newest, time or 0)
    # An empty PACKAGES is a repository without packages; another text is no PACKAGES.
    if number and not contents.packages:
        raise BadIndex("The index does not look like PACKAGES: no `Package:` with a name is in it.")
    if section == SOURCE:
        _add_archive(contents, facts)
    return contents


def _comes_before(first: Head, second: Head) -> bool:
    """Of one version R takes the entry that it reads first; a file's own place is surest."""
    return first.place == first.filename and second.place != second.filename


def _add_archive(contents: Contents, facts: FileFacts) -> None:
    licenses: dict[str, str] = {}
    for place, (size, time) in facts.files.items():
        if not place.startswith(ARCHIVE):
            continue
        _, name, filename = place.split("/")
        entries = contents.packages.setdefault(name, {})
        if filename in entries:
            continue
        parts = file_parts(filename)
        if parts is None:
            continue
        text = f"Package: {name}\nVersion: {parts[1]}"
        if name not in licenses:
            licenses[name] = _license(entries)
        # The archive's table has no licenses, and license rules must not let old versions pass.
        if licenses[name]:
            text += f"\nLicense: {licenses[name]}"
        entries[filename] = paragraph(Head(filename, time, size, place), text.encode())


def _license(entries: dict[str, bytes]) -> str:
    """The license that a package has now; its older versions are taken to have had it too."""
    for raw in entries.values():
        for line in raw.split(b"\n"):
            if line.startswith(b"License:"):
                return " ".join(line[8:].decode(errors="replace").split())
    return ""


def add_current(facts: FileFacts, data: bytes) -> None:
    """What `Meta/current.rds` says of the current versions."""
    add_table(facts, rds.read(data), None)


def add_archive(facts: FileFacts, data: bytes) -> None:
    """What `Meta/archive.rds` says of the archived versions."""
    tables = rds.read(data)
    if not isinstance(tables, rds.Vector):
        raise BadIndex("Meta/archive.rds is not a list of tables.")
    if not tables.values:
        return
    for name, table in zip(tables.names(), tables.values, strict=True):
        add_table(facts, table, name.decode(errors="replace"))


def add_table(facts: FileFacts, table: object, package: str | None) -> None:
    """The files of one table: of the archive of `package`, or the current ones."""
    if not isinstance(table, rds.Vector):
        raise BadIndex("The upstream's Meta folder does not hold tables of files.")
    columns = table.columns()
    places = table.names(b"row.names")
    nothing = rds.Vector([None] * len(places))
    sizes = columns.get(b"size", nothing).values
    times = columns.get(b"mtime", nothing).values
    if not len(places) == len(sizes) == len(times):
        raise BadIndex("The upstream's Meta folder holds a table with columns of unequal length.")
    for place, size, time in zip(places, sizes, times, strict=True):
        way = place.decode(errors="replace")
        folder, _, filename = way.rpartition("/")
        parts = file_parts(filename)
        if parts is None or not filename.endswith(".tar.gz"):
            facts.odd += package is not None
        elif package is None and not folder:
            facts.files[way] = (_size(size), _milliseconds(time))
        elif parts[0] == folder == package:
            facts.files[archive_place(package, filename)] = (_size(size), _milliseconds(time))
        else:
            facts.odd += 1


def _size(value: object) -> int:
    if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= LARGEST_FILE:
        return int(value)
    return -1


def _milliseconds(value: object) -> int | None:
    if isinstance(value, int | float) and math.isfinite(value) and 0 < value <= LAST_SECOND:
        return int(value * 1000)
    return None
