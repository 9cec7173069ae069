"""Fetching and reading a CRAN-like repository over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecosystems.base import BadIndex, Raw, Read, Record, Seen, Unchanged
from ecosystems.cran.ecosystem import Cran
from ecosystems.cran.rdswrite import HEAD
from ecosystems.pack import Pack
from ecosystems.upstream import Client, Limits, Policy, UpstreamError
from tests.crantree import BUILT, FakeCran
from tests.rogue import Behaviour

SOURCE = "src/contrib"
CRAN = Cran()


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
    with Client(Policy((cran.url,)), settings=limits) as made:
        yield made


def fetch(
    client: Client, cran: FakeCran, work: Path, section: str = SOURCE, seen: Seen | None = None
) -> Raw | Unchanged | None:
    return CRAN.fetch(
        client,
        cran.repository,
        section,
        seen=seen,
        work=work,
        stop=lambda: None,
        progress=lambda _done, _total: None,
    )


def read(client: Client, cran: FakeCran, work: Path, section: str = SOURCE) -> tuple[Raw, Read]:
    raw = fetch(client, cran, work, section)
    assert isinstance(raw, Raw)
    return raw, CRAN.read(client, raw, section, seen=None, work=work, stop=lambda: None)


def records(found: Read, name: str, section: str = SOURCE) -> list[Record]:
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
    seen = Seen(raw.address, raw.sha256, raw.etag, raw.last_modified, found.pack)
    assert isinstance(fetch(client, cran, tmp_path, seen=seen), Unchanged)
    cran.add("cc", "0.1")
    cran.publish()
    assert isinstance(fetch(client, cran, tmp_path, seen=seen), Raw)


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
    cran.behave(cran.path("PACKAGES.gz"), Behaviour(status=403))
    with pytest.raises(UpstreamError):
        fetch(client, cran, tmp_path)


def test_a_page_is_no_index(client: Client, cran: FakeCran, tmp_path: Path) -> None:
    cran.set(cran.path("PACKAGES.gz"), b"<html>log in</html>", content_type="text/html")
    with pytest.raises(UpstreamError, match="HTML was received"):
        fetch(client, cran, tmp_path)


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


def test_an_archive_that_does_not_answer_now_fails_the_read(
    client: Client, cran: FakeCran, tmp_path: Path
) -> None:
    raw = fetch(client, cran, tmp_path)
    assert isinstance(raw, Raw)
    cran.behave(cran.path("Meta/archive.rds"), Behaviour(status=503))
    with pytest.raises(UpstreamError):
        CRAN.read(client, raw, SOURCE, seen=None, work=tmp_path, stop=lambda: None)


def test_without_meta_there_are_no_dates(client: Client, cran: FakeCran, tmp_path: Path) -> None:
    for name in ("current", "archive"):
        cran.remove(cran.path(f"Meta/{name}.rds"))
    _, found = read(client, cran, tmp_path)
    (only,) = records(found, "aa")
    assert (only.timestamp, only.size, found.warnings) == (None, -1, [])
    assert found.newest == 0
