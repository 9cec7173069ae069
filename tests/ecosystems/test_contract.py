"""What every type of packages promises: what it publishes, it reads back as it was.

A new type joins by giving a small upstream of its own in `SAMPLES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard

from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.documents import Page
from ecosystems.errors import SpecError
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    IndexNotModified,
    ParsedIndex,
    PreviousIndex,
)
from ecosystems.pack import Pack
from ecosystems.records import Invalid, Record
from ecosystems.upstream import Client, EgressPolicy
from tests.condatree import FakeConda
from tests.crantree import BUILT, FakeCran
from tests.simpletree import FakeSimple
from tests.upstream import Entry, FakeUpstream, Request


def conda() -> tuple[FakeUpstream, str]:
    made = FakeConda()
    made.add("noarch", "six", "1.16.0")
    made.add("noarch", "six", "1.15.0", ext=".tar.bz2", timestamp=None)
    made.add("noarch", "numpy", "2.0", depends=("six",), license="BSD-3-Clause")
    made.publish()
    return made, made.channel


def cran() -> tuple[FakeUpstream, str]:
    made = FakeCran()
    made.add("aa", "1.0", time=BUILT - 1000)
    made.add("aa", "1.1-2")
    made.add("Bb", "2.0", imports="aa", license="MIT + file LICENSE", md5=False)
    made.publish()
    return made, made.repository


def python_simple() -> tuple[FakeUpstream, str]:
    made = FakeSimple()
    made.add_wheel("six", "1.16.0")
    made.add_sdist("six", "1.15.0")
    made.add_wheel("numpy", "2.0", requires_python=">=3.9")
    made.publish()
    return made, made.index


SAMPLES: dict[str, Callable[[], tuple[FakeUpstream, str]]] = {
    "conda": conda,
    "CRAN": cran,
    "python_simple": python_simple,
}
SECTIONS = {"conda": "noarch", "CRAN": "src/contrib", "python_simple": "simple"}


@dataclass(frozen=True)
class Taken:
    """A section as it was read, by package name."""

    ecosystem: Ecosystem
    section: str
    raw: FetchedIndex
    read: ParsedIndex
    bodies: dict[str, bytes]

    def records(self) -> list[Record | Invalid]:
        return [
            record
            for name, body in sorted(self.bodies.items())
            for record in self.ecosystem.records(body, section=self.section, name=name)
        ]


@pytest.fixture(params=sorted(SAMPLES))
def taken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Taken]:
    upstream, base = SAMPLES[request.param]()
    with upstream:
        yield take(registry.get(request.param), upstream, base, tmp_path)


def take(ecosystem: Ecosystem, upstream: FakeUpstream, base: str, work: Path) -> Taken:
    section = SECTIONS[ecosystem.kind]
    assert section in ecosystem.sections([])
    with closing(Client(EgressPolicy((upstream.url,)))) as client:
        raw = fetch(ecosystem, client, base, section, work, None)
        assert isinstance(raw, FetchedIndex)
        read = ecosystem.parse(raw, section, FetchContext(client=client, folder=work))
        seen = PreviousIndex(raw.address, raw.sha256, raw.etag, raw.last_modified, read.pack)
        (work / "again").mkdir()
        again = fetch(ecosystem, client, base, section, work / "again", seen)
        assert isinstance(again, IndexNotModified) or (again and again.sha256 == raw.sha256)
    with Pack(read.pack) as pack:
        bodies = {name: pack.read(name) for name in pack.names()}
    return Taken(ecosystem, section, raw, read, bodies)


def fetch(
    ecosystem: Ecosystem,
    client: Client,
    base: str,
    section: str,
    work: Path,
    previous: PreviousIndex | None,
) -> FetchedIndex | IndexNotModified | None:
    context = FetchContext(client=client, folder=work, previous=previous)
    return ecosystem.fetch(base, section, context)


def test_every_type_there_is_keeps_the_contract() -> None:
    assert set(registry.kinds()) == set(SAMPLES) == set(SECTIONS)


def test_a_section_belongs_to_one_type(taken: Taken) -> None:
    owners = [one for one in map(registry.get, registry.kinds()) if one.owns_section(taken.section)]
    assert owners == [taken.ecosystem]
    assert registry.of_section(taken.section) is taken.ecosystem
    assert registry.of_family(taken.ecosystem.family) is taken.ecosystem


def test_all_that_is_listed_is_counted(taken: Taken) -> None:
    records = taken.records()
    assert taken.read.listed == len(records) + taken.read.invalid
    assert taken.read.names == len(taken.bodies)
    assert not [one for one in records if isinstance(one, Invalid)]


def test_a_files_key_ends_its_address_and_its_metadata_name_its_version(taken: Taken) -> None:
    for name, body in taken.bodies.items():
        for one in taken.ecosystem.records(body, section=taken.section, name=name):
            assert isinstance(one, Record)
            key = taken.ecosystem.file_key(taken.section, name, one.filename)
            assert taken.ecosystem.file_path(taken.section, name, one.filename).endswith(key)
            assert key.startswith(f"{taken.section}/")
            shown = taken.ecosystem.metadata(one)
            shown = shown.get("repodata_record.json", shown)
            assert shown.get("version", shown.get("Version")) == one.version


@pytest.mark.parametrize(
    ("family", "rising"),
    [
        (
            "conda",
            ["odd version", "1.0rc1", "1.0.dev1", "1.0", "1.0.post1", "1.9", "1.10", "1!0.1"],
        ),
        ("python", ["odd", "1.0.dev1", "1.0rc1", "1.0", "1.0.post1", "1.9", "1.10", "1!0.1"]),
        ("cran", ["odd", "0.9-10", "1.0", "1.0-2", "1.0-10", "1.9", "1.10"]),
    ],
)
def test_versions_are_sorted_as_the_type_says(family: str, rising: list[str]) -> None:
    falling = rising[::-1]
    assert sorted(falling, key=registry.of_family(family).version_key) == rising


def test_names_are_told_from_file_names(taken: Taken) -> None:
    ecosystem = taken.ecosystem
    for name, body in taken.bodies.items():
        assert ecosystem.normalize_name(name) == name
        for record in ecosystem.records(body, section=taken.section, name=name):
            assert isinstance(record, Record)
            assert ecosystem.package_name(record.filename) == record.name == name
            assert set(record.filename) & set("/\\") == set()


def test_records_are_their_bodies_entries(taken: Taken) -> None:
    for name, body in taken.bodies.items():
        records = taken.ecosystem.records(body, section=taken.section, name=name)
        files = {one.filename: one.raw for one in records if isinstance(one, Record)}
        assert files == taken.ecosystem.entries(body)


def test_a_body_is_canonical(taken: Taken) -> None:
    ecosystem = taken.ecosystem
    for body in taken.bodies.values():
        entries = list(ecosystem.entries(body).items())
        assert ecosystem.build(reversed(entries), [body]) == body
        assert ecosystem.served(body) == ecosystem.served(body)
        some = ecosystem.build(entries[:1], [body])
        assert ecosystem.entries(some) == dict(entries[:1])


def test_a_files_address_leads_back_to_it(taken: Taken) -> None:
    ecosystem = taken.ecosystem
    prefix = f"{ecosystem.prefix}/" if ecosystem.prefix else ""
    for record in taken.records():
        assert isinstance(record, Record)
        path = ecosystem.file_path(taken.section, record.name, record.filename)
        assert path.startswith(prefix)
        spot = ecosystem.locate(path.removeprefix(prefix), "")
        assert spot is not None
        assert (spot.section, spot.name, spot.filename) == (
            taken.section,
            record.name,
            record.filename,
        )


def test_specs_match_by_name_and_refuse_in_words(taken: Taken) -> None:
    for record in taken.records():
        assert isinstance(record, Record)
        spec = taken.ecosystem.parse_spec(record.name)
        assert spec.name_only
        assert spec.matches(record)
        assert taken.ecosystem.parse_spec(f"{record.name[0]}*").matches(record)
        assert not taken.ecosystem.parse_spec("zzz*").matches(record)
    with pytest.raises(SpecError, match=r"\w+ \w+"):
        taken.ecosystem.parse_spec(">>> !")


class Republished(FakeUpstream):
    """A section as this product serves it: documents, and pages where a type has them."""

    def __init__(self, taken: Taken, documents: Mapping[str, bytes]) -> None:
        super().__init__()
        self._taken = taken
        self._documents = documents

    @property
    def base(self) -> str:
        prefix = self._taken.ecosystem.prefix
        return f"{self.url}/{prefix}" if prefix else self.url

    def entry(self, request: Request) -> Entry | None:
        prefix, ecosystem = self._taken.ecosystem.prefix, self._taken.ecosystem
        form = ecosystem.preferred_form(request.headers.get("accept", ""))
        inside = request.path.removeprefix(f"/{prefix}" if prefix else "").lstrip("/") or "/"
        if not prefix:
            return self._document(inside.removeprefix(f"{self._taken.section}/"))
        spot = ecosystem.locate(inside, form)
        if spot is None or spot.moved:
            return None
        if not spot.name:
            return self._document(spot.filename) if spot.section == self._taken.section else None
        if spot.filename or spot.name not in self._taken.bodies:
            return None
        served = ecosystem.served(self._taken.bodies[spot.name])
        page: Page = ecosystem.page(served, hashlib.sha256(served).hexdigest(), form)
        return Entry(page.body, page.etag, "", page.media_type)

    def _document(self, name: str) -> Entry | None:
        body = self._documents.get(name)
        return None if body is None else Entry(body, f'"{len(body)}"', "", _media_type(name))


def _media_type(name: str) -> str:
    return "application/vnd.pypi.simple.v1+json" if name.endswith("json") else "text/plain"


def published(taken: Taken, folder: Path) -> dict[str, bytes]:
    """All documents of the section as clients get them."""

    def shards() -> Iterator[tuple[str, bytes, str]]:
        for name in sorted(taken.bodies):
            served = taken.ecosystem.served(taken.bodies[name])
            yield name, taken.bodies[name], hashlib.sha256(served).hexdigest()

    folder.mkdir()
    found: dict[str, bytes] = {}
    for document in taken.ecosystem.documents(taken.section, shards, folder, {}):
        stored = document.path.read_bytes()
        assert hashlib.sha256(stored).hexdigest() == document.sha256
        found[document.name] = zstandard.decompress(stored) if document.packed else stored
        assert len(found[document.name]) == document.size
    return found


def test_what_is_published_is_read_back(taken: Taken, tmp_path: Path) -> None:
    with Republished(taken, published(taken, tmp_path / "documents")) as server:
        (tmp_path / "back").mkdir()
        back = take(taken.ecosystem, server, server.base, tmp_path / "back")
    assert sorted(back.bodies) == sorted(taken.bodies)
    for one, other in zip(taken.records(), back.records(), strict=True):
        assert isinstance(one, Record)
        assert isinstance(other, Record)
        for key in ("filename", "name", "version", "size", "sha256", "md5", "timestamp"):
            assert getattr(one, key) == getattr(other, key), (key, one.filename)


def test_the_same_content_is_published_in_the_same_bytes(taken: Taken, tmp_path: Path) -> None:
    assert published(taken, tmp_path / "one") == published(taken, tmp_path / "two")
