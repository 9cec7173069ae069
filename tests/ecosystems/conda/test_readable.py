"""What is published can be read by clients, and what clients read is published.

The oracle is rattler (pixi, rattler-build); Python's own reader stands for conda.
"""

import asyncio
import json

import pytest
from rattler import Channel, Gateway, Platform

from ecosystems.conda.body import build
from ecosystems.conda.readable import readable
from ecosystems.conda.records import records
from ecosystems.conda.repodata import read
from ecosystems.progress import never_stop
from ecosystems.records import Invalid
from tests.ecosystems.conda.indexes import SUBDIR, blocks, compact, file_name, index, record

FILE = file_name(record())
LISTS = ("[1]", '"x"', '["x",null]', "{}", "3")
TAKEN = {
    "constrains": ["[]"],
    "depends": ["[]", '["x ==*=1 = ="]'],
    "extra_depends": ['{"a":["x"]}'],
    "features": ["null", '"a"'],
    "legacy_bz2_md5": ["null", '"' + "ab" * 16 + '"'],
    "legacy_bz2_size": ["null", "1"],
    "license": ["null", '""', '"a\\u0000b"'],
    "md5": ["null"],
    "noarch": ["null", "true", "false", '"python"', '"generic"', '""'],
    "platform": ["null", '"linux"'],
    "purls": ["null", '["pkg:conda/numpy"]'],
    "run_exports": ["null", '{"weak":["x"]}', '{"other":3}'],
    "sha256": ["null", '"' + "AB" * 32 + '"'],
    "size": ["null", "1"],
    "subdir": ['"noarch"', '"linux-32"', '""'],
    "timestamp": ["null", "-5", "0", "1719972900"],
    "track_features": ['"a b"', '["a"]', '""'],
    "other": ["NUMBER", "[[[]]]", "1e400", '"\\\\ud83d"', "12345678901234567890123"],
}
"""Values that rattler reads, as JSON: published as they are."""

MENDED = {
    "constrains": [("null", [])],
    "depends": [("null", [])],
    "extra_depends": [(text, ...) for text in ("null", "[]", '{"a":null}')],
    "features": [('["a"]', ...)],
    "flags": [(text, ...) for text in ("null", '"x"')],
    "arch": [("3", ...)],
    "legacy_bz2_md5": [('"x"', ...), ('""', ...)],
    "legacy_bz2_size": [('"x"', ...), ("-1", ...), ("2.0", 2)],
    "license": [('["MIT"]', ...), ("3", ...)],
    "license_family": [("3", ...)],
    "md5": [('""', ...)],
    "noarch": [('"null"', ...), ("1", ...)],
    "platform": [("[]", ...)],
    "purls": [('"x"', ...), ('["x"]', ...)],
    "python_site_packages_path": [("3", ...)],
    "run_exports": [(text, ...) for text in ('["x"]', '{"weak":"x"}', '{"weak":null}')],
    "size": [("1.0", 1)],
    "subdir": [("null", ...), ("3", ...)],
    "timestamp": [
        ("1719972900.25", 1719972900),
        ("1719972900123.5", 1719972900123),
        ("1719972900000.0", 1719972900000),
        ('"x"', ...),
        ("1e30", ...),
        ("99999999999999999999", ...),
    ],
    "track_features": [("null", ...), ("3", ...), ("[null]", ...)],
}
"""Values that rattler does not read, and what becomes of them; `...` = the key goes."""

REFUSED = {
    "depends": LISTS,
    "constrains": LISTS,
    "license": ('"MIT \\udc80"',),
    "summary": ('"smile \\ud83d cut"', '"caf\udce9"', '"\\q"', "NaN", "tru"),
    "name": ("null", "3"),
    "size": ('"1"', "-1", "true", "18446744073709551616"),
    "build_number": ("null", '"0"', "-1", "1.5"),
    "other": ("9" * 5000, "[" * 2000 + "]" * 2000),
}
"""Values that no client can do without, or that break a whole index for one of them."""


def odd(key, text):
    """A shard's body as read from an index of a good record and one with this value."""
    fields = {name: value for name, value in record().items() if name != key}
    raw = compact(fields)[:-1] + f',"{key}":{text}}}'.encode("utf-8", "surrogateescape")
    good = record(version="1.0")
    text = compact(index(good))[:-1].replace(
        b'"packages.conda":{', b'"packages.conda":{"' + FILE.encode() + b'":' + raw + b","
    )
    return raw, text + b"}"


def published(text, work):
    """The records that are published of an index: (file -> record, reasons, body)."""
    with read(blocks(text), subdir=SUBDIR, work=work, stop=never_stop) as found:
        (shard,) = found.shards(never_stop)
    listed = records(readable(shard.body), section=SUBDIR, name="numpy")
    kept = {one.filename: one.raw for one in listed if not isinstance(one, Invalid)}
    whys = [one.why for one in listed if isinstance(one, Invalid)]
    return kept, whys, build(kept.items(), ())


def read_by_clients(body, folder):
    """Whether rattler and Python read every record of a published index."""
    where = folder / SUBDIR
    where.mkdir()
    (where / "repodata.json").write_bytes(body)

    async def query():
        channel = Channel(folder.as_uri())
        return await Gateway().query([channel], [Platform(SUBDIR)], ["numpy"], recursive=False)

    found = {one.file_name for part in asyncio.run(query()) for one in part}
    listed = json.loads(body)
    json.dumps(listed, ensure_ascii=False).encode()
    return found == {*listed["packages"], *listed["packages.conda"]}


@pytest.mark.parametrize(("key", "text"), [(k, t) for k, texts in TAKEN.items() for t in texts])
def test_what_clients_read_is_published_byte_for_byte(tmp_path, key, text):
    text = text.replace("NUMBER", "9" * 4000)
    raw, index_text = odd(key, text)
    kept, whys, body = published(index_text, tmp_path)
    assert whys == []
    assert kept[FILE] == raw
    assert read_by_clients(body, tmp_path)


@pytest.mark.parametrize(
    ("key", "text", "value"), [(k, *case) for k, cases in MENDED.items() for case in cases]
)
def test_an_optional_value_that_clients_cannot_read_is_mended_or_taken_out(
    tmp_path, key, text, value
):
    raw, index_text = odd(key, text)
    kept, whys, body = published(index_text, tmp_path)
    assert whys == []
    expected = {name: old for name, old in json.loads(raw).items() if name != key}
    if value is not ...:
        expected[key] = value
    assert json.loads(kept[FILE]) == expected
    assert read_by_clients(body, tmp_path)


@pytest.mark.parametrize(("key", "text"), [(k, t) for k, texts in REFUSED.items() for t in texts])
def test_a_record_that_no_client_can_use_costs_no_other(tmp_path, key, text):
    _, index_text = odd(key, text)
    kept, whys, body = published(index_text, tmp_path)
    assert list(kept) == [file_name(record(version="1.0"))]
    assert len(whys) == 1
    assert whys[0].startswith("The record")
    assert read_by_clients(body, tmp_path)


@pytest.mark.parametrize(
    "repeated",
    [
        '"version":"1.26.0"',
        '"version" :"1.26.0"',
        '"v\\u0065rsion":"1.26.0"',
        '"depends":["evil"]',
        '"run_exports":{"weak":[],"weak":["x"]}',
        '"other":1,"other":2',
        '"other":1,"other" :"\\":"',
    ],
)
def test_a_record_with_a_key_twice_is_invalid_and_costs_no_other(tmp_path, repeated):
    fields = record()
    raw = compact(fields)
    text = compact(index(fields, record(version="1.0")))
    assert text.count(raw) == 1
    text = text.replace(raw, raw[:-1] + b"," + repeated.encode() + b"}")
    kept, whys, body = published(text, tmp_path)
    assert list(kept) == [file_name(record(version="1.0"))]
    assert whys == ["The record has a key twice."]
    assert read_by_clients(body, tmp_path)


def test_a_text_that_looks_like_a_key_is_no_key_twice(tmp_path):
    text = compact(
        index(record(summary='say "name":', license='"version" :'), record(version="1.0"))
    )
    kept, whys, _ = published(text, tmp_path)
    assert (len(kept), whys) == (2, [])


def test_files_listed_among_the_other_kind_are_sorted_in(tmp_path):
    content = index(record(), packages=[record(version="2.0")])
    content["packages"], content["packages.conda"] = content["packages.conda"], content["packages"]
    kept, whys, body = published(compact(content), tmp_path)
    assert whys == []
    assert sorted(kept) == [FILE, "numpy-2.0-py312_0.tar.bz2"]
    listed = json.loads(body)
    assert list(listed["packages.conda"]) == [FILE]
    assert list(listed["packages"]) == ["numpy-2.0-py312_0.tar.bz2"]


@pytest.mark.parametrize(
    "change",
    [
        {"removed": {}},
        {"removed": None},
        {"removed": "x"},
        {"repodata_version": None},
        {"repodata_version": "1"},
        {"info": None},
        {"info": {"subdir": None}},
        {"info": {}},
        {"packages": None},
        {"signatures": 3},
        {"other": "DIGITS"},
    ],
)
def test_an_odd_key_at_the_top_costs_no_record(tmp_path, change):
    content = index(record()) | change
    text = compact(content).replace(b'"DIGITS"', b"9" * 5000)
    kept, whys, _ = published(text, tmp_path)
    assert (list(kept), whys) == ([FILE], [])


def test_a_key_that_is_not_text_is_counted(tmp_path):
    text = compact(index(record())).replace(
        b'"packages":{', b'"packages":{"caf\xe9-1-0.conda":{},"\\ud83d-1-0.conda":{},'
    )
    with read(blocks(text), subdir=SUBDIR, work=tmp_path, stop=never_stop) as found:
        assert found.names == ["numpy"]
        assert found.invalid_count == 2
        assert sum(found.listed.values()) == 3
