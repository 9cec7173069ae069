"""REST: channels, subchannels, packages, revisions."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

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


def limited(api: Api, **limits: object) -> Api:
    """A client with a token that is limited to scopes or resources."""
    return Api(X_Auth=api.post("/account/tokens", {"name": "t", **limits})[1]["token"])


def test_creating_a_channel_answers_201_with_the_vendors_object(api: Api) -> None:
    status, body = api.post("/channels", {"name": "main"})
    assert status == 201
    assert set(body) >= KEYS
    assert "parent" not in body
    assert (body["privacy"], body["indexing_behavior"]) == ("authenticated", "default")
    assert body["owners"] == ["admin"]
    assert body["filters"]["exclude_specs"] == []
    status, listed = api.get("/channels")
    assert (status, listed["total_count"]) == (200, 1)
    assert listed["items"][0] == api.get("/channels/main")[1] == body
    assert api.get("/account/channels")[1]["items"][0]["name"] == "main"


def test_a_subchannel_has_a_parent_and_its_own_address(api: Api) -> None:
    api.post("/channels", {"name": "main"})
    status, body = api.post("/channels/main/subchannels", {"name": "dev"})
    assert (status, body["parent"], body["name"]) == (201, "main", "dev")
    assert api.get("/channels/main/subchannels")[1]["items"] == [body]
    assert api.get("/channels/main/subchannels/dev")[1] == body
    assert api.get("/channels/main")[1]["subchannel_count"] == 1
    for path in ("/channels", "/account/channels"):
        assert [one["name"] for one in api.get(path)[1]["items"]] == ["main"]
        assert api.get(f"{path}?include_subchannels=true")[1]["total_count"] == 2
    assert message(api.get("/channels/dev"))[0] == 404
    assert message(api.delete("/channels/main"))[0] == 409
    assert api.delete("/channels/main/subchannels/dev")[0] == 202
    assert api.delete("/channels/main")[0] == 202
    assert message(api.get("/channels/main"))[0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "Main"}, "name"),
        ({"name": "t"}, "name"),
        ({"name": "linux-64"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "main", "privacy": "secret"}, "privacy"),
        ({"name": "main", "filters": {"exclude_specs": ["=="]}}, "filters.exclude_specs.0"),
        ({"name": "main", "filters": {"types": ["cobol"]}}, "filters.types.0"),
        ({"name": "main", "filters": []}, "filters"),
        ({"name": "main", "description": "x" * 10_001}, "description"),
    ],
)
def test_bad_channels_are_422_with_the_field_named(api: Api, body: object, field: str) -> None:
    status, answer = api.post("/channels", body)
    assert status == 422
    assert set(answer["error"]["fields"]) == {field}


def test_a_name_that_is_taken_is_409(api: Api) -> None:
    api.post("/channels", {"name": "main"})
    assert message(api.post("/channels", {"name": "main"})) == (
        409,
        "A channel of the name main exists.",
    )


def test_a_put_keeps_what_it_does_not_name_and_says_whether_anything_changed(api: Api) -> None:
    api.post("/channels", {"name": "main", "description": "d", "filters": {"types": ["conda"]}})
    status, body = api.put("/channels/main", {"privacy": "public"})
    assert status == 200
    assert (body["changed"], body["privacy"], body["description"]) == (True, "public", "d")
    assert body["filters"]["types"] == ["conda"]
    assert api.put("/channels/main", {"privacy": "public"})[1]["changed"] is False
    assert api.put("/channels/main", {"filters": {}})[1]["filters"]["types"] == []
    assert message(api.put("/channels/main", {"privacy": None}))[0] == 422
    assert message(api.put("/channels/main", {"indexing_behavior": "odd"}))[0] == 422


def test_indexing_behavior_freezes_and_unfreezes(api: Api) -> None:
    api.post("/channels", {"name": "main"})
    body = api.put("/channels/main", {"indexing_behavior": "frozen"})[1]
    assert (body["indexing_behavior"], body["frozen"]["by"]) == ("frozen", "admin")
    assert body["changed"] is True
    assert api.put("/channels/main", {"indexing_behavior": "frozen"})[1]["changed"] is False
    body = api.put("/channels/main", {"indexing_behavior": "default"})[1]
    assert (body["indexing_behavior"], body["frozen"]) == ("default", None)


def test_one_put_may_freeze_and_edit_at_once_or_does_neither(api: Api) -> None:
    api.post("/channels", {"name": "main"})
    bad = {"indexing_behavior": "frozen", "filters": {"date_from": "soon"}}
    assert api.put("/channels/main", bad)[0] == 422
    assert api.get("/channels/main")[1]["indexing_behavior"] == "default"
    good = {"indexing_behavior": "frozen", "description": "d"}
    body = api.put("/channels/main", good)[1]
    assert (body["indexing_behavior"], body["description"]) == ("frozen", "d")


def test_a_stale_if_match_is_412_and_changes_nothing(api: Api) -> None:
    api.post("/channels", {"name": "main"})
    api.get("/channels/main")
    etag = api.last["ETag"]
    assert api.put("/channels/main", {"description": "1"}, If_Match=etag)[0] == 200
    fresh = api.last["ETag"]
    assert fresh != etag
    assert message(api.put("/channels/main", {"description": "2"}, If_Match=etag))[0] == 412
    assert message(api.delete("/channels/main", If_Match=etag))[0] == 412
    assert message(api.put("/channels/main", {"description": "2"}, If_Match='"odd"'))[0] == 412
    assert api.put("/channels/main", {"description": "2"}, If_Match=f"W/{fresh}")[0] == 200
    assert api.put("/channels/main", {"description": "3"}, If_Match="*")[0] == 200


def test_a10_what_cannot_be_set_is_refused_or_ignored_as_shown(api: Api) -> None:
    shown = api.post("/channels", {"name": "main"})[1]
    for field in ("owner", "owner_id", "mode", "filter", "deleted", "current"):
        status, text = message(api.put("/channels/main", {field: 7}))
        assert (status, text) == (422, f"{field}: This field is unknown.")
        assert message(api.post("/channels", {"name": "other", field: 7}))[0] == 422
    assert message(api.put("/channels/main", {"name": "renamed"}))[0] == 422
    # What was read may be sent back as it is, whatever of it others count.
    other = {**shown, "owners": ["rita"], "download_count": 9, "artifact_count": 9, "id": 77}
    status, after = api.put("/channels/main", other)
    assert (status, after.pop("changed")) == (200, False)
    assert after == shown
    assert api.post("/channels", {**shown, "name": "copy"})[0] == 201
    # An empty wish is none.
    assert api.put("/channels/main", {"policy": None, "groups": []})[0] == 200


def test_a_private_channel_is_404_for_others_and_a_visible_one_403_to_change(api: Api) -> None:
    api.post("/channels", {"name": "private", "privacy": "private"})
    api.post("/channels", {"name": "shared"})
    reader = Api(person("rita", "reader"))
    assert message(reader.get("/channels/private"))[0] == 404
    assert message(reader.put("/channels/private", {"description": "x"}))[0] == 404
    assert [one["name"] for one in reader.get("/channels")[1]["items"]] == ["shared"]
    assert reader.get("/channels/shared")[0] == 200
    assert message(reader.put("/channels/shared", {"description": "x"}))[0] == 403
    assert message(reader.delete("/channels/shared"))[0] == 403
    assert message(reader.post("/channels", {"name": "mine"}))[0] == 403
    author = Api(person("anna", "author"))
    assert author.put("/channels/shared", {"description": "x"})[0] == 200
    assert message(author.put("/channels/shared", {"privacy": "public"}))[0] == 403
    assert message(author.delete("/channels/shared"))[0] == 403
    assert author.post("/channels", {"name": "annas"})[0] == 201
    assert author.put("/channels/annas", {"privacy": "private"})[0] == 200
    assert api.get("/channels/annas")[0] == 200
    assert author.delete("/channels/annas")[0] == 202


def test_a_token_with_scopes_does_what_they_say(api: Api) -> None:
    api.post("/channels", {"name": "main"})
    viewer = limited(api, scopes=["channel:view"])
    assert viewer.get("/channels/main")[0] == 200
    status, text = message(viewer.put("/channels/main", {"description": "x"}))
    assert (status, text) == (403, "This token does not have the scope channel:edit.")
    assert message(viewer.get("/channels/main/history"))[0] == 403
    assert message(viewer.get("/channels/main/mirrors"))[0] == 403
    assert (
        limited(api, scopes=["channel:edit"]).put("/channels/main", {"description": "x"})[0] == 200
    )


def test_a_token_with_resources_reaches_those_channels_only(api: Api) -> None:
    for name in ("one", "two"):
        api.post("/channels", {"name": name})
    api.post("/channels/one/subchannels", {"name": "sub"})
    api.post("/channels", {"name": "open", "privacy": "public"})
    token = limited(api, resources=[{"channel": "one", "level": "write"}])
    assert message(token.delete("/channels/one/subchannels/sub"))[0] == 403
    reading = limited(api, resources=[{"channel": "one"}])
    assert reading.get("/channels/one")[0] == 200
    assert message(reading.put("/channels/one", {"description": "y"}))[0] == 403
    assert token.put("/channels/one", {"description": "x"})[0] == 200
    assert token.get("/channels/one/subchannels/sub")[0] == 200
    assert message(token.get("/channels/two"))[0] == 404
    assert token.get("/channels/open")[0] == 200
    assert message(token.put("/channels/open", {"description": "x"}))[0] == 403
    assert [one["name"] for one in token.get("/channels")[1]["items"]] == ["one"]
    assert message(token.post("/channels", {"name": "three"}))[0] == 403
    assert message(token.get("/mirrors"))[0] == 403


def test_lists_are_paged_and_cost_the_same_for_many(api: Api) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert api.get("/channels")[0] == 200
        return len(caught)

    scene.channel("c0")
    few = queries()
    for number in range(1, 12):
        scene.channel(f"c{number}")
    assert queries() == few
    page = api.get("/channels?offset=10&limit=1")[1]
    assert (page["total_count"], len(page["items"])) == (12, 1)
    assert api.get("/channels?limit=0")[1] == {"total_count": 12, "items": []}


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
            "cve_score", "cve_status",
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
