"""R's serialised data: what we write we can read, and code is never read.

That R itself reads and writes the same is shown in tests/e2e/test_r.py.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import pytest

from ecosystems.cran import rds
from ecosystems.cran.rds import Vector
from ecosystems.cran.rds_writer import HEAD, FileRow, Matrix, write_archive
from ecosystems.errors import BadIndex

NIL = struct.pack(">i", 254)


def whole(path: Path) -> object:
    return rds.read(gzip.decompress(path.read_bytes()))


def test_a_matrix_is_written_column_by_column_with_gaps(tmp_path: Path) -> None:
    matrix = Matrix(["Package", "Version"])
    matrix.add({"Package": "aa", "Version": "1.0"})
    matrix.add({"Package": "bb", "Title": "né"})
    matrix.add({"Package": "cc"})
    matrix.write(tmp_path / "m.rds")
    found = whole(tmp_path / "m.rds")
    assert isinstance(found, Vector)
    assert found.values == [
        *(b"aa", b"bb", b"cc"),
        *(b"1.0", None, None),
        *(None, "né".encode(), None),
    ]
    dim, names = found.attributes[b"dim"], found.attributes[b"dimnames"]
    assert isinstance(dim, Vector)
    assert isinstance(names, Vector)
    assert dim.values == [3, 3]
    assert names.values[0] is None
    columns = names.values[1]
    assert isinstance(columns, Vector)
    assert columns.values == [b"Package", b"Version", b"Title"]


def test_an_empty_matrix_still_has_its_columns(tmp_path: Path) -> None:
    Matrix(["Package"]).write(tmp_path / "m.rds")
    found = whole(tmp_path / "m.rds")
    assert isinstance(found, Vector)
    assert found.values == []


def test_the_archive_is_a_list_of_tables(tmp_path: Path) -> None:
    tables = [
        ("aa", [FileRow("aa/aa_0.9.tar.gz", 90, 1_600_000_000_500)]),
        ("bb", [FileRow("bb/bb_1.tar.gz", -1, None), FileRow("bb/bb_2.tar.gz", 0, 0)]),
    ]
    write_archive(tables, tmp_path / "a.rds")
    found = whole(tmp_path / "a.rds")
    assert isinstance(found, Vector)
    assert found.names() == [b"aa", b"bb"]
    first, second = found.values
    assert isinstance(first, Vector)
    assert isinstance(second, Vector)
    assert first.names(b"row.names") == [b"aa/aa_0.9.tar.gz"]
    assert first.columns()[b"mtime"].values == [1_600_000_000.5]
    assert first.columns()[b"size"].values == [90.0]
    unknown = second.columns()[b"size"].values[0]
    assert isinstance(unknown, float)
    assert math.isnan(unknown)
    assert len(second.columns()) == 10


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        matrix = Matrix()
        matrix.add({"Package": "aa"})
        matrix.write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    "kind", [3, 4, 5, 6, 7, 8, 15, 17, 20, 21, 22, 23, 24, 25, 240, 241, 242, 243, 246, 248, 253]
)
def test_M08_whatever_could_hold_code_is_refused(kind: int) -> None:
    with pytest.raises(BadIndex, match="more than plain tables"):
        rds.read(HEAD + struct.pack(">i", kind) + bytes(64))


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">ii", 14, 2**31 - 1),
        struct.pack(">ii", 14, -1),
        struct.pack(">ii", 19, 1000) + bytes(100),
        struct.pack(">iii", 16, 1, 9) + struct.pack(">i", 2**30),
        struct.pack(">i", 255),
        b"",
        b"\x00",
    ],
)
def test_lengths_that_the_bytes_do_not_hold_are_refused(body: bytes) -> None:
    with pytest.raises(BadIndex):
        rds.read(HEAD + body)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadIndex):
        rds.read(HEAD + struct.pack(">ii", 19, 1) * 200_000 + NIL)


@pytest.mark.parametrize("data", [b"", b"A\n", b"X\n", b"X\n" + struct.pack(">iii", 4, 0, 0) + NIL])
def test_other_forms_are_refused(data: bytes) -> None:
    with pytest.raises(BadIndex):
        rds.read(data)


def test_nothing_may_follow() -> None:
    assert rds.read(HEAD + NIL) is None
    with pytest.raises(BadIndex, match="follows"):
        rds.read(HEAD + NIL + NIL)
