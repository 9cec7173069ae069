"""Signatures of a conda index stay with the records they sign, and with no others."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ecosystems.conda import signatures
from ecosystems.conda.repodata import read
from ecosystems.progress import never_stop
from tests.ecosystems.conda.indexes import (
    SUBDIR,
    bodies,
    compact,
    file_name,
    index,
    read_text,
    record,
)
from tests.ecosystems.conda.test_documents import make, text

NUMPY, PYTHON = record("numpy", "1.0"), record("python", "3.12")
FILES = [file_name(NUMPY), file_name(PYTHON)]
KEY = "0f" * 32


def signed(*files: str) -> dict[str, Any]:
    return {file: {KEY: {"signature": file.encode().hex()}} for file in files}


def taken(content: bytes, work: Path) -> tuple[Path | None, list[str]]:
    with read_text(content, work) as found:
        for _ in found.shards(never_stop):
            pass
        return signatures.take(found, work, stop=never_stop)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", ["packages", "packages.conda"])
def test_a_record_that_stays_as_it_is_keeps_its_signatures(
    tmp_path: Path, first: bool, kind: str
) -> None:
    content = index(NUMPY, PYTHON)
    if kind == "packages":
        content = index(packages=(NUMPY, PYTHON))
    names = list(content[kind])
    said = {"signatures": signed(*names)}
    path, warnings = taken(compact(said | content if first else content | said), tmp_path)
    assert (path is not None, warnings) == (True, [])
    assert path is not None
    made = make(bodies(compact(content), tmp_path), tmp_path / "out", {"signatures.json": [path]})
    assert text(made["repodata.json"]) == content | said
    # The document is a source again, for mirrors of what is published.
    again = [made["signatures.json"].path]
    made = make(bodies(compact(content), tmp_path), tmp_path / "more", {"signatures.json": again})
    assert text(made["repodata.json"])["signatures"] == signed(*names)


def test_a_record_that_is_filtered_away_or_another_has_no_signature(tmp_path: Path) -> None:
    path, _ = taken(compact(index(NUMPY, PYTHON, signatures=signed(*FILES))), tmp_path)
    assert path is not None
    other = index(NUMPY | {"depends": []}, PYTHON)
    made = make(bodies(compact(other), tmp_path), tmp_path / "out", {"signatures.json": [path]})
    assert text(made["repodata.json"])["signatures"] == signed(FILES[1])
    made = make(
        bodies(compact(index(NUMPY)), tmp_path), tmp_path / "less", {"signatures.json": [path]}
    )
    assert text(made["repodata.json"])["signatures"] == signed(FILES[0])


def test_the_source_that_signs_the_published_record_wins(tmp_path: Path) -> None:
    other = NUMPY | {"depends": []}
    sources = []
    for one, key in ((other, "aa"), (NUMPY, "bb"), (NUMPY, "cc")):
        said = {FILES[0]: {key: {"signature": "00"}}}
        path, _ = taken(compact(index(one, signatures=said)), tmp_path)
        assert path is not None
        sources.append(path)
    found = bodies(compact(index(NUMPY)), tmp_path)
    made = make(found, tmp_path / "out", {"signatures.json": sources})
    assert text(made["repodata.json"])["signatures"] == {FILES[0]: {"bb": {"signature": "00"}}}


def test_an_index_without_signatures_has_no_document_of_them(tmp_path: Path) -> None:
    assert taken(compact(index(NUMPY)), tmp_path) == (None, [])
    assert taken(compact(index(NUMPY, signatures={})), tmp_path) == (None, [])
    assert taken(compact(index(NUMPY, signatures=3)), tmp_path) == (None, [])
    path, _ = taken(compact(index(NUMPY, signatures=signed(FILES[0]))), tmp_path)
    assert path is not None
    found = bodies(compact(index(PYTHON)), tmp_path)
    made = make(found, tmp_path / "out", {"signatures.json": [path]})
    assert "signatures.json" not in made
    assert "signatures" not in text(made["repodata.json"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"url": "https://elsewhere.test/numpy.conda"}, "published otherwise than it was signed"),
        ({"timestamp": 1.5}, "published otherwise than it was signed"),
        ({"depends": None, "constrains": {}}, "no record of the file is published"),
        ({"build_number": "x"}, "no record of the file is published"),
    ],
)
def test_the_signature_of_a_record_that_is_changed_or_left_out_is_dropped_and_told(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    content = index(record("numpy", "1.0", **change), PYTHON, signatures=signed(*FILES))
    path, [warning] = taken(compact(content), tmp_path)
    assert path is not None
    assert "1 entry of the index's `signatures` is not taken over: numpy-1.0" in warning
    assert why in warning
    found = bodies(compact(index(NUMPY, PYTHON)), tmp_path)
    made = make(found, tmp_path / "out", {"signatures.json": [path]})
    assert text(made["repodata.json"])["signatures"] == signed(FILES[1])


@pytest.mark.parametrize(
    "odd",
    [
        b"3",
        b'"text"',
        b"[]",
        b'{"key":"text"}',
        b'{"key":{"signature":1}}',
        b'{"key":{"signature":"\\ud83d"}}',
        b'{"key":{"signature":' + b"9" * 5000 + b"}}",
        b'{"key":{"signature":"caf\xe9"}}',
        b'{"key":' * 900 + b"{}" + b"}" * 900,
        b'{"key":{"signature":"' + b"0" * (signatures.LARGEST + 1) + b'"}}',
    ],
)
def test_what_is_no_signature_is_dropped_and_told(tmp_path: Path, odd: bytes) -> None:
    content = compact(index(NUMPY, PYTHON, signatures=signed(FILES[1]) | {FILES[0]: "ODD"}))
    path, [warning] = taken(content.replace(b'"ODD"', odd), tmp_path)
    assert path is not None
    assert f"{FILES[0]} (they are no signatures, or too large)" in warning
    found = bodies(compact(index(NUMPY, PYTHON)), tmp_path)
    made = make(found, tmp_path / "out", {"signatures.json": [path]})
    assert text(made["repodata.json"])["signatures"] == signed(FILES[1])


def test_signatures_of_files_that_are_not_listed_are_counted_and_named(tmp_path: Path) -> None:
    others = ["gone-1-0.conda", "no package", "../x-1-0.conda", "numpy-9-0.conda"]
    content = compact(index(NUMPY, signatures=signed(FILES[0], *others)))
    content = content.replace(b'"signatures":{', b'"signatures":{"caf\xe9-1-0.conda":{},', 1)
    path, [warning] = taken(content, tmp_path)
    assert path is not None
    assert warning.startswith("5 entries of the index's `signatures` are not taken over: ")
    assert "and 2 more (no record of the file is published from this index)." in warning


def test_a_flood_of_signatures_costs_bounded_memory(tmp_path: Path) -> None:
    """One name's signatures are in memory together; what is beyond reason is not even read."""
    one = b'{"key":{"signature":"' + b"0" * 60_000 + b'"}}'
    count = 600

    def flood() -> Iterator[bytes]:
        yield compact(index(NUMPY))[:-1] + b',"signatures":{'
        for number in range(count):
            yield b'"numpy-%d-0.conda":%s,' % (number, one)
        yield json.dumps(FILES[0]).encode() + b":" + one + b"}}"

    tracemalloc.start()
    try:
        with read(flood(), subdir=SUBDIR, work=tmp_path, stop=never_stop) as found:
            path, [warning] = signatures.take(found, tmp_path, stop=never_stop)
        assert tracemalloc.get_traced_memory()[1] < count * len(one) / 2
    finally:
        tracemalloc.stop()
    assert path is None
    assert warning.startswith(f"{count + 1} entries")
