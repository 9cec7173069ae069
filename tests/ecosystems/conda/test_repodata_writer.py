"""Writing an index: the same set in every form, read back by us and by a real client."""

import hashlib
import json

import pytest
import zstandard
from rattler import Channel, RepoData, SparseRepoData

from ecosystems.conda.body import build
from ecosystems.conda.repodata_writer import write_repodata
from ecosystems.progress import never_stop
from tests.ecosystems.conda.indexes import SUBDIR, bodies, compact, file_name, index, record

MANY = [record(name, f"1.{n}") for name in ("numpy", "python", "zlib") for n in range(4)]
CONTENT = index(*MANY, packages=MANY[:6], removed=["numpy-0.1-0.conda", "zlib-0.1-0.tar.bz2"])


def write(found, folder):
    folder.mkdir(exist_ok=True)
    return write_repodata(SUBDIR, found, to=folder, stop=never_stop)


def plain(document):
    return zstandard.decompress(document.path.read_bytes())


def test_what_is_written_reads_back_as_the_same_shards(tmp_path):
    found = bodies(compact(CONTENT), tmp_path)
    stored, unpacked = write(found.values(), tmp_path / "out")
    assert json.loads(plain(stored)) == CONTENT
    assert plain(stored) == plain(unpacked)
    assert bodies(plain(stored), tmp_path) == found


def test_an_empty_index_is_a_whole_one(tmp_path):
    stored, _ = write([], tmp_path / "out")
    assert json.loads(plain(stored)) == index()


def test_documents_tell_size_and_hash_of_what_clients_get(tmp_path):
    stored, unpacked = write(bodies(compact(CONTENT), tmp_path).values(), tmp_path / "out")
    data, text = stored.path.read_bytes(), plain(stored)
    assert (stored.name, stored.size, stored.packed) == ("repodata.json.zst", len(data), False)
    assert (unpacked.name, unpacked.size, unpacked.packed) == ("repodata.json", len(text), True)
    assert stored.sha256 == unpacked.sha256 == hashlib.sha256(data).hexdigest()
    assert unpacked.path.read_bytes() == data
    assert stored.etag == f'"{stored.sha256}"'
    assert unpacked.etag == f'"{hashlib.sha256(text).hexdigest()}"'
    assert zstandard.get_frame_parameters(data).content_size == len(text)


def test_each_document_can_be_moved_away_by_itself(tmp_path):
    stored, unpacked = write([], tmp_path / "out")
    stored.path.unlink()
    assert json.loads(plain(unpacked)) == index()


def test_the_same_set_gives_the_same_bytes(tmp_path):
    turned = index(*MANY[::-1], packages=MANY[:6][::-1], removed=CONTENT["removed"][::-1])
    one, _ = write(bodies(compact(CONTENT), tmp_path).values(), tmp_path / "a")
    two, _ = write(bodies(compact(turned), tmp_path).values(), tmp_path / "b")
    assert one.sha256 == two.sha256


def test_records_that_look_like_the_borders_between_the_parts_do_no_harm(tmp_path):
    trap = {"packages": {}, "packages.conda": {}, "removed": []}
    found = [{"a": trap, "b": {"c": trap}, "removed": []}, {"d": {"removed": ["x"]}}]
    kept = [
        (f"numpy-1.{n}-0{end}", compact(raw))
        for n, raw in enumerate(found * 2)
        for end in (".conda", ".tar.bz2")
    ]
    stored, _ = write([build(kept, ["numpy-0-0.conda"])], tmp_path / "out")
    content = json.loads(plain(stored))
    assert content["removed"] == ["numpy-0-0.conda"]
    for file, raw in kept:
        kind = "packages.conda" if file.endswith(".conda") else "packages"
        assert content[kind][file] == json.loads(raw)


def test_base_url_and_other_words_of_the_upstream_are_not_passed_on_m03(tmp_path):
    info = {"subdir": SUBDIR, "base_url": "https://elsewhere.example/", "channel_relations": {}}
    text = compact(CONTENT | {"info": info, "v3": {"conda": {}}, "other": 1})
    stored, _ = write(bodies(text, tmp_path).values(), tmp_path / "out")
    assert json.loads(plain(stored)) == CONTENT


def test_a_stop_ends_the_writing(tmp_path):
    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write_repodata(SUBDIR, [build((), ())], to=tmp_path, stop=stop)


def test_a_real_client_reads_the_index(tmp_path):
    stored, _ = write(bodies(compact(CONTENT), tmp_path).values(), tmp_path / "out")
    path = tmp_path / "repodata.json"
    path.write_bytes(plain(stored))
    channel = Channel("test", None)
    whole = RepoData.from_path(path).into_repo_data(channel)
    expected = {file_name(r) for r in MANY} | {file_name(r, ".tar.bz2") for r in MANY[:6]}
    assert {r.file_name for r in whole} == expected
    sparse = SparseRepoData(channel, SUBDIR, path)
    assert sorted(sparse.package_names()) == ["numpy", "python", "zlib"]
