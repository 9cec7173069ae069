"""The index files of a section of a CRAN-like repository, from the bodies of what it publishes.

Rule: PACKAGES, PACKAGES.gz and PACKAGES.rds say the same, the last one in the
words in which R would read the first; versions that only the archive has are
in none of them, but in Meta/archive.rds. What is known of the sizes and times of
the others is in Meta/current.rds, so that whoever mirrors us knows it too.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ecosystems.base import Shards
from ecosystems.cran.layout import ARCHIVE, INDEX, META_ARCHIVE, META_CURRENT
from ecosystems.cran.packages import BETWEEN, fields, head, stanza
from ecosystems.cran.rds_writer import FileRow, Matrix, write_archive, write_table
from ecosystems.documents import Document, document_compressor

TEXT_TYPE = "text/plain; charset=utf-8"
GZIP_TYPE = "application/gzip"
RDS_TYPE = "application/octet-stream"
COLUMNS = ("Package", "Version")
"""What a matrix has even where it has no row."""


def documents(section: str, shards: Shards, folder: Path) -> Iterator[Document]:
    """The index files of a section; none for the root.

    `shards` gives (name, body, anything), in the order of the names.
    """
    if not section:
        return
    tables = _Tables()
    plain, packed = folder / INDEX, folder / f"{INDEX}.gz"
    with plain.open("wb") as text, packed.open("wb") as raw, _gzip(raw) as zipped:
        for name, body, _ in shards():
            for entry in tables.add(name, body):
                text.write(entry + BETWEEN)
                zipped.write(entry + BETWEEN)
    yield _packed(plain)
    yield _stored(packed, f"{INDEX}.gz", GZIP_TYPE)
    # R asks for this form first, then for PACKAGES.gz and PACKAGES.
    rds = folder / f"{INDEX}.rds"
    tables.matrix.write(rds)
    yield _stored(rds, f"{INDEX}.rds", RDS_TYPE)
    if tables.current:
        rds = folder / "current.rds"
        write_table(tables.current, rds)
        yield _stored(rds, META_CURRENT, RDS_TYPE)
    if tables.archive:
        rds = folder / "archive.rds"
        write_archive(tables.archive, rds)
        yield _stored(rds, META_ARCHIVE, RDS_TYPE)


class _Tables:
    """What the R forms of an index say, collected package by package."""

    def __init__(self) -> None:
        self.matrix = Matrix(COLUMNS)
        self.current: list[FileRow] = []
        self.archive: list[tuple[str, list[FileRow]]] = []

    def add(self, name: str, body: bytes) -> Iterator[bytes]:
        """Add a package's versions; yields the stanzas of those that PACKAGES lists."""
        archived: list[FileRow] = []
        for paragraph in body.split(BETWEEN):
            about = head(paragraph)
            if about.archived:
                place = about.place.removeprefix(ARCHIVE)
                archived.append(FileRow(place, about.size, about.time))
                continue
            # A row without size and time would say no more than PACKAGES does.
            if about.time is not None or about.size >= 0:
                self.current.append(FileRow(about.filename, about.size, about.time))
            entry = stanza(paragraph)
            self.matrix.add(fields(entry))
            yield entry
        if archived:
            self.archive.append((name, archived))


def _packed(plain: Path) -> Document:
    """The file as zstd, which is served as it was before."""
    packed = plain.with_name(f"{plain.name}.zst")
    size, etag = plain.stat().st_size, f'"{_sha256(plain)}"'
    with plain.open("rb") as source, packed.open("wb") as target:
        document_compressor().copy_stream(source, target, size=size)
    plain.unlink()
    return Document(plain.name, packed, _sha256(packed), size, etag, TEXT_TYPE, packed=True)


def _stored(path: Path, name: str, media_type: str) -> Document:
    sha256 = _sha256(path)
    return Document(name, path, sha256, path.stat().st_size, f'"{sha256}"', media_type)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gzip(raw: BinaryIO) -> gzip.GzipFile:
    # No name and no time in the header (RFC 1952): equal indexes have equal bytes and one ETag.
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
