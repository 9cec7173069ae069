"""REST: channels, subchannels, packages, revisions."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests import scene
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
