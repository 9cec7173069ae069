"""Lists of shards (CEP 16) of strangers: read, or refused as a whole with a sentence."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ecosystems.conda import shard_index as module
from ecosystems.conda.shard_index import ShardIndex, read_shard_index
from ecosystems.conda.shards import shard_index
from ecosystems.errors import BadIndex

ADDRESS = "https://conda.test/main/linux-64/repodata_shards.msgpack.zst"
DIGEST = bytes(range(32))


def content(**others: Any) -> dict[str, Any]:
    info = {"subdir": "linux-64", "base_url": "", "shards_base_url": ""}
    return {"version": 1, "info": info, "shards": {"numpy": DIGEST}} | others


def read(packed: bytes) -> ShardIndex:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        path.write_bytes(packed)
        return read_shard_index(path, ADDRESS, subdir="linux-64")


def read_content(**others: Any) -> ShardIndex:
    return read(zstandard.compress(msgpack.packb(content(**others))))


@pytest.mark.parametrize(
    ("base", "shards", "expected_files", "expected_shards"),
    [
        ("", "", "https://conda.test/main/linux-64/", "https://conda.test/main/linux-64/"),
        ("./", "./shards/", "https://conda.test/main/linux-64/",
         "https://conda.test/main/linux-64/shards/"),
        ("../x", "/s", "https://conda.test/main/x/", "https://conda.test/s/"),
        ("https://files.test/a", "https://shards.test/b", "https://files.test/a/",
         "https://shards.test/b/"),
    ],
)  # fmt: skip
def test_addresses_are_relative_to_the_list_or_absolute(
    base: str, shards: str, expected_files: str, expected_shards: str
) -> None:
    info = {"subdir": "linux-64", "base_url": base, "shards_base_url": shards}
    index = read_content(info=info)
    assert (index.files_url, index.shards_url) == (expected_files, expected_shards)


def test_what_this_server_writes_is_read() -> None:
    index = read(shard_index("linux-64", [("b", DIGEST), ("a", DIGEST)]))
    assert list(index.digests) == ["a", "b"]
    assert index.shards_url.endswith("/linux-64/shards/")


def test_digits_are_read_as_a_hash() -> None:
    assert read_content(shards={"numpy": DIGEST.hex()}).digests == {"numpy": DIGEST}


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "C:x", "a\nb", "\u202ex", "%2e%2e%2f", "Upper", ""]
)
def test_names_that_break_the_rules_are_apart(name: str) -> None:
    """M01."""
    index = read_content(shards={name: DIGEST, "numpy": DIGEST})
    assert (list(index.digests), index.invalid) == (["numpy"], [name])


@pytest.mark.parametrize(
    "others",
    [
        {"version": 2}, {"version": "1"}, {"info": None}, {"info": {"subdir": "win-64"}},
        {"info": {"base_url": 5}}, {"info": {"shards_base_url": "http://["}},
        {"shards": None}, {"shards": []}, {"shards": {"numpy": b"short"}},
        {"shards": {"numpy": "z" * 64}}, {"shards": {"numpy": None}}, {"shards": {5: DIGEST}},
        {"shards": {"numpy": [DIGEST]}},
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused_as_a_whole(others: dict[str, Any]) -> None:
    with pytest.raises(BadIndex):
        read_content(**others)


@pytest.mark.parametrize("missing", ["info", "shards"])
def test_the_answer_of_another_service_is_no_empty_channel(missing: str) -> None:
    given_content = content()
    del given_content[missing]
    with pytest.raises(BadIndex):
        read(zstandard.compress(msgpack.packb(given_content)))


def test_numbers_and_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """M05."""
    monkeypatch.setattr(module, "MOST_SHARDS", 2)
    with pytest.raises(BadIndex, match="more than 2 packages"):
        read_content(shards=dict.fromkeys(["a", "b", "c"], DIGEST))
    monkeypatch.setattr(module, "INDEX_CAP", 1 << 20)
    with pytest.raises(BadIndex, match="decodes to more than"):
        read(zstandard.compress(bytes(64 << 20)))


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 1000), st.integers(0, 100))
def test_any_bytes_are_read_or_refused(junk: bytes, at: int, cut: int) -> None:
    valid = msgpack.packb(content())
    at %= len(valid)
    for text in (junk, valid[:at] + junk + valid[at + cut :]):
        for packed in (text, zstandard.compress(text)):
            try:
                index = read(packed)
            except BadIndex:
                continue
            assert all(len(digest) == 32 for digest in index.digests.values())
