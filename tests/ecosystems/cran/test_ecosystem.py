"""Fetching and reading a CRAN-like repository over HTTP."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecosystems.cran import rds
from ecosystems.cran.contents import FileFacts, add_table
from ecosystems.cran.ecosystem import Cran
from ecosystems.cran.rds_writer import HEAD, Matrix
from ecosystems.errors import BadIndex
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    IndexNotModified,
    ParsedIndex,
    PreviousIndex,
)
from ecosystems.pack import Pack
from ecosystems.records import Record
from ecosystems.upstream import Client, ClientSettings, EgressPolicy, Limits, UpstreamError
from tests.crantree import BUILT, FakeCran
from tests.rogue import Behaviour

SOURCE = "src/contrib"
CRAN = Cran()
EMPTY_LIST = struct.pack(">ii", 19, 0)
"""A list of nothing in R's XDR form."""


@pytest.fixture
def cran() -> Iterator[FakeCran]:
    with FakeCran() as server:
        server.add("aa", "1.0", time=BUILT - 1000)
        server.add("aa", "1.1")
        server.add("bb", "2.0", imports="aa (>= 1.0)", license="MIT + file LICENSE")
        server.publish()
        yield server


@pytest.fixture
def client(cran: FakeCran) -> Iterator[Client]:
    limits = Limits(retries=0, backoff=0.0)
    with Client(EgressPolicy((cran.url,)), ClientSettings(limits=limits)) as made:
        yield made


def fetch(
    client: Client,
    cran: FakeCran,
    work: Path,
    section: str = SOURCE,
    previous: PreviousIndex | None = None,
) -> FetchedIndex | IndexNotModified | None:
    context = FetchContext(client=client, folder=work, previous=previous)
    return CRAN.fetch(cran.repository, section, context)


def read(
    client: Client, cran: FakeCran, work: Path, section: str = SOURCE
) -> tuple[FetchedIndex, ParsedIndex]:
    raw = fetch(client, cran, work, section)
    assert isinstance(raw, FetchedIndex)
    context = FetchContext(client=client, folder=work)
    return raw, CRAN.parse(raw, section, context)


def records(found: ParsedIndex, name: str, section: str = SOURCE) -> list[Record]:
    with Pack(found.pack) as pack:
        made = CRAN.records(pack.read(name), section=section, name=name)
    assert all(isinstance(one, Record) for one in made)
    return [one for one in made if isinstance(one, Record)]


def test_an_index_is_read_with_its_archive(client: Client, cran: FakeCran, tmp_path: Path) -> None:
    _, found = read(client, cran, tmp_path)
    assert (found.listed, found.names, found.invalid, found.warnings) == (3, 2, 0, [])
    assert found.base_url == f"{cran.repository}/src/contrib/"
    old, new = records(found, "aa")
    assert (old.version, old.address) == ("1.0", "Archive/aa/aa_1.0.tar.gz")
    assert old.timestamp == (BUILT - 1000) * 1000
    assert (new.version, new.size) == ("1.1", len(cran.body("aa_1.1.tar.gz")))
    assert found.newest == BUILT * 1000


def test_packages_rds_is_never_asked_for(client: Client, cran: FakeCran, tmp_path: Path) -> None:
    read(client, cran, tmp_path)
    assert cran.count(cran.path("PACKAGES.rds")) == 0


def test_the_plain_form_serves_where_there_is_no_other(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    cran.publish(forms=("plain",))
    raw, found = read(client, cran, tmp_path)
    assert raw.address.endswith("/PACKAGES")
    assert found.names == 2


def test_an_index_that_did_not_change_is_not_sent_again(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    raw, found = read(client, cran, tmp_path)
    seen = PreviousIndex(raw.address, raw.sha256, raw.etag, raw.last_modified, found.pack)
    assert isinstance(fetch(client, cran, tmp_path, previous=seen), IndexNotModified)
    cran.add("cc", "0.1")
    cran.publish()
    assert isinstance(fetch(client, cran, tmp_path, previous=seen), FetchedIndex)


def test_binaries_are_found_by_platform_and_version(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    section = "bin/windows/contrib/4.4"
    cran.add("aa", "1.1", section=section)
    cran.publish()
    _, found = read(client, cran, tmp_path, section)
    (one,) = records(found, "aa", section)
    assert one.filename == "aa_1.1.zip"
    assert fetch(client, cran, tmp_path, "bin/windows/contrib/4.3") is None


def test_a_store_that_forbids_what_is_not_there_has_no_binaries(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    section = "bin/windows/contrib/4.4"
    cran.behave(cran.path("PACKAGES.gz", section), Behaviour(status=403))
    assert fetch(client, cran, tmp_path, section) is None
    for name in ("PACKAGES.gz", "PACKAGES", "PACKAGES.rds"):
        cran.behave(cran.path(name), Behaviour(status=403))
    with pytest.raises(UpstreamError, match="403"):
        fetch(client, cran, tmp_path)


def test_a_page_is_no_index(client: Client, cran: FakeCran, tmp_path: Path) -> None:
    for name in ("PACKAGES.gz", "PACKAGES", "PACKAGES.rds"):
        cran.set(cran.path(name), b"<html>log in</html>", content_type="text/html")
    with pytest.raises(UpstreamError, match="HTML was received"):
        fetch(client, cran, tmp_path)


def _table(folder: Path) -> bytes:
    """What `write_PACKAGES` puts into PACKAGES.rds: a matrix of texts, packed with xz."""
    matrix = Matrix(("Package", "Version", "License"))
    for name, version in (("aa", "1.1"), ("bb", "2.0")):
        matrix.add({"Package": name, "Version": version, "License": "GPL-2"})
    matrix.write(folder / "table.rds")
    return lzma.compress(gzip.decompress((folder / "table.rds").read_bytes()))


BAD: dict[str, Behaviour] = {
    "denied": Behaviour(status=403),
    "not acceptable": Behaviour(status=406),
    "failing": Behaviour(status=500),
    "page": Behaviour(body=b"<html></html>", etag=""),
    "cut": Behaviour(body=gzip.compress(b"Package: aa\n" * 999, mtime=0)[:-20], etag=""),
    "missing": Behaviour(status=404),
}


@pytest.mark.parametrize("usable", ["PACKAGES.gz", "PACKAGES", "PACKAGES.rds"])
@pytest.mark.parametrize("fault", sorted(BAD))
def test_any_one_form_of_the_index_is_enough(
    client: Client, cran: FakeCran, tmp_path: Path, usable: str, fault: str
) -> None:
    cran.set(cran.path("PACKAGES.rds"), _table(tmp_path))
    for name in {"PACKAGES.gz", "PACKAGES", "PACKAGES.rds"} - {usable}:
        if fault != "cut" or name.endswith("gz"):
            cran.behave(cran.path(name), BAD[fault])
    raw, found = read(client, cran, tmp_path)
    assert raw.address.endswith(usable) or fault == "cut"
    assert sorted(one.filename for name in ("aa", "bb") for one in records(found, name)) == [
        "aa_1.0.tar.gz",
        "aa_1.1.tar.gz",
        "bb_2.0.tar.gz",
    ]


def test_a_gz_that_is_handed_out_unpacked_is_read(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    cran.set(cran.path("PACKAGES.gz"), cran.index(SOURCE).encode())
    raw, found = read(client, cran, tmp_path)
    assert raw.address.endswith(".gz")
    assert found.names == 2


def test_an_upstream_that_does_not_answer_is_asked_for_no_other_form(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    cran.behave(cran.path("PACKAGES.gz"), Behaviour(reset_at=0))
    with pytest.raises(UpstreamError):
        fetch(client, cran, tmp_path)
    assert cran.count(cran.path("PACKAGES")) == 0


def test_text_that_is_no_index_fails_the_read(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    cran.set(cran.path("PACKAGES.gz"), gzip.compress(b'{"packages": {}}'))
    with pytest.raises(BadIndex, match="does not look like PACKAGES"):
        read(client, cran, tmp_path)


@pytest.mark.parametrize(
    "data", [b"damaged", gzip.compress(HEAD + b"\x00\x00\x00\x03" + bytes(99))]
)
def test_a_table_that_cannot_be_read_costs_only_what_it_says(
    client: Client, cran: FakeCran, tmp_path: Path, data: bytes
) -> None:
    cran.set(cran.path("Meta/archive.rds"), data)
    _, found = read(client, cran, tmp_path)
    assert found.listed == 2
    assert "Meta/archive.rds of the upstream is passed over" in found.warnings[0]


PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "none": bytes}


@pytest.mark.parametrize("how", sorted(PACKERS))
def test_the_tables_are_read_however_they_are_packed(
    client: Client, cran: FakeCran, tmp_path: Path, how: str
) -> None:
    for name in ("current", "archive"):
        path = cran.path(f"Meta/{name}.rds")
        cran.set(path, PACKERS[how](gzip.decompress(cran.bytes_at(path))))
    _, found = read(client, cran, tmp_path)
    assert found.warnings == []
    assert [one.filename for one in records(found, "aa")] == ["aa_1.0.tar.gz", "aa_1.1.tar.gz"]
    assert all(one.size > 0 for one in records(found, "aa"))


def test_what_a_broken_xz_promises_is_no_memory(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    bomb = lzma.compress(bytes(300 << 20), preset=0)
    cran.set(cran.path("Meta/archive.rds"), bomb)
    _, found = read(client, cran, tmp_path)
    assert "decodes to more than" in found.warnings[0]


class TestMeta:
    """Meta/*.rds beside an index of packages that stays as it was, or changes without it."""

    def seen(self, raw: FetchedIndex, found: ParsedIndex) -> PreviousIndex:
        return PreviousIndex(raw.address, raw.sha256, raw.etag, raw.last_modified, found.pack)

    def again(
        self, client: Client, cran: FakeCran, work: Path, seen: PreviousIndex
    ) -> tuple[FetchedIndex, ParsedIndex]:
        work.mkdir()
        raw = fetch(client, cran, work, previous=seen)
        assert isinstance(raw, FetchedIndex)
        context = FetchContext(client=client, folder=work, previous=seen)
        return raw, CRAN.parse(raw, SOURCE, context)

    @pytest.mark.parametrize("begins", [True, False])
    def test_a_table_that_changes_or_appears_alone_is_read(
        self, client: Client, cran: FakeCran, tmp_path: Path, begins: bool
    ) -> None:
        path = cran.path("Meta/archive.rds")
        later = cran.bytes_at(path)
        if begins:
            cran.remove(path)
        else:
            cran.set(path, gzip.compress(HEAD + EMPTY_LIST))
        raw, found = read(client, cran, tmp_path)
        assert found.listed == 2
        cran.set(path, later)
        other, changed = self.again(client, cran, tmp_path / "2", self.seen(raw, found))
        assert changed.listed == 3
        assert other.sha256 != raw.sha256
        seen = self.seen(other, changed)
        assert isinstance(fetch(client, cran, tmp_path, previous=seen), IndexNotModified)

    @pytest.mark.parametrize("fault", [500, 503, 403, 429])
    @pytest.mark.parametrize("name", ["archive", "current"])
    def test_a_table_that_cannot_be_had_now_keeps_its_last_good_state(
        self, client: Client, cran: FakeCran, tmp_path: Path, fault: int, name: str
    ) -> None:
        raw, found = read(client, cran, tmp_path)
        seen = self.seen(raw, found)
        cran.behave(cran.path(f"Meta/{name}.rds"), Behaviour(status=fault))
        same = fetch(client, cran, tmp_path, previous=seen)
        assert isinstance(same, IndexNotModified)
        assert f"Meta/{name}.rds of the upstream cannot be had now" in same.warnings[0]
        cran.add("cc", "0.1")
        cran.publish(meta=False)
        other, changed = self.again(client, cran, tmp_path / "2", seen)
        assert str(fault) in other.warnings[0]
        assert changed.listed == 4
        assert {one.filename: one.size for one in records(changed, "aa")} == {
            one.filename: one.size for one in records(found, "aa")
        }

    def test_it_is_asked_for_once_and_no_retry_is_waited_for(
        self, cran: FakeCran, tmp_path: Path
    ) -> None:
        slept: list[float] = []
        cran.behave(
            cran.path("Meta/archive.rds"),
            Behaviour(status=503, headers=(("Retry-After", "90"),)),
        )
        with Client(EgressPolicy((cran.url,)), ClientSettings(sleep=slept.append)) as client:
            raw = fetch(client, cran, tmp_path)
        assert isinstance(raw, FetchedIndex)
        assert cran.count(cran.path("Meta/archive.rds")) == 1
        assert slept == []

    def test_it_is_read_later_where_the_first_run_could_not_have_it(
        self, client: Client, cran: FakeCran, tmp_path: Path
    ) -> None:
        path = cran.path("Meta/archive.rds")
        cran.behave(path, Behaviour(status=503, times=1))
        raw, found = read(client, cran, tmp_path)
        assert (found.listed, len(raw.warnings)) == (2, 1)
        other, later = self.again(client, cran, tmp_path / "2", self.seen(raw, found))
        assert (later.listed, other.warnings) == (3, [])

    def test_only_a_404_says_that_there_is_none(
        self, client: Client, cran: FakeCran, tmp_path: Path
    ) -> None:
        raw, found = read(client, cran, tmp_path)
        cran.remove(cran.path("Meta/archive.rds"))
        other, changed = self.again(client, cran, tmp_path / "2", self.seen(raw, found))
        assert (changed.listed, other.warnings) == (2, [])
        seen = self.seen(other, changed)
        assert isinstance(fetch(client, cran, tmp_path, previous=seen), IndexNotModified)

    def test_a_table_that_cannot_be_read_keeps_what_it_said_before(
        self, client: Client, cran: FakeCran, tmp_path: Path
    ) -> None:
        raw, found = read(client, cran, tmp_path)
        cran.set(cran.path("Meta/archive.rds"), b"damaged")
        other, changed = self.again(client, cran, tmp_path / "2", self.seen(raw, found))
        assert changed.listed == 3
        assert "what it said before stays" in changed.warnings[0]
        seen = self.seen(other, changed)
        assert isinstance(fetch(client, cran, tmp_path, previous=seen), IndexNotModified)


def test_without_meta_there_are_no_dates(client: Client, cran: FakeCran, tmp_path: Path) -> None:
    for name in ("current", "archive"):
        cran.remove(cran.path(f"Meta/{name}.rds"))
    _, found = read(client, cran, tmp_path)
    (only,) = records(found, "aa")
    assert (only.timestamp, only.size, found.warnings) == (None, -1, [])
    assert found.newest == 0


def test_the_last_microsecond_of_a_day_belongs_to_it() -> None:
    row = rds.Vector(
        [rds.Vector([10]), rds.Vector([1_704_153_599.999999])],
        {
            b"names": rds.Vector([b"size", b"mtime"]),
            b"row.names": rds.Vector([b"aa_1.0.tar.gz"]),
        },
    )
    facts = FileFacts()
    add_table(facts, row, None)
    assert facts.files == {"aa_1.0.tar.gz": (10, 1_704_153_599_999)}
