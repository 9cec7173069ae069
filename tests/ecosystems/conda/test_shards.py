"""Sharded indexes: exact bytes, and a real client that solves with them."""

import functools
import hashlib
import http.server
import json
import threading

import msgspec
import pytest
import zstandard
from rattler import Channel, Gateway, MatchSpec, SourceConfig

from ecosystems.conda.body import build
from ecosystems.conda.shards import INDEX_NAME, shard_bytes, shard_index
from tests.ecosystems.conda.indexes import SUBDIR, bodies, compact, file_name, index, record
from tests.loops import finish

MANY = [record(name, f"1.{n}") for name in ("numpy", "python") for n in range(3)]


def unpacked(data):
    return msgspec.msgpack.decode(zstandard.decompress(data))


def test_a_shard_says_what_its_body_says_with_hashes_as_bytes(tmp_path):
    text = compact(index(*MANY, packages=MANY, removed=["numpy-0.1-0.conda"]))
    body = bodies(text, tmp_path)["numpy"]
    expected = json.loads(body)
    for kind in ("packages", "packages.conda"):
        for fields in expected[kind].values():
            fields["sha256"] = bytes.fromhex(fields["sha256"])
            fields["md5"] = bytes.fromhex(fields["md5"])
    assert unpacked(shard_bytes(body)) == expected


def test_an_empty_shard_has_all_three_keys():
    expected = {"packages": {}, "packages.conda": {}, "removed": []}
    assert unpacked(shard_bytes(build((), ()))) == expected


def test_equal_bodies_give_equal_shards(tmp_path):
    one = bodies(compact(index(*MANY)), tmp_path)["numpy"]
    two = bodies(compact(index(*MANY[::-1])), tmp_path)["numpy"]
    assert shard_bytes(one) == shard_bytes(two)


def test_a_hash_that_is_missing_or_null_stays_so():
    fields = record(md5=None) | {"md5": None}
    found = unpacked(shard_bytes(build([(file_name(fields), compact(fields))], ())))
    assert found["packages.conda"][file_name(fields)]["md5"] is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e999", float("inf")),
        ("9" * 30, 1e30),
        ("-" + "9" * 400, float("-inf")),
        ("18446744073709551615", 18446744073709551615),
    ],
)
def test_numbers_larger_than_msgpack_has_are_written_as_well_as_can_be(text, number):
    raw = compact(record())[:-1] + b',"odd":' + text.encode() + b"}"
    found = unpacked(shard_bytes(build([(file_name(record()), raw)], ())))
    assert found["packages.conda"][file_name(record())]["odd"] == number


def test_the_index_lists_every_shard_in_the_form_all_clients_take():
    items = [("zlib", b"z" * 32), ("numpy", b"n" * 32)]
    found = shard_index(SUBDIR, items)
    assert unpacked(found) == {
        "version": 1,
        "info": {"subdir": SUBDIR, "base_url": "./", "shards_base_url": "./shards/"},
        "shards": {"numpy": b"n" * 32, "zlib": b"z" * 32},
    }
    assert found == shard_index(SUBDIR, items[::-1])


class _Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format, *args):
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path):
    """A folder on a real port: (folder, address, paths asked for)."""
    folder = tmp_path / "channel"
    folder.mkdir()
    asked = []
    handler = type("Handler", (_Quiet,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def publish(folder, found, subdir):
    (folder / subdir / "shards").mkdir(parents=True)
    items = []
    for name, body in found.items():
        data = shard_bytes(body)
        digest = hashlib.sha256(data)
        items.append((name, digest.digest()))
        (folder / subdir / "shards" / f"{digest.hexdigest()}.msgpack.zst").write_bytes(data)
    (folder / subdir / INDEX_NAME).write_bytes(shard_index(subdir, items))


def test_a_real_client_finds_its_packages_through_shards_alone(tmp_path, served):
    folder, address, asked = served
    fields = [*MANY, record("numpy", "2.0", depends=["python"])]
    publish(folder, bodies(compact(index(*fields, packages=MANY)), tmp_path), SUBDIR)
    publish(folder, {}, "noarch")
    gateway = Gateway(
        cache_dir=tmp_path / "cache", default_config=SourceConfig(sharded_enabled=True)
    )
    query = gateway.query([Channel(address)], [SUBDIR, "noarch"], [MatchSpec("numpy")])
    found = [one for part in finish(_wait(query)) for one in part]
    numpy = {file_name(r) for r in fields if r["name"] == "numpy"}
    files = {one.file_name for one in found}
    assert numpy <= files
    assert {one.name.normalized for one in found} == {"numpy", "python"}
    one = next(one for one in found if one.file_name == "numpy-2.0-py312_0.conda")
    assert one.sha256.hex() == record()["sha256"]
    assert one.url == f"{address}/{SUBDIR}/{one.file_name}"
    assert not [path for path in asked if "repodata.json" in path]


async def _wait(query):
    return await query
