"""REST: the packages of channels and their files, revisions and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.test import Client

from channels.models import Channel, Download
from tests import scene
from tests.condatree import BUILT, FakeConda
from tests.web.client import Api, message, person

pytestmark = pytest.mark.django_db

KEYS = {
    "id", "name", "description", "privacy", "artifact_count", "download_count",
    "subchannel_count", "group_count", "mirror_count", "filters", "owners", "created", "updated",
    "indexing_behavior",
}  # fmt: skip


@pytest.fixture
def api() -> Api:
    return Api(person("admin"))


@pytest.fixture
def conda(settings: object) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)  # type: ignore[attr-defined]
        server.add("noarch", "six", "1.15.0", ext=".tar.bz2", license="MIT")
        server.add("noarch", "six", "1.16.0", license="MIT")
        server.add("linux-64", "six-extra", "1.0")
        server.add("linux-64", "zlib", "1.3")
        server.publish()
        yield server


@pytest.fixture
def filled(conda: FakeConda) -> Channel:
    """A channel with six (two files), six-extra and zlib; zlib's bytes are here."""
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, conda.channel))
    channel.refresh_from_db()
    return channel


@pytest.mark.django_db(transaction=True)
class TestPackages:
    def test_packages_are_listed_by_name_over_the_platforms(
        self, api: Api, filled: Channel
    ) -> None:
        status, body = api.get("/channels/main/artifacts?offset=0&limit=100")
        assert status == 200
        assert [one["name"] for one in body["items"]] == ["six", "six-extra", "zlib"]
        six = body["items"][0]
        assert (six["family"], six["channel"], six["subchannel"]) == ("conda", "main", "")
        assert six["file_count"] == 2
        assert six["metadata"]["license"] == "MIT"
        assert six["metadata"]["subdirs"] == ["noarch"]
        assert six["metadata"]["install_cmd"].endswith("/api/repo/main six")
        keys = {"privacy", "download_count", "cve_count", "updated_at", "metadata"}
        assert keys <= set(six)
        assert api.get("/channels/main")[1]["artifact_count"] == 3
        assert api.get("/channels/main/artifacts/conda/six")[1] == six

    def test_packages_are_searched_sorted_and_paged(self, api: Api, filled: Channel) -> None:
        def names(query: str) -> list[str]:
            return [one["name"] for one in api.get(f"/channels/main/artifacts?{query}")[1]["items"]]

        assert names("q=SIX") == ["six", "six-extra"]
        assert names("sort=-name") == ["zlib", "six-extra", "six"]
        assert names("limit=1&offset=1") == ["six-extra"]
        Download.objects.create(
            day="2026-11-24", channel=filled, section="linux-64",
            filename="zlib-1.3-0.conda", name="zlib", count=7,
        )  # fmt: skip
        assert names("sort=-download_count&limit=1") == ["zlib"]
        over_all = api.get("/artifacts?q=&limit=100&offset=0&sort=-download_count")[1]
        assert over_all["total_count"] == 3
        assert (over_all["items"][0]["name"], over_all["items"][0]["download_count"]) == ("zlib", 7)

    def test_the_highest_version_is_shown_whenever_it_was_built(
        self, api: Api, conda: FakeConda
    ) -> None:
        """As rebuilds for old Pythons are: numpy 1.5.2 was built after 1.6.0."""
        for version, built in (("1.9.0", BUILT), ("1.10.0", BUILT), ("1.5.2", BUILT + 9_000)):
            conda.add("linux-64", "numpy", version, timestamp=built)
        conda.add(
            "linux-64", "numpy", "1.10.0", build="1", build_number=1, license="BSD-3-Clause",
            depends=["six"],
        )  # fmt: skip
        conda.publish()
        scene.run_now(scene.mirror(scene.channel(), conda.channel))
        numpy = api.get("/channels/main/artifacts/conda/numpy")[1]
        assert numpy["version"] == numpy["metadata"]["version"] == "1.10.0"
        assert numpy["available_versions"] == ["1.5.2", "1.9.0", "1.10.0"]
        assert (numpy["metadata"]["build_number"], numpy["metadata"]["license"]) == (
            1, "BSD-3-Clause",
        )  # fmt: skip
        browser = Client()
        browser.force_login(person("rita", "reader"))
        page = browser.get("/channels/main/packages/conda/numpy/").content.decode()
        assert "Of numpy-1.10.0-1.conda" in page
        listed = browser.get("/channels/main/packages/?q=numpy").content.decode()
        assert ">1.10.0<" in listed

    def test_the_words_about_a_package_come_from_channeldata(
        self, api: Api, conda: FakeConda
    ) -> None:
        said = {"summary": "Six", "description": "Both.", "home": "https://six.example"}
        packages = {"six": {**said, "subdirs": ["noarch"]}, "zlib": {"summary": None, "home": 7}}
        data = {"channeldata_version": 1, "packages": packages, "subdirs": ["noarch"]}
        conda.set(f"{conda.root}/channeldata.json", json.dumps(data).encode())
        scene.run_now(scene.mirror(scene.channel(), conda.channel))
        six, extra, zlib = api.get("/channels/main/artifacts")[1]["items"]
        assert {key: six[key] for key in said} == said
        assert {key: six["metadata"][key] for key in said} == said
        for other in (extra, zlib):
            assert {key: other[key] for key in said} == dict.fromkeys(said, "")

    def test_limit_0_is_sent_first_to_learn_the_number_of_files(
        self, api: Api, filled: Channel
    ) -> None:
        address = "/channels/main/artifacts/conda/six/files"
        assert api.get(f"{address}?limit=0")[1] == {"total_count": 2, "items": []}
        body = api.get(f"{address}?limit=2")[1]
        assert [one["ckey"] for one in body["items"]] == [
            "noarch/six-1.15.0-0.tar.bz2",
            "noarch/six-1.16.0-0.conda",
        ]
        keys = {
            "ckey", "name", "basename", "version", "family", "type", "channel", "subchannel",
            "metadata", "signatures",
            "created_at", "updated_at", "state", "size", "url", "download_count",
            "cve_score", "cve_status", "cve_count", "cve_severity", "malware", "advisory_data",
        }  # fmt: skip
        assert set(body["items"][0]) == keys
        assert body["items"][0]["state"] == "passive"
        first = body["items"][0]
        assert (first["name"], first["basename"]) == ("six", "six-1.15.0-0.tar.bz2")
        listed = first["metadata"]["repodata_record.json"]
        assert (listed["fn"], listed["version"]) == ("six-1.15.0-0.tar.bz2", "1.15.0")
        assert body["items"][1]["url"].endswith("/api/repo/main/noarch/six-1.16.0-0.conda")

    def test_a_file_whose_bytes_are_here_is_active(self, api: Api, conda: FakeConda) -> None:
        channel = scene.channel()
        scene.run_now(scene.mirror(channel, conda.channel, mirror_mode="active"))
        files = api.get("/channels/main/artifacts/conda/six/files")[1]["items"]
        assert [one["state"] for one in files] == ["active", "active"]

    def test_a_package_that_is_not_listed_is_404(self, api: Api, filled: Channel) -> None:
        for path in ("conda/nothing", "python/six", "odd/six", "conda/nothing/files"):
            assert message(api.get(f"/channels/main/artifacts/{path}"))[0] == 404

    def test_packages_of_private_channels_are_found_by_their_readers_only(
        self, api: Api, filled: Channel
    ) -> None:
        api.put("/channels/main", {"privacy": "private"})
        assert api.get("/artifacts")[1]["total_count"] == 3
        assert Api(person("rita", "reader")).get("/artifacts")[1]["total_count"] == 0

    def test_revisions_are_listed_compared_rolled_back_and_pinned(
        self, api: Api, filled: Channel
    ) -> None:
        revisions = api.get("/channels/main/revisions")[1]
        assert [one["number"] for one in revisions["items"]] == [2, 1]
        assert [one["current"] for one in revisions["items"]] == [True, False]
        difference = api.get("/channels/main/revisions/1..2")[1]
        assert difference["count"] == {"added": 4, "replaced": 0, "removed": 0}
        assert "noarch/six-1.16.0-0.conda" in difference["added"]
        assert len(api.get("/channels/main/revisions/1..2?limit=1")[1]["added"]) == 1
        status, pinned = api.post("/channels/main/revisions/1/pin")
        assert (status, pinned["pinned"]) == (200, True)
        assert api.post("/channels/main/revisions/1/pin", {"pinned": False})[1]["pinned"] is False
        status, row = api.post("/channels/main/revisions/1/rollback")
        assert (status, row["number"], row["rollback_of"]) == (200, 3, 1)
        channel = api.get("/channels/main")[1]
        assert channel["current_revision"] == 3
        assert channel["frozen"]["rolled_back_to"] == 1
        assert api.get("/artifacts")[1]["total_count"] == 0

    def test_revisions_that_do_not_exist_are_404(self, api: Api, filled: Channel) -> None:
        for path in ("9/rollback", "0/pin", "99999999999999999999/pin"):
            assert message(api.post(f"/channels/main/revisions/{path}"))[0] == 404
        for span in ("1..9", "1-2", "x", "1..2..3"):
            assert message(api.get(f"/channels/main/revisions/{span}"))[0] == 404
