"""Records: read from a shard's body, refused one by one, built into a body again."""

import json

import pytest

from ecosystems.conda.body import build, entries, removed
from ecosystems.conda.records import newest, records, rewrites
from ecosystems.records import Invalid
from tests.ecosystems.conda.indexes import SUBDIR, bodies, compact, file_name, index, record

GOOD = [record(version=f"1.{minor}") for minor in range(4)]


def read(body, name="numpy"):
    return records(body, section=SUBDIR, name=name)


def body_with(fields, file=None, name="numpy"):
    """A body of good records and one other."""
    kind = {file_name(r): r for r in GOOD} | {file or file_name(record()): fields}
    return compact({"packages": {}, "packages.conda": kind, "removed": []})


def refused(fields, file=None):
    """Why the one bad record of a body is refused."""
    found = read(body_with(fields, file))
    bad = [one for one in found if isinstance(one, Invalid)]
    assert len(found) == len(GOOD) + 1
    assert len(bad) == 1, found
    return bad[0].why


def test_a_record_has_the_fields_rules_look_at_and_its_bytes(tmp_path):
    fields = record(license_family="BSD", build_number=3, timestamp=1_700_000_000_123)
    body = bodies(compact(index(fields, packages=[fields])), tmp_path)["numpy"]
    packages, conda = read(body)
    assert packages.filename == "numpy-1.26.4-py312_0.tar.bz2"
    assert conda.filename == "numpy-1.26.4-py312_0.conda"
    assert (conda.name, conda.version, conda.build) == ("numpy", "1.26.4", "py312_0")
    assert (conda.license, conda.license_family) == ("BSD-3-Clause", "BSD")
    assert (conda.build_number, conda.size) == (3, 12345)
    assert conda.timestamp == 1_700_000_000_123
    assert (conda.sha256, conda.md5) == (fields["sha256"], fields["md5"])
    assert conda.raw == compact(fields)


def test_value_gives_any_text_or_integer_of_the_record():
    fields = record(track_features="mkl", extra=7, flag=True, list=["x"], filename="f", raw="")
    found = {r.filename: r for r in read(body_with(fields))}[file_name(fields)]
    assert found.value("track_features") == "mkl"
    assert found.value("extra") == 7
    assert found.value("name") == "numpy"
    assert found.value("subdir") == SUBDIR
    assert found.value("size") == 12345
    for key in ("flag", "list", "absent"):
        assert found.value(key) is None


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (253_402_300_799, 253_402_300_799_000),
        (253_402_300_800, 253_402_300_800),
        (1_700_000_000_000.0, 1_700_000_000_000),
        (0, None),
        (-5, None),
        (10**18, None),
        (10**30, None),
        (1.5, 1000),
        ("2024", None),
        (True, None),
        (None, None),
    ],
)
def test_M10_build_times_are_milliseconds_or_none(stamp, expected):
    fields = record(timestamp=None) | {"timestamp": stamp}
    for kept in (read(body_with(fields))[-1], read(body_with(fields | {"license": None}))[-1]):
        assert kept.timestamp == expected


@pytest.mark.parametrize("license_", [None, 5, ["MIT"], {}])
def test_a_license_that_is_no_text_is_empty(license_):
    fields = record(license=None) | {"license": license_, "license_family": license_}
    found = read(body_with(fields))[-1]
    assert (found.license, found.license_family) == ("", "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "other"}, "name is not the one in the file name"),
        ({"name": "NumPy"}, "name is not the one in the file name"),
        ({"version": "1.26.5"}, "version is not the one"),
        ({"version": 1}, "version is not the one"),
        ({"build": "py313_0"}, "build is not the one"),
    ],
)
def test_a_record_that_contradicts_its_file_name_is_refused_m02(change, why):
    assert why in refused(record() | change)


@pytest.mark.parametrize(
    "file",
    [
        "numpy-1/2-0.conda",
        "numpy-1-..\\x.conda",
        "numpy-1-\u202e0.conda",
        "numpy-1-0\n.conda",
        "numpy-1-0\x00.conda",
        "numpy-1-%2e%2e%2f.conda",
        "numpy-1--.conda",
        "numpy-1-" + "b" * 300 + ".conda",
        "numpy-1-0.CONDA",
        "numpy-1-0.zip",
        "numpy-1-0",
        "numpy-" + "1" * 65 + "-0.conda",
    ],
)
def test_a_file_name_outside_the_grammar_is_refused_m01(file):
    stem = file.removesuffix(".conda")
    _, version, build_ = stem.rsplit("-", 2)
    assert "naming rules" in refused(record(version=version, build=build_), file)


def test_a_file_of_the_other_kind_is_refused():
    assert "must end in .conda" in refused(record(), file_name(record(), ".tar.bz2"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": None, "md5": None}, "neither a sha256 nor an md5"),
        ({"sha256": "", "md5": ""}, "neither a sha256 nor an md5"),
        ({"sha256": "ab"}, "sha256 is not 64"),
        ({"sha256": "zz" * 32}, "sha256 is not 64"),
        ({"sha256": "a " * 32}, "sha256 is not 64"),
        ({"sha256": 5}, "sha256 is not 64"),
        ({"md5": "ab" * 20}, "md5 is not 32"),
    ],
)
def test_a_record_without_a_usable_hash_is_refused_m04(change, why):
    assert why in refused(record() | change)


@pytest.mark.parametrize("size", [10**30, 1.5, "12", True])
def test_a_record_whose_size_makes_no_sense_is_refused(size):
    assert "no size" in refused(record() | {"size": size})


def test_a_record_without_a_size_is_taken_as_clients_take_it():
    assert [found.size for found in read(body_with(record(size=None)))][-1] == -1


def test_clients_go_by_the_folder_whatever_the_record_says_of_its_subdir():
    assert read(body_with(record(subdir="noarch")))[-1].subdir == "noarch"


@pytest.mark.parametrize("number", [None, -1, "0", True, 10**12])
def test_a_record_without_a_usable_build_number_is_refused(number):
    fields = record(build_number=None)
    assert "no build number" in refused(
        fields | ({} if number is None else {"build_number": number})
    )


@pytest.mark.parametrize("value", [None, 5, [], [1]])
def test_a_record_that_is_no_object_is_refused(value):
    assert "not an object" in refused(value)


def test_one_hash_of_the_two_is_enough():
    for key in ("sha256", "md5"):
        found = read(body_with({k: v for k, v in record().items() if k != key}))[-1]
        assert getattr(found, key) == ""


def test_hashes_are_told_in_small_letters():
    assert read(body_with(record(sha256="AB" * 32)))[-1].sha256 == "ab" * 32


@pytest.mark.parametrize("key", ['"url"', '"\\u0075rl"', '"channel"', '"fn"'])
def test_what_leads_clients_past_us_is_cut_out_and_nothing_else_m03(key):
    clean = compact(record(note="url"))
    raw = clean[:-1] + b"," + key.encode() + b':"https://elsewhere.example/numpy.conda"}'
    body = body_with(record()).replace(compact(record()), raw)
    assert rewrites(body)
    assert read(body)[-1].raw == clean
    assert b"elsewhere" not in build([(r.filename, r.raw) for r in read(body)], ())


def test_a_file_name_of_its_own_is_no_lead():
    fields = record(fn=file_name(record()))
    assert read(body_with(fields))[-1].raw == compact(fields)


def test_nothing_is_rewritten_where_nothing_leads_away():
    assert not rewrites(body_with(record(home="https://numpy.example")))


def test_what_all_its_records_build_is_the_body_itself(tmp_path):
    content = index(*GOOD, packages=GOOD[:2], removed=["numpy-0.1-0.conda"])
    body = bodies(compact(content), tmp_path)["numpy"]
    kept = [(r.filename, r.raw) for r in reversed(read(body))]
    assert build(kept, removed(body)) == body
    assert entries(body) == dict(kept)


def test_newest_is_the_newest_build_time():
    assert newest(body_with(record(timestamp=1_800_000_000))) == 1_800_000_000_000
    assert newest(body_with(record(timestamp="never"))) == 1_700_000_000_000
    assert newest(build((), ())) == 0


def test_odd_but_harmless_records_keep_their_neighbours_quick_and_right(tmp_path):
    odd = record(version="2!1.0+local", build="h_1.x+y", license=None) | {"license": None}
    body = bodies(json.dumps(index(*GOOD, odd), indent=2).encode(), tmp_path)["numpy"]
    found = read(body)
    assert not [one for one in found if isinstance(one, Invalid)]
    assert {one.version for one in found} == {*(r["version"] for r in GOOD), "2!1.0+local"}
