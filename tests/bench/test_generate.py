"""The generator of indexes: the same seed, the same bytes; a next day that differs little."""

import json

import pytest

from bench.generate import compressed, decompressed, index, next_day
from bench.limit import measure
from ecosystems.conda.records import records
from ecosystems.conda.repodata import read
from ecosystems.progress import never_stop
from ecosystems.records import Invalid

RECORDS = 3000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = tmp_path_factory.mktemp("bench") / "index.json.zst"
    compressed(index(records=RECORDS, seed=1, subdir="linux-64"), made)
    return made


def text(path):
    return json.loads(b"".join(decompressed(path)))


def test_the_same_seed_gives_the_same_index():
    one, two = (b"".join(index(records=500, seed=7, subdir="noarch")) for _ in range(2))
    assert one == two
    assert one != b"".join(index(records=500, seed=8, subdir="noarch"))


def test_every_record_is_one_that_is_published(path, tmp_path):
    with read(decompressed(path), subdir="linux-64", work=tmp_path, stop=never_stop) as found:
        assert sum(found.listed.values()) == RECORDS
        assert found.listed["packages"] > RECORDS / 5
        for shard in found.shards(never_stop):
            kept = records(shard.body, section="linux-64", name=shard.name)
            assert not [one for one in kept if isinstance(one, Invalid)]


def test_the_next_day_differs_by_about_delta(path, tmp_path):
    later = tmp_path / "later.json.zst"
    compressed(next_day(decompressed(path), delta=0.05, seed=1), later)
    before, after = text(path), text(later)
    differing = sum(
        before[kind].get(file) != after[kind].get(file)
        for kind in ("packages", "packages.conda")
        for file in before[kind].keys() | after[kind].keys()
    )
    assert 0.01 < differing / RECORDS < 0.12


def test_the_limit_sees_every_record_and_byte(path):
    found = measure(path)
    assert found.records == RECORDS
    assert found.size == sum(map(len, decompressed(path)))
    assert 0 < found.compressed < found.size
