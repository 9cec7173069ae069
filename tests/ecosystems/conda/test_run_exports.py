"""`run_exports.json` as it comes: what no client can read is taken out of it and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from ecosystems.conda import run_exports
from ecosystems.errors import BadIndex
from ecosystems.progress import never_stop
from tests.ecosystems.conda.indexes import SUBDIR

GOOD = '{"run_exports":{"weak":["x"],"strong":[]}}'


def checked(path: Path, text: bytes) -> list[str]:
    path.write_bytes(text)
    return run_exports.check(path, SUBDIR, work=path.parent, stop=never_stop)


def document(*entries: tuple[str, str], packages: str = "") -> bytes:
    conda = ",".join(f'"{file}":{entry}' for file, entry in entries)
    return f'{{"info":{{}},"packages":{{{packages}}},"packages.conda":{{{conda}}}}}'.encode()


@pytest.mark.parametrize("pack", [False, True])
def test_what_is_right_stays_byte_for_byte(tmp_path: Path, pack: bool) -> None:
    text = document(("a-1-0.conda", GOOD), ("a-2-0.conda", '{"run_exports":{}}'))
    text = zstandard.compress(text) if pack else text
    assert checked(tmp_path / "file", text) == []
    assert (tmp_path / "file").read_bytes() == text


@pytest.mark.parametrize("other", ["null", '{"run_exports":{"other":3}}', '{"run_exports": {} }'])
def test_what_clients_read_or_pass_over_is_no_harm_to_its_neighbours(
    tmp_path: Path, other: str
) -> None:
    checked(tmp_path / "file", document(("a-1-0.conda", GOOD), ("a-2-0.conda", other)))
    with run_exports.reading(tmp_path / "file", SUBDIR, tmp_path, stop=never_stop) as index:
        assert "a-1-0.conda" in json.loads(index.body("a"))["packages.conda"]


@pytest.mark.parametrize(
    "bad",
    [
        '{"run_exports":{"weak":[],"weak":["x"]}}',
        '{"run_exports":{},"run_exports":{"weak":["x"]}}',
        '{"run_exports":{"weak":["\\ud83d"]}}',
        '{"run_exports":{"weak":"x"}}',
        '{"run_exports":[]}',
        '{"run_exports":{"other":' + "9" * 5000 + "}}",
        "{}",
        "3",
    ],
)
def test_an_entry_that_no_client_can_read_is_left_out_and_told(tmp_path: Path, bad: str) -> None:
    text = document(("a-1-0.conda", GOOD), ("a-2-0.conda", bad), ("b-1-0.conda", GOOD))
    [warning] = checked(tmp_path / "file", text)
    assert warning == (
        "run_exports.json: The run exports of a-2-0.conda are left out: clients cannot read them."
    )
    with run_exports.reading(tmp_path / "file", SUBDIR, tmp_path, stop=never_stop) as index:
        assert index.names == ["a", "b"]
        assert json.loads(index.body("a"))["packages.conda"] == {"a-1-0.conda": json.loads(GOOD)}


def test_a_file_listed_twice_is_told_and_the_last_entry_counts(tmp_path: Path) -> None:
    last = '{"run_exports":{"weak":["y"]}}'
    [warning] = checked(
        tmp_path / "file",
        document(("a-1-0.conda", GOOD), ("b-1-0.conda", GOOD), ("a-1-0.conda", last)),
    )
    assert "1 file name is listed again: a-1-0.conda; the last of the entries counts" in warning
    with run_exports.reading(tmp_path / "file", SUBDIR, tmp_path, stop=never_stop) as index:
        assert json.loads(index.body("a"))["packages.conda"] == {"a-1-0.conda": json.loads(last)}


@pytest.mark.parametrize("text", [b"", b"[]", b"<html>", b'{"packages":{"a', b'{"packages":[]}'])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(BadIndex):
        checked(tmp_path / "file", text)
