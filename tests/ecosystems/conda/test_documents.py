"""The index files of a subdir and of the root: one set, whatever the upstream adds."""

import hashlib
import json

import zstandard

from ecosystems.conda.documents import documents
from ecosystems.conda.shards import shard_bytes
from tests.ecosystems.conda.indexes import SUBDIR, bodies, compact, file_name, index, record

MANY = [record(name, f"1.{n}") for name in ("numpy", "python") for n in range(2)]


def shards_of(found):
    def shards():
        for name, body in found.items():
            yield name, body, hashlib.sha256(shard_bytes(body)).hexdigest()

    return shards


def make(found, folder, extras=None, section=SUBDIR):
    folder.mkdir(exist_ok=True)
    return {d.name: d for d in documents(section, shards_of(found), folder, extras or {})}


def text(document):
    data = document.path.read_bytes()
    return json.loads(zstandard.decompress(data) if document.packed else data)


def test_a_subdir_has_its_index_in_all_forms(tmp_path):
    found = bodies(compact(index(*MANY)), tmp_path)
    made = make(found, tmp_path / "out")
    assert list(made) == ["repodata.json.zst", "repodata.json", "repodata_shards.msgpack.zst"]
    assert len({document.etag for document in made.values()}) == 3
    assert text(made["repodata.json"]) == index(*MANY)
    for document in made.values():
        assert hashlib.sha256(document.path.read_bytes()).hexdigest() == document.sha256


def test_run_exports_are_those_of_published_files_and_the_first_source_wins(tmp_path):
    files = [file_name(r) for r in MANY]
    sources = []
    for number, listed in enumerate((files[:1], files[:3], None)):
        exports = {file: {"run_exports": {"weak": [f"from-{number}"]}} for file in listed or ()}
        content = {"info": {"subdir": SUBDIR}, "packages": {}, "packages.conda": exports}
        sources.append(tmp_path / f"run_exports-{number}")
        sources[-1].write_bytes(compact(content) if listed else b"<html>")
    sources[1].write_bytes(zstandard.compress(sources[1].read_bytes()))
    found = bodies(compact(index(MANY[0], MANY[2])), tmp_path)
    made = make(found, tmp_path / "out", {"run_exports.json": sources})
    assert text(made["run_exports.json"])["packages.conda"] == {
        files[0]: {"run_exports": {"weak": ["from-0"]}},
        files[2]: {"run_exports": {"weak": ["from-1"]}},
    }
    assert "run_exports.json.zst" in made


def test_channeldata_tells_of_published_names_only(tmp_path):
    upstream = {
        "channeldata_version": 1,
        "packages": {
            "numpy": {"summary": "arrays", "subdirs": ["linux-64"]},
            "secret": {"summary": "not for us", "subdirs": ["win-64"]},
        },
        "subdirs": ["linux-64", "win-64"],
    }
    sources = [tmp_path / "bad", tmp_path / "good"]
    sources[0].write_bytes(b"<html>")
    sources[1].write_bytes(compact(upstream))
    found = bodies(compact(index(*MANY)), tmp_path)
    made = make(found, tmp_path / "out", {"channeldata.json": sources}, section="")
    assert text(made["channeldata.json"]) == {
        "channeldata_version": 1,
        "packages": {"numpy": {"summary": "arrays", "subdirs": ["linux-64"]}},
        "subdirs": ["linux-64", "noarch"],
    }
    assert text(made["notices.json"]) == {"notices": []}


def test_the_root_of_an_empty_channel_has_its_files(tmp_path):
    made = make({}, tmp_path / "out", section="")
    assert text(made["channeldata.json"])["packages"] == {}
