"""Mirrors of CRAN-like repositories, from the index to what clients see."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from channels import blobs
from channels.models import Blob, Channel, Document, Package, Pin
from ecosystems import registry
from ecosystems.cran import layout, rds
from ecosystems.cran.packages import fields, paragraphs
from ecosystems.upstream import optional
from history.models import Event
from mirrors import warnings
from mirrors.models import Mirror
from publishing import explain
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import BUILT, FakeCran
from tests.rogue import Behaviour
from tests.wsgi import Client, application
from web.api import channel_schemas, package_schemas
from web.api.pagination import Paging
from web.pages.snippets import snippets
from workers import retention

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = "src/contrib"
BASE = "/api/repo/main/cran"


@pytest.fixture
def cran(settings: Any) -> Iterator[FakeCran]:
    with FakeCran() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("aa", "1.0", time=BUILT - 86_400 * 400)
        server.add("aa", "1.1-2")
        server.add("bb", "2.0", imports="aa (>= 1.0)", license="MIT + file LICENSE")
        server.add("cc", "0.1", license="GPL (>= 2) | file LICENSE")
        server.publish()
        yield server


@pytest.fixture
def client() -> Client:
    return Client(application)


def mirror(channel: Channel, cran: FakeCran, **body: Any) -> Mirror:
    return scene.mirror(channel, cran.repository, mirror_type="CRAN", **body)


def listed(channel: Channel, section: str = SOURCE) -> dict[str, dict[str, str]]:
    """The stanzas of the channel's PACKAGES by file name without its end."""
    text = scene.document(channel, section, "PACKAGES")
    found = [fields(one) for one in paragraphs([text])]
    return {f"{one['Package']}_{one['Version']}": one for one in found}


def archived(channel: Channel) -> list[bytes]:
    tables = rds.read(gzip.decompress(scene.document(channel, SOURCE, "Meta/archive.rds")))
    assert isinstance(tables, rds.Vector)
    return [
        place
        for table in tables.values
        if isinstance(table, rds.Vector)
        for place in table.names(b"row.names")
    ]


def test_a_passive_run_lists_everything_and_downloads_nothing(cran: FakeCran) -> None:
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran))
    assert (run.state, run.error) == ("completed", "")
    assert sorted(listed(channel)) == ["aa_1.1-2", "bb_2.0", "cc_0.1"]
    assert archived(channel) == [b"aa/aa_1.0.tar.gz"]
    assert run.counts["passive"] == run.counts["listed"] == 4
    assert not Blob.objects.filter(file=True).exists()


def test_stanzas_are_published_byte_for_byte(cran: FakeCran) -> None:
    odd = "Depends: R (>= 3.5),\n\tmethods\nX-Own:  kept  \n"
    cran.add("odd", "1.0", extra=odd)
    cran.publish()
    channel = scene.channel()
    scene.run_now(mirror(channel, cran))
    assert scene.document(channel, SOURCE, "PACKAGES").startswith(cran.index().encode()[:100])
    assert odd.rstrip().encode() in scene.document(channel, SOURCE, "PACKAGES")


def test_every_file_is_served_at_both_its_places(cran: FakeCran, client: Client) -> None:
    scene.run_now(mirror(scene.channel(), cran))
    for filename in ("aa_1.0.tar.gz", "aa_1.1-2.tar.gz"):
        for place in (filename, f"Archive/aa/{filename}"):
            answer = client.get(f"{BASE}/{SOURCE}/{place}")
            assert (answer.status, answer.body) == (200, cran.body(filename)), answer.body
    assert cran.count(cran.archive_path("aa_1.0.tar.gz")) == 1
    assert cran.count(cran.path("aa_1.1-2.tar.gz")) == 1


def test_renv_finds_what_it_asks_for(cran: FakeCran, client: Client) -> None:
    scene.run_now(mirror(scene.channel(), cran))
    probe = client.head(f"{BASE}/{SOURCE}/PACKAGES")
    index = client.get(f"{BASE}/{SOURCE}/PACKAGES")
    assert (probe.status, probe.body) == (200, b"")
    assert probe.headers["Content-Length"] == str(len(index.body))
    assert probe.headers["ETag"] == index.headers["ETag"]
    for name in ("PACKAGES.rds", "PACKAGES.gz", "PACKAGES", "Meta/archive.rds"):
        assert client.get(f"{BASE}/{SOURCE}/{name}").status == 200
    for place in ("Archive/aa/aa_1.0.tar.gz", "Archive/bb/bb_2.0.tar.gz", "bb_2.0.tar.gz"):
        assert client.head(f"{BASE}/{SOURCE}/{place}").status == 200
        assert client.get(f"{BASE}/{SOURCE}/{place}").status == 200
    # What it tries where a version is in neither place.
    assert client.head(f"{BASE}/{SOURCE}/Archive/bb/bb_9.0.tar.gz").status == 404


def test_pak_asks_again_by_the_etag_of_each_file(cran: FakeCran, client: Client) -> None:
    scene.run_now(mirror(scene.channel(), cran))
    for name in ("PACKAGES.gz", "PACKAGES", "Meta/archive.rds"):
        etag = client.get(f"{BASE}/{SOURCE}/{name}").headers["ETag"]
        again = client.get(f"{BASE}/{SOURCE}/{name}", if_none_match=etag)
        assert (again.status, again.body) == (304, b"")
    etags = {
        client.get(f"{BASE}/{SOURCE}/{name}").headers["ETag"]
        for name in ("PACKAGES.gz", "PACKAGES")
    }
    assert len(etags) == 2
    # It tries the archive first, then the current place.
    for version in ("1.0", "1.1-2"):
        for place in (f"Archive/aa/aa_{version}.tar.gz", f"aa_{version}.tar.gz"):
            answer = client.get(f"{BASE}/{SOURCE}/{place}")
            assert answer.body == cran.body(f"aa_{version}.tar.gz")


def test_M08_indexes_are_served_in_all_forms_and_never_the_upstreams_own(
    cran: FakeCran, client: Client
) -> None:
    scene.run_now(mirror(scene.channel(), cran))
    plain = client.get(f"{BASE}/{SOURCE}/PACKAGES")
    packed = client.get(f"{BASE}/{SOURCE}/PACKAGES.gz")
    assert gzip.decompress(packed.body) == plain.body
    assert "Content-Encoding" not in packed.headers
    matrix = rds.read(gzip.decompress(client.get(f"{BASE}/{SOURCE}/PACKAGES.rds").body))
    assert isinstance(matrix, rds.Vector)
    assert b"aa" in matrix.values
    assert cran.count(cran.path("PACKAGES.rds")) == 0
    for missing in ("src/contrib/Meta/other.rds", "web/packages/packages.rds"):
        assert client.get(f"{BASE}/{missing}").status == 404
    assert client.get("/api/repo/main/src/contrib/PACKAGES").status == 404


def test_an_active_run_downloads_everything_verified(cran: FakeCran) -> None:
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran, mirror_mode="active"))
    assert (run.state, run.error) == ("completed", "")
    assert run.counts["active"] == run.counts["listed"] == 4
    assert Blob.objects.filter(file=True).count() == 4
    assert archived(channel) == [b"aa/aa_1.0.tar.gz"]


def test_wrong_bytes_are_a_failure_and_not_listed(cran: FakeCran) -> None:
    cran.set(cran.path("bb_2.0.tar.gz"), b"something else")
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran, mirror_mode="active"))
    assert (run.state, run.counts["failed"]) == ("completed", 1)
    assert sorted(listed(channel)) == ["aa_1.1-2", "cc_0.1"]


def test_a_version_that_was_replaced_meanwhile_comes_from_the_archive(
    cran: FakeCran, client: Client
) -> None:
    scene.run_now(mirror(scene.channel(), cran))
    cran.add("bb", "2.1")
    cran.publish()
    answer = client.get(f"{BASE}/{SOURCE}/bb_2.0.tar.gz")
    assert (answer.status, answer.body) == (200, cran.body("bb_2.0.tar.gz"))


def test_a_replaced_version_moves_to_the_archives_table(cran: FakeCran, client: Client) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    cran.add("bb", "2.1", license="MIT + file LICENSE")
    cran.publish()
    scene.run_now(mine)
    assert sorted(listed(channel)) == ["aa_1.1-2", "bb_2.1", "cc_0.1"]
    assert archived(channel) == [b"aa/aa_1.0.tar.gz", b"bb/bb_2.0.tar.gz"]
    assert client.get(f"{BASE}/{SOURCE}/Archive/bb/bb_2.0.tar.gz").status == 200


def test_the_table_of_an_archive_goes_with_its_last_version(cran: FakeCran) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    cran.remove(cran.path("Meta/archive.rds"))
    cran.add("dd", "1.0")
    cran.publish(meta=False)
    assert scene.run_now(mine).state == "completed"
    channel.refresh_from_db()
    assert not Document.objects.at(channel.current).filter(name="Meta/archive.rds").exists()


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"exclude_specs": ["b*"]}, {"aa_1.1-2", "cc_0.1", "aa_1.0"}),
        ({"exclude_specs": ["aa (>= 1.1)"]}, {"aa_1.0", "bb_2.0", "cc_0.1"}),
        ({"only_specs": ["AA (< 1.1)"]}, {"aa_1.0"}),
        ({"projects": ["bb"]}, {"bb_2.0"}),
        ({"exclude_licenses": ["GPL2"]}, {"bb_2.0", "cc_0.1"}),
        ({"exclude_licenses": ["GPL2", "Other"]}, {"bb_2.0"}),
        ({"exclude_specs": ["*"], "include_licenses": ["MIT"]}, {"bb_2.0"}),
        ({"date_from": "2023-01-01"}, {"aa_1.1-2", "bb_2.0", "cc_0.1"}),
        ({"date_to": "2023-01-01"}, {"aa_1.0"}),
    ],
)
def test_filters_are_read_in_the_words_of_r(
    cran: FakeCran, filters: dict[str, Any], kept: set[str]
) -> None:
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran, filters=filters))
    assert (run.state, run.error) == ("completed", "")
    ecosystem = registry.get("CRAN")
    found: set[str] = set()
    channel.refresh_from_db()
    for row in Package.objects.at(channel.current).filter(shard__isnull=False):
        assert row.shard is not None
        body = zstandard.decompress(bytes(row.shard.body))
        found |= {name.removesuffix(".tar.gz") for name in ecosystem.entries(body)}
    assert found == kept
    assert run.counts["passive"] + scene.filtered(run.counts) == run.counts["listed"] == 4


def test_a_channel_holds_conda_and_r_side_by_side(
    cran: FakeCran, client: Client, settings: Any
) -> None:
    with FakeConda() as conda:
        settings.UPSTREAM_ALLOW = (cran.url, conda.url)
        conda.add("noarch", "aa", "1.0")
        conda.publish()
        channel = scene.channel(filters={"exclude_specs": ["cc"]})
        scene.run_now(mirror(channel, cran))
        scene.run_now(scene.mirror(channel, conda.channel))
        assert sorted(listed(channel)) == ["aa_1.1-2", "bb_2.0"]
        assert list(scene.listed(channel)) == ["aa-1.0-0.conda"]
        assert client.get(f"{BASE}/{SOURCE}/PACKAGES.gz").status == 200
        assert client.get("/api/repo/main/noarch/repodata.json").status == 200


def test_a_refused_file_says_why(cran: FakeCran, client: Client) -> None:
    scene.run_now(mirror(scene.channel(), cran, filters={"exclude_specs": ["bb"]}))
    answer = client.get(f"{BASE}/{SOURCE}/bb_2.0.tar.gz")
    assert answer.status == 404
    assert "bb matches the excluded spec bb" in answer.detail


def test_an_own_channel_can_be_mirrored_again(cran: FakeCran, settings: Any) -> None:
    first, second = scene.channel("first"), scene.channel("second")
    scene.run_now(mirror(first, cran))
    source = f"{settings.PUBLIC_URL}/api/repo/first/cran"
    run = scene.run_now(scene.mirror(second, source, mirror_type="CRAN", mirror_mode="active"))
    assert (run.state, run.error) == ("completed", "")
    assert run.counts["active"] == 4
    assert sorted(listed(second)) == ["aa_1.1-2", "bb_2.0", "cc_0.1"]
    assert archived(second) == [b"aa/aa_1.0.tar.gz"]


def test_binaries_are_mirrored_beside_the_sources(cran: FakeCran, client: Client) -> None:
    section = "bin/windows/contrib/4.4"
    cran.add("aa", "1.1-2", section=section)
    cran.publish()
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran))
    assert run.counts["listed"] == 5
    assert list(listed(channel, section)) == ["aa_1.1-2"]
    answer = client.get(f"{BASE}/{section}/aa_1.1-2.zip")
    assert (answer.status, answer.body) == (200, cran.body("aa_1.1-2.zip", section))


def test_an_unchanged_index_is_not_read_again(cran: FakeCran) -> None:
    mine = mirror(scene.channel(), cran)
    first = scene.run_now(mine)
    again = scene.run_now(mine)
    assert (again.state, again.counts["listed"]) == ("completed", first.counts["listed"])
    asked = [one for one in cran.requests() if one.path == cran.path("Meta/archive.rds")]
    assert ["if-none-match" in one.headers for one in asked] == [False, True]


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_an_archives_table_that_follows_later_is_published(cran: FakeCran, mode: str) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran, mirror_mode=mode)
    scene.run_now(mine)
    cran.add("bb", "2.1")
    cran.publish(meta=False)
    scene.run_now(mine)
    assert b"bb/bb_2.0.tar.gz" not in archived(channel)
    cran.publish()
    scene.run_now(mine)
    assert b"bb/bb_2.0.tar.gz" in archived(channel)


def test_an_archive_that_cannot_be_had_now_stays_and_is_told(cran: FakeCran) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    before = archived(channel)
    cran.behave(cran.path("Meta/archive.rds"), Behaviour(status=503))
    for version in ("2.1", "2.2"):
        cran.add("dd", version)
        cran.publish(meta=False)
        run = scene.run_now(mine)
        assert run.state == "completed"
        assert archived(channel) == before
        assert any("cannot be had now" in text for text in warnings.of(mine))
    cran.behave(cran.path("Meta/archive.rds"))
    scene.run_now(mine)
    assert not any("cannot be had now" in text for text in warnings.of(mine))


@pytest.mark.parametrize(
    "how",
    [
        {"status": 503},
        {"body": b"no table"},
        {"body": b"<!DOCTYPE html><html></html>", "headers": [("Content-Type", "text/html")]},
        {"cut_at": 30},
    ],
)
def test_an_archive_that_failed_is_asked_for_again_though_packages_are_unchanged(
    cran: FakeCran, how: dict[str, Any]
) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    before = archived(channel)
    # The broken file has the validators of the good one, as behind a proxy that garbles it.
    cran.add("dd", "2.1")
    cran.add("dd", "2.2")
    cran.publish()
    cran.behave(cran.path("Meta/archive.rds"), Behaviour(**how))
    for _ in range(2):
        assert scene.run_now(mine).state == "completed"
        assert archived(channel) == before
        assert any("Meta/archive.rds" in text for text in warnings.of(mine))
    cran.behave(cran.path("Meta/archive.rds"))
    scene.run_now(mine)
    assert b"dd/dd_2.1.tar.gz" in archived(channel)
    assert warnings.of(mine) == []


@pytest.mark.parametrize("how", [{"hold_headers": True}, {"hold_at": 10}])
def test_an_archive_that_hangs_delays_a_run_by_seconds_and_stays(
    cran: FakeCran, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    before = archived(channel)
    monkeypatch.setattr(optional, "PATIENCE", 0.5)
    silent = [Behaviour(**how) for _ in range(2)]
    paths = [cran.path(f"Meta/{name}.rds") for name in ("current", "archive")]
    for path, behaviour in zip(paths, silent, strict=True):
        cran.behave(path, behaviour)
    cran.add("dd", "1.0")
    cran.publish(meta=False)
    cran.forget()
    try:
        run = scene.run_now(mine)
        assert not any(one.released.is_set() for one in silent)
    finally:
        for one in silent:
            one.release()
    assert (run.state, run.error) == ("completed", "")
    assert sum(map(cran.count, paths)) == 1  # the second is not waited for
    assert archived(channel) == before
    assert "dd_1.0" in listed(channel)
    assert sum("cannot be had now" in text for text in warnings.of(mine)) == 2


def test_folders_that_were_never_there_cost_one_request_a_run(cran: FakeCran) -> None:
    mine = mirror(scene.channel(), cran)
    scene.run_now(mine)
    cran.forget()
    assert scene.run_now(mine).state == "completed"
    asked = [one.path for one in cran.requests() if "/bin/" in one.path]
    assert len(asked) == len(set(map(folder, asked))) == len(layout.SECTIONS) - 1


@pytest.mark.parametrize("forms", [("gz",), ("plain",)])
def test_a_folder_that_appears_later_is_found(cran: FakeCran, forms: tuple[str, ...]) -> None:
    cran.publish(forms=forms)
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    section = "bin/windows/contrib/4.9"
    cran.add("aa", "1.1-2", section=section)
    cran.publish(forms=forms)
    assert scene.run_now(mine).state == "completed"
    assert list(listed(channel, section)) == ["aa_1.1-2"]


def folder(path: str) -> str:
    return path.rpartition("/")[0]


@pytest.mark.parametrize("path", ["sub", "./sub", ".", "sub/", "sub//deep/."])
def test_clumsy_paths_that_stay_inside_are_mirrored(cran: FakeCran, path: str) -> None:
    filename = cran.add("ee", "1.0", extra=f"Path: {path}\n")
    cran.publish()
    body = cran.body(filename)
    cran.remove(cran.path(filename))
    folder = "/".join(part for part in path.split("/") if part not in ("", "."))
    cran.set(cran.path(f"{folder}/{filename}" if folder else filename), body)
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran, mirror_mode="active"))
    assert (run.state, run.counts["failed"]) == ("completed", 0)
    assert "ee_1.0" in listed(channel)


def test_binaries_of_r_4_7_on_a_mac_are_mirrored(cran: FakeCran, client: Client) -> None:
    for section in ("bin/macos/arm64/contrib/4.7", "bin/macosx/sonoma-arm64/contrib/4.6"):
        cran.add("aa", "1.1-2", section=section)
    cran.publish()
    scene.run_now(mirror(scene.channel(), cran))
    for section in ("bin/macos/arm64/contrib/4.7", "bin/macosx/sonoma-arm64/contrib/4.6"):
        assert client.get(f"{BASE}/{section}/PACKAGES").status == 200
        assert client.get(f"{BASE}/{section}/aa_1.1-2.tgz").status == 200


def test_an_index_that_became_empty_is_held(cran: FakeCran) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    for name in ("PACKAGES", "PACKAGES.gz"):
        cran.set(cran.path(name), gzip.compress(b"") if name.endswith("gz") else b"\n")
    for name in ("current", "archive"):
        cran.remove(cran.path(f"Meta/{name}.rds"))
    scene.run_now(mine)
    mine.refresh_from_db()
    assert SOURCE in mine.held
    assert len(listed(channel)) == 3


def forget(filename: str, cran: FakeCran) -> None:
    """As if the bytes were cleaned up, or lost."""
    Blob.objects.filter(file=True).delete()
    for path in (blobs.path(pin.sha256) for pin in Pin.objects.all()):
        path.unlink(missing_ok=True)


@pytest.fixture
def bare(settings: Any) -> Iterator[FakeCran]:
    """A repository whose index has no MD5sum."""
    with FakeCran() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("aa", "1.0", md5=False)
        server.publish(meta=False)
        yield server


def test_a_file_without_a_hash_is_pinned_when_a_client_asks(bare: FakeCran, client: Client) -> None:
    channel = scene.channel()
    scene.run_now(mirror(channel, bare))
    answer = client.get(f"{BASE}/{SOURCE}/aa_1.0.tar.gz")
    assert (answer.status, answer.body) == (200, bare.body("aa_1.0.tar.gz"))
    assert answer.headers["ETag"] == f'"{Pin.objects.get().sha256}"'
    again = client.get(f"{BASE}/{SOURCE}/aa_1.0.tar.gz")
    assert again.status == 200
    assert bare.count(bare.path("aa_1.0.tar.gz")) == 1


def test_other_bytes_under_a_pinned_name_are_held_and_not_served(
    bare: FakeCran, client: Client
) -> None:
    channel = scene.channel()
    scene.run_now(mirror(channel, bare))
    first = client.get(f"{BASE}/{SOURCE}/aa_1.0.tar.gz")
    bare.set(bare.path("aa_1.0.tar.gz"), b"something else")
    kept = client.get(f"{BASE}/{SOURCE}/aa_1.0.tar.gz")
    assert kept.body == first.body
    forget("aa_1.0.tar.gz", bare)
    refused = Client(application).get(f"{BASE}/{SOURCE}/aa_1.0.tar.gz")
    assert refused.status == 502
    assert "they are held back" in refused.detail
    event = Event.objects.get(type="artifact_held")
    assert event.channel_id == channel.pk
    assert event.data["ckey"] == "src/contrib/aa_1.0.tar.gz"


def test_an_active_run_pins_and_holds_too(bare: FakeCran) -> None:
    channel = scene.channel()
    mine = mirror(channel, bare, mirror_mode="active")
    run = scene.run_now(mine)
    assert (run.state, run.counts["active"], run.counts["failed"]) == ("completed", 1, 0)
    assert list(listed(channel)) == ["aa_1.0"]
    bare.set(bare.path("aa_1.0.tar.gz"), b"something else")
    forget("aa_1.0.tar.gz", bare)
    bare.add("bb", "1.0")
    bare.publish(meta=False)
    Package.objects.update(stale=True)
    run = scene.run_now(mine)
    assert (run.state, run.counts["failed"]) == ("completed", 1)
    assert "they are held back" in run.failures.get().message
    assert Event.objects.filter(type="artifact_held", run_id=run.pk).count() == 1
    assert list(listed(channel)) == ["bb_1.0"]


def test_cleaning_up_keeps_what_only_an_md5_or_a_pin_names(cran: FakeCran, settings: Any) -> None:
    settings.BLOB_GRACE_HOURS = 0
    scene.run_now(mirror(scene.channel(), cran, mirror_mode="active"))
    retention.clean_up()
    retention.clean_up()
    assert Blob.objects.filter(file=True).count() == 4
    assert not Blob.objects.filter(file=True, unreferenced_at__isnull=False).exists()


def test_the_api_shows_the_files_with_their_addresses(cran: FakeCran, client: Client) -> None:
    channel = scene.channel()
    scene.run_now(mirror(channel, cran))
    channel.refresh_from_db()
    assert client.get(f"{BASE}/{SOURCE}/aa_1.0.tar.gz").status == 200
    found = package_schemas.files(channel, "cran", name="aa", paging=Paging())
    assert found is not None
    old, new = found[0]
    assert (old["state"], new["state"]) == ("active", "passive")
    assert new["url"].endswith("/api/repo/main/cran/src/contrib/aa_1.1-2.tar.gz")
    assert (new["name"], new["basename"]) == ("aa", "aa_1.1-2.tar.gz")
    assert (new["ckey"], new["version"]) == ("src/contrib/aa_1.1-2.tar.gz", "1.1-2")
    assert (new["metadata"]["License"], new["metadata"]["Version"]) == ("GPL-2", "1.1-2")
    for file, name in ((old, "aa_1.0.tar.gz"), (new, "aa_1.1-2.tar.gz")):
        assert file["size"] == len(client.get(f"{BASE}/{SOURCE}/{name}").body)
    assert new["created_at"] == "2023-11-14T22:13:20+00:00"
    rows = package_schemas.listed_packages([channel])
    shown, total = (
        package_schemas.page(rows, sort="name", paging=Paging()),
        package_schemas.count(rows),
    )
    assert total == 3
    assert shown[0]["metadata"]["version"] == shown[0]["version"] == "1.1-2"
    assert shown[0]["available_versions"] == ["1.0", "1.1-2"]
    assert shown[0]["size"] == old["size"] + new["size"]


def test_a_size_that_the_upstream_does_not_say_is_known_once_the_file_came(
    cran: FakeCran, client: Client
) -> None:
    """R's own index has none, and not every repository has a Meta folder."""
    for name in ("current", "archive"):
        cran.remove(cran.path(f"Meta/{name}.rds"))
    channel = scene.channel()
    scene.run_now(mirror(channel, cran))
    channel.refresh_from_db()

    def sizes() -> list[int | None]:
        found = package_schemas.files(channel, "cran", name="bb", paging=Paging())
        shown = package_schemas.page(
            package_schemas.listed_packages([channel], query="bb"), sort="name", paging=Paging()
        )
        assert found is not None
        return [found[0][0]["size"], shown[0]["size"]]

    assert sizes() == [None, 0]
    body = client.get(f"{BASE}/{SOURCE}/bb_2.0.tar.gz").body
    assert sizes() == [len(body)] * 2


@pytest.mark.parametrize("mode", ["active", "passive"])
@pytest.mark.parametrize("missing", [("current",), ("current", "archive")])
def test_sums_have_the_true_sizes_of_what_came_though_the_index_states_them_in_part_or_not(
    cran: FakeCran, client: Client, mode: str, missing: tuple[str, ...]
) -> None:
    for name in missing:
        cran.remove(cran.path(f"Meta/{name}.rds"))
    channel = scene.channel()
    scene.run_now(mirror(channel, cran, mirror_mode=mode))

    def sums() -> list[int]:
        """As the page of the channel, the list of packages and the package itself show them."""
        channel.refresh_from_db()
        shown = package_schemas.page(
            package_schemas.listed_packages([channel]), sort="-size", paging=Paging()
        )
        rows = Package.objects.at(channel.current).filter(channel=channel)
        files = [
            file["size"]
            for row in rows
            for file in (
                package_schemas.files(channel, "cran", name=row.name, paging=Paging()) or [[]]
            )[0]
        ]
        return [
            channel_schemas.channel_item(channel)["size"],
            sum(one["size"] for one in shown),
            sum(row.bytes for row in rows),
            sum(size or 0 for size in files),
        ]

    older = () if "archive" in missing else ("aa_1.0",)
    names = (*older, "aa_1.1-2", "bb_2.0", "cc_0.1")
    answers = [client.get(f"{BASE}/{SOURCE}/{name}.tar.gz") for name in names]
    assert {answer.status for answer in answers} == {200}
    whole = sum(len(answer.body) for answer in answers)
    assert sums() == [whole] * 4
    # Judged anew, though nothing listed changes: nothing is counted twice.
    Package.objects.filter(name="bb").update(bytes=0)
    Package.objects.update(stale=True)
    number = channel.current
    channel.request_publication()
    scene.publish(channel)
    assert channel.current == number
    assert sums() == [whole] * 4


def test_older_states_subchannels_and_tokens_have_addresses_too(
    cran: FakeCran, client: Client
) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    scene.run_now(mine)
    channel.refresh_from_db()
    before = client.get(f"{BASE}/{SOURCE}/PACKAGES").body
    number = channel.current
    cran.add("bb", "2.1")
    cran.publish()
    scene.run_now(mine)
    after = client.get(f"{BASE}/{SOURCE}/PACKAGES").body
    assert before != after
    old = client.get(f"/api/repo/main.r{number}/cran/{SOURCE}/PACKAGES")
    assert old.body == before
    for address in ("/api/repo/t/abc/main/cran", "/t/abc/api/repo/main/cran"):
        assert client.get(f"{address}/{SOURCE}/PACKAGES").body == after
    below = scene.channel("below", parent=channel)
    scene.run_now(mirror(below, cran))
    assert client.get(f"/api/repo/main/below/cran/{SOURCE}/PACKAGES").body == after


def test_a_version_listed_again_is_told_and_the_first_entry_counts(cran: FakeCran) -> None:
    channel = scene.channel()
    mine = mirror(channel, cran)
    listed_before = scene.run_now(mine).counts["listed"]
    again = "Package: bb\nVersion: 2.0\nLicense: another\n"
    text = f"{cran.index()}\n{again}\n{again}Path: 4.9.0/Recommended\n".encode()
    for name, body in (("PACKAGES", text), ("PACKAGES.gz", gzip.compress(text))):
        cran.set(cran.path(name), body)
    run = scene.run_now(mine)
    assert run.counts["listed"] == listed_before
    [told] = warnings.of(mine)
    assert told.startswith(f"{SOURCE}: 2 entries list a version again, of bb_2.0.tar.gz: the first")
    assert listed(channel)["bb_2.0"]["License"] != "another"


def test_bad_entries_are_left_out_counted_and_explained(cran: FakeCran) -> None:
    cran.add("dd", "1.0", extra="Path: ../../..\n")
    cran.add("ee", "1.0", extra="Version: 2.0\n")
    cran.add("ff", "1.0", extra="DownloadURL: https://elsewhere.example/ff.tar.gz\n")
    cran.publish()
    channel = scene.channel()
    run = scene.run_now(mirror(channel, cran))
    assert (run.state, run.counts["mirror_filtered"]) == ("completed", {"invalid": 2})
    assert sorted(listed(channel)) == ["aa_1.1-2", "bb_2.0", "cc_0.1", "ff_1.0"]
    assert b"elsewhere" not in scene.document(channel, SOURCE, "PACKAGES")
    channel.refresh_from_db()
    answers = explain.why(channel, "dd").items
    assert answers[0]["rule"] == "invalid"
    assert "leads out of the repository" in str(answers[0]["detail"])


def test_an_upstream_without_any_index_fails_the_run_in_few_words(
    cran: FakeCran, settings: Any
) -> None:
    run = scene.run_now(scene.mirror(scene.channel(), f"{cran.url}/other", mirror_type="CRAN"))
    assert run.state == "failed"
    assert run.error.startswith(f"{cran.url}/other has no index of any of src/contrib, ")
    assert len(run.error) < 200


def test_the_channels_page_says_how_to_use_it_from_r(cran: FakeCran) -> None:
    channel = scene.channel()
    assert "use-r" not in [one.id for one in snippets(channel)]
    scene.run_now(mirror(channel, cran))
    channel.refresh_from_db()
    found = {one.id: one.text for one in snippets(channel)}
    assert "/api/repo/main/cran" in found["use-r"]
