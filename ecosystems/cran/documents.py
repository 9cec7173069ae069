"""The index files of a section of a CRAN-like repository, from the bodies of what it publishes.

Rule: PACKAGES, PACKAGES.gz and PACKAGES.rds say the same, the last one in the
words in which R would read the first; versions that only the archive has are
in none of them, but in Meta/archive.rds.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from ecosystems.base import Document
from ecosystems.cran.layout import ARCHIVE, INDEX, META_ARCHIVE
from ecosystems.cran.packages import BETWEEN, fields, head, stanza
from ecosystems.cran.rdswrite import Archived, Matrix, write_archive

TEXT_TYPE = "text/plain; charset=utf-8"
GZIP_TYPE = "application/gzip"
RDS_TYPE = "application/octet-stream"
COLUMNS = ("Package", "Version")
"""What a matrix has even where it has no row."""

Shards = Callable[[], Iterator[tuple[str, bytes, str]]]


def documents(section: str, shards: Shards, folder: Path) -> Iterator[Document]:
    """The index files of a section; none for the root.

    `shards` gives (name, body, anything), in the order of the names.
    """
    if not section:
        return
    matrix = Matrix(COLUMNS)
    archive: list[tuple[str, list[Archived]]] = []
    plain = _Plain(folder / f"{INDEX}.zst")
    packed = folder / f"{INDEX}.gz"
    with plain, packed.open("wb") as raw, _gzip(raw) as zipped:
        for name, body, _ in shards():
            old: list[Archived] = []
            for part in body.split(BETWEEN):
                about = head(part)
                if about.archived:
                    place = about.place.removeprefix(ARCHIVE)
                    old.append(Archived(place, about.size, about.time))
                    continue
                text = stanza(part) + BETWEEN
                matrix.add(fields(text.rstrip()))
                plain.write(text)
                zipped.write(text)
            if old:
                archive.append((name, old))
    yield plain.document(INDEX)
    yield _stored(packed, f"{INDEX}.gz", GZIP_TYPE)
    rds = folder / f"{INDEX}.rds"
    matrix.write(rds)
    yield _stored(rds, f"{INDEX}.rds", RDS_TYPE)
    if archive:
        rds = folder / "archive.rds"
        write_archive(archive, rds)
        yield _stored(rds, META_ARCHIVE, RDS_TYPE)


class _Plain:
    """A file that is stored as zstd and served as it was before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._file = path.open("wb")
        self._zstd = zstandard.ZstdCompressor(level=1).compressobj()

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.write(self._zstd.flush())
        self._file.close()

    def write(self, text: bytes) -> None:
        self.size += len(text)
        self._hash.update(text)
        self._file.write(self._zstd.compress(text))

    def document(self, name: str) -> Document:
        etag = f'"{self._hash.hexdigest()}"'
        return Document(
            name, self.path, _sha256(self.path), self.size, etag, TEXT_TYPE, packed=True
        )


def _stored(path: Path, name: str, media_type: str) -> Document:
    sha256 = _sha256(path)
    return Document(name, path, sha256, path.stat().st_size, f'"{sha256}"', media_type)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gzip(raw: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
