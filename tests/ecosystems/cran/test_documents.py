"""The index files: one set in three forms, and the archive's own."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import zstandard

from ecosystems.cran import rds
from ecosystems.cran.contents import FileFacts, read
from ecosystems.cran.documents import documents
from ecosystems.cran.rds import Vector
from ecosystems.documents import Document

SOURCE = "src/contrib"
TEXT = b"Package: aa\nVersion: 1.0\nImports: b,\n  c\n\nPackage: bb\nVersion: 2.0\nLicense: MIT\n"


def made(folder: Path, text: bytes, facts: FileFacts | None = None) -> dict[str, Document]:
    contents = read([text], section=SOURCE, facts=facts or FileFacts(), stop=lambda: None)

    def shards() -> Iterator[tuple[str, bytes, str]]:
        return ((name, body, "") for name, body, _ in contents.bodies())

    folder.mkdir(exist_ok=True)
    return {one.name: one for one in documents(SOURCE, shards, folder)}


def served(document: Document) -> bytes:
    data = document.path.read_bytes()
    return (
        zstandard.ZstdDecompressor().decompressobj().decompress(data) if document.packed else data
    )


def test_all_forms_say_the_same(tmp_path: Path) -> None:
    found = made(tmp_path, TEXT)
    assert list(found) == ["PACKAGES", "PACKAGES.gz", "PACKAGES.rds"]
    assert served(found["PACKAGES"]) == TEXT + b"\n"
    assert gzip.decompress(served(found["PACKAGES.gz"])) == TEXT + b"\n"
    matrix = rds.read(gzip.decompress(served(found["PACKAGES.rds"])))
    assert isinstance(matrix, Vector)
    assert matrix.values == [b"aa", b"bb", b"1.0", b"2.0", b"b,\nc", None, None, b"MIT"]


def test_sizes_and_tags_are_of_what_clients_get(tmp_path: Path) -> None:
    for document in made(tmp_path, TEXT).values():
        assert document.size == len(served(document))
    one, two = made(tmp_path / "1", TEXT), made(tmp_path / "2", TEXT)
    assert [d.etag for d in one.values()] == [d.etag for d in two.values()]
    assert [d.sha256 for d in one.values()] == [d.sha256 for d in two.values()]


def test_archived_versions_are_in_the_archives_table_only(tmp_path: Path) -> None:
    facts = FileFacts({"Archive/aa/aa_0.9.tar.gz": (9, 1_600_000_000_000)})
    found = made(tmp_path, TEXT, facts)
    assert served(found["PACKAGES"]) == TEXT + b"\n"
    tables = rds.read(gzip.decompress(served(found["Meta/archive.rds"])))
    assert isinstance(tables, Vector)
    assert tables.names() == [b"aa"]
    (table,) = tables.values
    assert isinstance(table, Vector)
    assert table.names(b"row.names") == [b"aa/aa_0.9.tar.gz"]


def test_the_root_has_no_documents(tmp_path: Path) -> None:
    assert list(documents("", lambda: iter([]), tmp_path)) == []


def test_an_empty_section_has_empty_documents(tmp_path: Path) -> None:
    found = made(tmp_path, b"")
    assert served(found["PACKAGES"]) == b""
    assert gzip.decompress(served(found["PACKAGES.gz"])) == b""
