"""A client that reads every index form, and all the files in it, as long as a block lasts.

    with Reader(url, {"conda": before & after, ...}) as reader:
        ...                       # an update goes on
        reader.rounds(2)          # whole rounds that begin from here on
    reader.check()                # nothing went wrong in any of them

It knows what has to be listed in every form at any time, and which bytes a name may have.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import msgpack
import requests
import zstandard

from ecosystems.cran import rds
from tests.simpletree import JSON_TYPE

Round = Callable[["Reader"], None]
SOURCE = "cran/src/contrib"


@dataclass(frozen=True)
class Known:
    """What is known of one type: names always listed, the fewest there may be, bytes by name."""

    always: frozenset[str]
    least: int
    digests: dict[str, set[str]]


@dataclass
class Reader:
    """Reads `base` (a channel's address) round after round in a thread of its own."""

    base: str
    known: dict[str, Known]
    complaints: list[str] = field(default_factory=list)
    seen: dict[str, set[str]] = field(default_factory=dict)
    """By type: the file names of the last round."""

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._turned = threading.Condition()
        self._begun = self._ended = 0
        self._session = requests.Session()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.rounds(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)
        self._session.close()
        assert not self._thread.is_alive()

    def rounds(self, number: int) -> None:
        """Wait for so many whole rounds that begin after this moment."""
        with self._turned:
            wanted = self._begun + number
            assert self._turned.wait_for(lambda: self._ended >= wanted, 120), self.complaints

    def check(self) -> None:
        """Assert that no client would have noticed anything."""
        assert self._ended
        assert not self.complaints, self.complaints[:10]

    def get(self, path: str, **headers: str) -> bytes:
        """The body of a path that has to be there."""
        answer = self._session.get(f"{self.base}/{path}", headers=headers, timeout=60)
        if answer.status_code != 200:
            raise Complaint(f"{path}: {answer.status_code} {answer.text[:200]}")
        return answer.content

    def lists(self, kind: str, form: str, names: set[str]) -> None:
        """A form of an index has been read: these files are in it."""
        known = self.known[kind]
        if missing := known.always - names:
            self.complaints.append(f"{form} lacks {sorted(missing)}")
        if len(names) < known.least:
            self.complaints.append(f"{form} lists only {sorted(names)}")
        self.seen[kind] = names

    def file(self, kind: str, name: str, path: str) -> None:
        """A listed file is asked for, as a client does that has just read the index."""
        digest = hashlib.sha256(self.get(path)).hexdigest()
        if digest not in self.known[kind].digests[name]:
            self.complaints.append(f"{path} has bytes that the upstream never had")

    def _loop(self) -> None:
        while not self._end.is_set():
            with self._turned:
                self._begun += 1
            for kind, read in READS.items():
                if kind in self.known:
                    try:
                        read(self)
                    except Exception as error:  # noqa: BLE001 - whatever a client would meet
                        self.complaints.append(f"{kind}: {error!r}")
            with self._turned:
                self._ended = self._begun
                self._turned.notify_all()


class Complaint(Exception):
    """An answer that no client should get."""


def _conda(reader: Reader) -> None:
    expand = zstandard.ZstdDecompressor().decompress
    plain = _files(reader.get("noarch/repodata.json"))
    reader.lists("conda", "repodata.json", set(plain))
    reader.lists(
        "conda", "repodata.json.zst", set(_files(expand(reader.get("noarch/repodata.json.zst"))))
    )
    index = msgpack.unpackb(expand(reader.get("noarch/repodata_shards.msgpack.zst")))
    sharded: set[str] = set()
    for digest in index["shards"].values():
        shard = msgpack.unpackb(expand(reader.get(f"noarch/shards/{digest.hex()}.msgpack.zst")))
        sharded |= {*shard["packages"], *shard["packages.conda"]}
    reader.lists("conda", "shards", sharded)
    for name in sharded:
        reader.file("conda", name, f"noarch/{name}")


def _files(index: bytes) -> dict[str, Any]:
    found = json.loads(index)
    return {**found["packages"], **found["packages.conda"]}


def _python(reader: Reader) -> None:
    projects = {one["name"] for one in _json(reader, "simple/")["projects"]}
    anchors = set(re.findall(r">([^<>]+)</a>", reader.get("simple/", Accept="text/html").decode()))
    if not projects or not anchors:
        raise Complaint("the list of projects is empty")
    by_json: set[str] = set()
    by_html: set[str] = set()
    for project in sorted(projects):
        page = _json(reader, f"simple/{project}/")
        by_json |= {one["filename"] for one in page["files"]}
        html = reader.get(f"simple/{project}/", Accept="text/html").decode()
        by_html |= set(re.findall(r">([^<>]+\.whl)</a>", html))
    reader.lists("python", "JSON pages", by_json)
    reader.lists("python", "HTML pages", by_html)
    for name in by_html:
        project = name.partition("-")[0]
        reader.file("python", name, f"simple/{project}/{name}")
        reader.file("python", f"{name}.metadata", f"simple/{project}/{name}.metadata")


def _json(reader: Reader, path: str) -> Any:
    return json.loads(reader.get(path, Accept=JSON_TYPE))


def _cran(reader: Reader) -> None:
    plain = _stanzas(reader.get(f"{SOURCE}/PACKAGES"))
    packed = _stanzas(gzip.decompress(reader.get(f"{SOURCE}/PACKAGES.gz")))
    matrix = rds.read(gzip.decompress(reader.get(f"{SOURCE}/PACKAGES.rds")))
    reader.lists("CRAN", "PACKAGES", plain)
    reader.lists("CRAN", "PACKAGES.gz", packed)
    reader.lists("CRAN", "PACKAGES.rds", set(_rows(matrix)))
    for name in packed:
        reader.file("CRAN", name, f"{SOURCE}/{name}")


def _stanzas(text: bytes) -> set[str]:
    pairs = re.findall(r"^Package: (\S+)\nVersion: (\S+)$", text.decode(), re.MULTILINE)
    return {f"{name}_{version}.tar.gz" for name, version in pairs}


def _rows(matrix: Any) -> Iterator[str]:
    rows, columns = (int(size) for size in matrix.attributes[b"dim"].values)
    names = matrix.attributes[b"dimnames"].values[1].values
    cells = [matrix.values[at * rows : (at + 1) * rows] for at in range(columns)]
    by_name = dict(zip(names, cells, strict=True))
    for name, version in zip(by_name[b"Package"], by_name[b"Version"], strict=True):
        yield f"{name.decode()}_{version.decode()}.tar.gz"


READS: dict[str, Round] = {"conda": _conda, "python": _python, "CRAN": _cran}
