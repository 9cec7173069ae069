"""Shards of strangers: the same values as in JSON, or a reason; never another error."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecosystems.conda import body as shard_body
from ecosystems.conda import shard_body as module
from ecosystems.conda.records import records
from ecosystems.conda.shard_body import FOREIGN, NOT_PLAIN, ShardContent, read_shard
from ecosystems.conda.shards import shard_bytes
from ecosystems.errors import BadIndex
from ecosystems.records import Invalid
from tests.ecosystems.conda import indexes

SHARD_KEYS = ("packages", "packages.conda", "removed", "v3")


def record(**others: Any) -> dict[str, Any]:
    return dict(indexes.record(**others))  # type: ignore[no-untyped-call]


def file_name(fields: dict[str, Any]) -> str:
    return f"{fields['name']}-{fields['version']}-{fields['build']}.conda"


def packed(content: Any) -> bytes:
    return bytes(zstandard.compress(msgpack.packb(content)))


def read(data: bytes, name: str = "numpy", *, earlier: bytes = b"") -> ShardContent:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard"
        path.write_bytes(data)
        return read_shard(path, name, earlier=earlier)


def shard(*listed: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"packages": {}, "packages.conda": {file_name(r): r for r in listed}, **others}


def values(body: bytes) -> dict[str, Any]:
    return {file: json.loads(raw) for file, raw in shard_body.entries(body).items()}


def test_hashes_are_digits_and_everything_else_is_what_it_was() -> None:
    fields = record(odd={"a": [1, None, 1.5, True, "é"]}, legacy_bz2_md5="ab" * 16)
    binary = fields | {
        key: bytes.fromhex(fields[key]) for key in ("sha256", "md5", "legacy_bz2_md5")
    }
    content = read(packed(shard(binary)))
    assert values(content.body) == {file_name(fields): fields}
    assert read(packed(shard(fields))).body == content.body  # digits, as some channels write them


def test_what_this_server_writes_is_read_as_the_same_body() -> None:
    listed = [record(version=version, depends=["a"]) for version in ("1.0", "2.0")]
    texts = [(file_name(fields), json.dumps(fields).encode()) for fields in listed]
    body = shard_body.build(texts, ["numpy-0.1-0.conda"])
    content = read(shard_bytes(body), earlier=body)
    assert content.body == body
    assert values(read(shard_bytes(body)).body) == values(body)
    assert shard_body.removed(read(shard_bytes(body)).body) == ["numpy-0.1-0.conda"]


@pytest.mark.parametrize(
    "value",
    [b"bytes", [b"bytes"], {1: 2}, {b"x": 1}, msgpack.ExtType(5, b"x"), msgpack.Timestamp(1),
     float("inf"), float("nan"), {"deep": [{"er": b""}]}],
)  # fmt: skip
def test_a_value_that_json_cannot_say_costs_its_record_only(value: Any) -> None:
    """M10: values of a wrong kind."""
    content = read(packed(shard(record(odd=value), record(version="9.9"))))
    assert content.count == 2
    invalid, good = sorted(
        records(content.body, section="linux-64", name="numpy"),
        key=lambda entry: not isinstance(entry, Invalid),
    )
    assert isinstance(invalid, Invalid)
    assert invalid.why == NOT_PLAIN
    assert not isinstance(good, Invalid)


def test_a_record_of_another_package_is_invalid() -> None:
    """M02."""
    content = read(packed(shard(record(name="scipy"), record())))
    listed = records(content.body, section="linux-64", name="numpy")
    assert [entry.why for entry in listed if isinstance(entry, Invalid)] == [FOREIGN]


def test_what_says_where_to_download_is_not_published() -> None:
    """M03."""
    content = read(packed(shard(record(url="https://elsewhere.test/x", channel="y", fn="z"))))
    [entry] = records(content.body, section="linux-64", name="numpy")
    assert not isinstance(entry, Invalid)
    assert not json.loads(entry.raw).keys() & {"url", "channel", "fn"}


def test_files_of_other_packages_are_not_called_removed() -> None:
    removed = ["scipy-1.0-0.conda", "numpy-1.0-0.conda", 5, None, b"x"]
    content = read(packed(shard(removed=removed)))
    assert shard_body.removed(content.body) == ["numpy-1.0-0.conda"]
    assert (content.count, content.is_empty) == (0, False)
    assert read(packed(shard())).is_empty


def test_a_record_is_compared_by_value_and_keeps_its_bytes() -> None:
    before, after = record(), record(version="2.0")
    text = json.dumps(before, indent=3).encode()
    earlier = shard_body.build([(file_name(before), text)], ())
    entries = shard_body.entries(read(packed(shard(before, after)), earlier=earlier).body)
    assert entries[file_name(before)] == text
    changed = before | {"depends": ["other"]}
    entries = shard_body.entries(read(packed(shard(changed)), earlier=earlier).body)
    assert json.loads(entries[file_name(before)])["depends"] == ["other"]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"\x28\xb5\x2f\xfd", zstandard.compress(b""), zstandard.compress(b"{}"),
        packed([]), packed({"packages": []}), packed({"packages": {1: {}}}), packed(5),
        packed(shard(record()))[:-1], packed(shard(record())) + b"x",
        zstandard.compress(b"\x81\xa8packages\xdf\xff\xff\xff\xff"),
        zstandard.compress(b"\x81\xa8packages" + b"\x81\xa1a" * 100_000),
    ],
)  # fmt: skip
def test_what_is_no_shard_is_a_bad_index(data: bytes) -> None:
    with pytest.raises(BadIndex, match="The shard of numpy cannot be read"):
        read(data)


def test_nesting_costs_the_record_only() -> None:
    good = record()
    deep = b"\x81\xa1x" + b"\x91" * 900 + b"\xc0"
    content = b"\x81\xaepackages.conda\x82" + msgpack.packb("numpy-1-0.conda") + deep
    content += msgpack.packb(file_name(good)) + msgpack.packb(good)
    listed = records(read(zstandard.compress(content)).body, section="linux-64", name="numpy")
    assert [entry.filename for entry in listed if not isinstance(entry, Invalid)] == [
        file_name(good)
    ]


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """M05: what decodes to more than a shard may have."""
    monkeypatch.setattr(module, "SHARD_CAP", 1 << 20)
    with pytest.raises(BadIndex, match="decodes to more than"):
        read(zstandard.compress(bytes(64 << 20)))


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text()
    | st.binary(max_size=40) | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary()),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text() | st.integers(0, 9) | st.binary(max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
files = st.sampled_from(["numpy-1.0-0.conda", "numpy-1.0-0.tar.bz2", "scipy-1-0.conda"]) | st.text()
fields = st.dictionaries(st.sampled_from(sorted(record())), plain).map(lambda odd: record() | odd)
members = st.dictionaries(files, fields | plain, max_size=4)
contents = st.dictionaries(st.sampled_from(SHARD_KEYS), members | plain) | plain


def check(data: bytes) -> None:
    """Either a bad index, or a canonical body of which every record is a record or invalid."""
    try:
        content = read(data, earlier=shard_body.build([("numpy-1.0-0.conda", b"{}")], ()))
    except BadIndex:
        return
    entries = shard_body.entries(content.body)
    assert content.count == len(entries)
    assert shard_body.build(entries.items(), shard_body.removed(content.body)) == content.body
    listed = records(content.body, section="linux-64", name="numpy")
    assert len(listed) == len(entries)
    shard_bytes(
        shard_body.build([(r.filename, r.raw) for r in listed if not isinstance(r, Invalid)], ())
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(contents)
def test_any_shard_is_read_or_refused(content: Any) -> None:
    check(packed(content))


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 300))
def test_any_bytes_are_read_or_refused(junk: bytes, at: int, cut: int) -> None:
    valid = msgpack.packb(shard(record(), record(version="2.0"), removed=["numpy-3-0.conda"]))
    at %= len(valid)
    check(zstandard.compress(junk))
    check(zstandard.compress(valid[:at] + junk + valid[at + cut :]))


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 9).map("key{}".format), plain_json), max_size=4))
def test_values_of_further_keys_survive(odd: list[dict[str, Any]]) -> None:
    listed = [record(version=str(number)) | extra for number, extra in enumerate(odd)]
    content = read(packed(shard(*listed)))
    assert values(content.body) == {file_name(fields): fields for fields in listed}
