"""Reading an index: whatever its form, the same shards, or a sentence."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecosystems.conda import json_stream
from ecosystems.conda.repodata import read
from ecosystems.errors import BadIndex
from ecosystems.progress import never_stop
from tests.ecosystems.conda.indexes import (
    SUBDIR,
    blocks,
    bodies,
    compact,
    file_name,
    index,
    read_text,
    record,
)

MANY = [
    record(name, f"1.{minor}", f"h{build}_0")
    for name in ("libblas", "numpy", "python", "python-abi", "python_abi")
    for minor in (1, 2, 10)
    for build in ("a", "b")
]


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch):
    # So that small indexes are cut as large ones are.
    monkeypatch.setattr(json_stream, "GROUP", 700)


def body_of(conda, packages=(), removed=()):
    """What a canonical body is, said in another way."""
    kinds = {
        "packages": {file_name(r, ".tar.bz2"): r for r in packages},
        "packages.conda": {file_name(r): r for r in conda},
    }
    ordered = {key: dict(sorted(kind.items())) for key, kind in kinds.items()}
    return compact(ordered | {"removed": sorted(removed)})


def test_a_shard_holds_all_records_of_one_name(tmp_path):
    found = bodies(compact(index(*MANY, packages=MANY[:12])), tmp_path)
    assert list(found) == ["libblas", "numpy", "python", "python-abi", "python_abi"]
    for name, body in found.items():
        conda = [r for r in MANY if r["name"] == name]
        packages = [r for r in MANY[:12] if r["name"] == name]
        assert body == body_of(conda, packages)


@pytest.mark.parametrize("size", [1, 7, 100, 5000, 10**6])
def test_the_size_of_blocks_does_not_matter(tmp_path, size):
    text = compact(index(*MANY, packages=MANY))
    assert bodies(text, tmp_path, size=size) == bodies(text, tmp_path, size=64)


def test_an_indented_index_keeps_its_records_byte_for_byte(tmp_path):
    text = json.dumps(index(*MANY), indent=2).encode()
    found = bodies(text, tmp_path)
    assert len(found) == 5
    for body in found.values():
        assert body.count(b'{\n      "build": ') == 6
    for kept in MANY:
        alone = json.dumps({"packages.conda": {"": kept}}, indent=2).encode()
        raw = alone[alone.index(b'"": {') + 4 : -len(b"\n  }\n}")]
        assert raw in text
        assert raw in found[kept["name"]]


def test_the_order_of_records_does_not_matter(tmp_path):
    mixed = MANY[1::2] + MANY[::2][::-1]
    assert bodies(compact(index(*mixed)), tmp_path) == bodies(compact(index(*MANY)), tmp_path)


def test_the_order_of_top_level_keys_does_not_matter(tmp_path):
    content = index(*MANY, packages=MANY, removed=["numpy-0.9-0.conda"])
    turned = dict(reversed(content.items()))
    assert bodies(compact(turned), tmp_path) == bodies(compact(content), tmp_path)


def test_objects_and_odd_texts_within_records_are_no_cuts(tmp_path):
    odd = [
        record(
            version=f"2.{number}",
            summary='},"x-1-0.conda":{"a":{}}}',
            inner={"y-1-0.conda": {"z": {}}, "k": {"packages.conda": {"numpy-2.1-0.conda": {}}}},
            tail={"q": [{"r": {}}]},
        )
        for number in range(9)
    ]
    found = bodies(compact(index(*odd, packages=odd)), tmp_path)
    assert found == {"numpy": body_of(odd, odd)}


def test_names_that_need_escaping_are_escaped_in_the_body(tmp_path):
    content = index(record())
    content["packages.conda"]['numpy-1-"0\\é.conda'] = {"x": 1}
    body = bodies(compact(content), tmp_path)["numpy"]
    assert json.loads(body)["packages.conda"]['numpy-1-"0\\é.conda'] == {"x": 1}


@pytest.mark.parametrize("apart", [0, 40])
def test_of_a_file_listed_twice_the_last_record_counts(tmp_path, apart):
    first, last = record(size=1), record(size=2)
    others = MANY[:apart]
    entries = [(file_name(r), r) for r in [first, *others, last]]
    inner = ",".join(f"{json.dumps(file)}:{json.dumps(r)}" for file, r in entries)
    with read_text(b'{"packages.conda":{' + inner.encode() + b"}}", tmp_path) as found:
        shards = {shard.name: shard for shard in found.shards(never_stop)}
        files = json.loads(shards["numpy"].body)["packages.conda"]
        assert files[file_name(last)]["size"] == 2
        assert shards["numpy"].count == len(files)
        assert found.listed["packages.conda"] == len({file for file, _ in entries})
        [warning] = found.repeated_warnings()
        assert warning.startswith(f"1 file name is listed again: {file_name(last)}; the last")


@pytest.mark.parametrize("layout", [(",", ":"), (", ", ": "), (" ,\n ", " :\t")])
@pytest.mark.parametrize("inner", [{}, {"odd": {"a": {}}, "license": 'a "},{" b'}])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_files_listed_again_are_counted_in_every_layout(tmp_path, layout, inner, times):
    comma, colon = layout
    entries = [(file_name(r), r | inner) for r in [*MANY, *(MANY[:1] * times)]]
    text = comma.join(
        f"{json.dumps(file)}{colon}{json.dumps(r, separators=layout)}" for file, r in entries
    )
    with read_text(b'{"packages.conda":{' + text.encode() + b"}}", tmp_path, size=4096) as found:
        counted = sum(shard.count for shard in found.shards(never_stop))
        assert (counted, found.repeated.count) == (len(MANY), times)
        assert found.repeated.names == ([file_name(MANY[0])] if times else [])
        assert bool(found.repeated_warnings()) == bool(times)


def test_a_file_listed_under_both_kinds_is_counted_once(tmp_path):
    one = record(size=1)
    content = index(record(size=2))
    content["packages"][file_name(one)] = one
    with read_text(compact(content), tmp_path) as found:
        assert sum(shard.count for shard in found.shards(never_stop)) == 1
        assert found.repeated.count == 1


@pytest.mark.parametrize("text", [b"{}", b" { } \n", b'{"info":{},"packages":{}}'])
def test_an_empty_channel_is_valid(tmp_path, text):
    assert bodies(text, tmp_path) == {}


def test_what_stands_beside_the_records_is_told(tmp_path):
    content = index(
        *MANY,
        info={"subdir": SUBDIR, "base_url": "../files/", "repodata_revisions": {"v3": {}}},
        removed=["numpy-0.9-0.conda", 5],
        v3={"conda": {"numpy-3-0": {"a": {"b": 1}}, "numpy-4-0": {}}, "whl": {}, "x": None},
        signatures={file_name(r): {"key": {"signature": "0"}} for r in MANY},
        other={"kept": True},
        large="x" * 70_000,
    )
    with read_text(compact(content), tmp_path) as found:
        assert found.base_url == "../files/"
        assert "repodata_revisions" not in found.info
        assert found.removed == ["numpy-0.9-0.conda"]
        assert found.v3_records == 2
        assert found.signatures.names == found.names
        assert found.listed == {"packages": 0, "packages.conda": len(MANY)}
        removed = {s.name: json.loads(s.body)["removed"] for s in found.shards(never_stop)}
        assert removed["numpy"] == ["numpy-0.9-0.conda"]
        assert removed["python"] == []


def test_a_signature_under_a_key_that_is_not_text_is_counted_and_is_no_record(tmp_path):
    content = compact(index(record(), signatures={"a-1-0.conda": {}}))
    content = content.replace(b'"signatures":{', b'"signatures":{"caf\xe9-1-0.conda":{},', 1)
    with read_text(content, tmp_path) as found:
        assert found.signatures.names == ["a"]
        assert found.signatures.invalid_count == 1
        assert (found.invalid_count, sum(found.listed.values())) == (0, 1)


def test_no_record_of_v3_is_taken_over(tmp_path):
    content = index(record(), v3={"conda": {"secret-1-0": record("secret")}})
    assert list(bodies(compact(content), tmp_path)) == ["numpy"]


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "..\\x", ".hidden", "NumPy", "a\u202eb", "x" * 65]
)
def test_a_bad_package_name_is_refused_and_counted_m01(tmp_path, name):
    content = index(record())
    content["packages.conda"][f"{name}-1-0.conda"] = record(name, "1", "0")
    with read_text(compact(content), tmp_path) as found:
        assert found.names == ["numpy"]
        assert found.invalid_count == 1
        assert found.invalid[0].filename == f"{name}-1-0.conda"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"<!DOCTYPE html><html>", "HTML was received"),
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"[]", "does not begin with"),
        (b"\x28\xb5\x2f\xfd", "does not begin with"),
        (b'{"packages":[]}', "`packages` in the index is not an object"),
        (b'{"info":[]}', "`info` in the index is not an object"),
        (b'{"packages":{},"packages":{}}', "`packages` twice"),
        (b'{"info":{"subdir":"osx-64"}}', "the one of `osx-64`, not of `linux-64`"),
        (b"{} {}", "goes on after its end"),
        (b"{5:6}", "a key is not a text"),
        (b'{"info" {}}', "`:` expected"),
    ],
)
def test_what_is_no_index_is_told_in_a_sentence(tmp_path, text, sentence):
    with pytest.raises(BadIndex, match=sentence):
        bodies(text, tmp_path)


def test_an_index_cut_anywhere_is_told_from_a_whole_one(tmp_path):
    text = compact(index(*MANY[:3], packages=MANY[:2], removed=["numpy-0.9-0.conda"]))
    for end in range(1, len(text)):
        with pytest.raises(BadIndex, match="ended in the middle"):
            bodies(text[:end], tmp_path)


def test_a_stop_ends_the_reading_and_leaves_nothing(tmp_path):
    calls = iter(range(3))

    def stop():
        if next(calls, None) is None:
            raise InterruptedError

    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(InterruptedError):
        read(blocks(compact(index(*MANY))), subdir=SUBDIR, work=work, stop=stop)
    assert list(work.iterdir()) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('{},":\\[]a é', max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=9,
)
file_names = st.from_regex(r"[ab]{1,2}-[0-9]-[0-9]\.conda", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(
    members=st.dictionaries(file_names, json_values, max_size=12),
    indent=st.sampled_from([None, 1, 4]),
    size=st.integers(1, 90),
)
def test_any_json_is_read_as_json_loads_reads_it(tmp_path_factory, members, indent, size):
    old = {file.replace(".conda", ".tar.bz2"): value for file, value in members.items()}
    text = json.dumps({"packages.conda": members, "packages": old}, indent=indent).encode()
    found = bodies(text, tmp_path_factory.getbasetemp(), size=size)
    merged = {"packages": {}, "packages.conda": {}}
    for body in found.values():
        for kind, kept in merged.items():
            kept.update(json.loads(body)[kind])
    assert merged == {"packages": old, "packages.conda": members}
