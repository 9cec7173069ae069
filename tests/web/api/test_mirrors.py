"""REST: mirrors, their runs, previews and reasons; and what the vendor's client needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mirrors import services
from mirrors.models import Mirror, Run
from tests import scene
from tests.web.client import Api, message, person

pytestmark = pytest.mark.django_db

SOURCE = "https://mirror.example.org/conda/main"
COMMON = {
    "source_root", "state", "last_run_at", "created_at", "updated_at", "cron", "sync_state",
    "proxy", "filters", "last_success_at", "next_run_at", "held", "warnings",
}  # fmt: skip
MIRRORS = "/channels/main/mirrors"


@pytest.fixture(autouse=True)
def allowed(settings: object) -> None:
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)  # type: ignore[attr-defined]


@pytest.fixture
def api() -> Api:
    api = Api(person("admin"))
    api.post("/channels", {"name": "main"})
    return api


def body(name: str = "m", **fields: Any) -> dict[str, Any]:
    """The body that the vendor's client sends."""
    return {
        "mirror_name": name,
        "source_root": SOURCE,
        "mirror_mode": "passive",
        "mirror_type": "conda",
        "cron": "0 0 * * *",
        "filters": {},
        "run_now": False,
        "proxy": None,
        **fields,
    }


def test_creating_a_mirror_answers_201_and_its_list_has_prefixed_keys(api: Api) -> None:
    status, made = api.post(MIRRORS, body())
    assert status == 201
    listed = api.get(MIRRORS)[1]
    assert listed["total_count"] == 1
    item = listed["items"][0]
    assert set(item) >= COMMON | {"mirror_id", "mirror_name", "mirror_type", "mirror_mode"}
    assert item == made
    assert (item["state"], item["last_run_at"]) == ("pending", None)
    assert api.get("/channels/main")[1]["mirror_count"] == 1


def test_sync_state_has_every_key_before_the_first_run(api: Api) -> None:
    state = api.post(MIRRORS, body())[1]["sync_state"]
    assert state["total_steps_count"] == 8
    assert (state["current_step_number"], state["current_step_percentage"]) == (0, 0)
    assert {"current_step_description", "last_exception", "bytes_transfered"} <= set(state)
    count = state["count"]
    assert {"active", "passive", "failed", "removed", "active_planned"} <= set(count)
    vendors = {
        "cve", "date", "signed", "license", "only_specs", "exclude_specs",
        "duplicated_legacy_conda",
    }  # fmt: skip
    assert vendors | {"subdirs"} <= set(count["mirror_filtered"])
    assert {"type", "license", "exclude_specs"} <= set(count["channel_filtered"])
    assert set(state["logs"]) == {"mirror_filtered", "channel_filtered"}


def test_a_mirror_is_found_by_its_id_or_its_name(api: Api) -> None:
    made = api.post(MIRRORS, body("approved software"))[1]
    for key in (made["mirror_id"], "approved%20software"):
        assert api.get(f"{MIRRORS}/{key}")[1] == made
    for key in ("nothing", "9" * 30, "0", "%00"):
        assert message(api.get(f"{MIRRORS}/{key}"))[0] == 404
    api.post("/channels", {"name": "other"})
    assert message(api.get(f"/channels/other/mirrors/{made['mirror_id']}"))[0] == 404


def test_updating_answers_202_with_json_and_deleting_204_without(api: Api) -> None:
    made = api.post(MIRRORS, body())[1]
    address = f"{MIRRORS}/{made['mirror_id']}"
    status, changed = api.put(address, body(filters={"exclude_specs": ["zlib"]}))
    assert (status, changed["filters"]["exclude_specs"]) == (202, ["zlib"])
    status, changed = api.put(address, {"cron": "0 3 * * *"})
    assert (changed["cron"], changed["filters"]["exclude_specs"]) == ("0 3 * * *", ["zlib"])
    assert api.delete(address) == (204, None)
    assert message(api.get(address))[0] == 404
    assert api.get(MIRRORS)[1]["total_count"] == 0


def test_a_mirror_of_a_subchannel_has_its_own_address(api: Api) -> None:
    api.post("/channels/main/subchannels", {"name": "sub"})
    address = "/channels/main/subchannels/sub/mirrors"
    assert api.post(address, body())[0] == 201
    assert api.get(f"{address}/m")[1]["mirror_name"] == "m"
    assert api.get(MIRRORS)[1]["total_count"] == 0


def test_a_name_that_exists_is_409_for_the_user_to_read(api: Api) -> None:
    api.post(MIRRORS, body())
    assert message(api.post(MIRRORS, body())) == (
        409,
        "A mirror of the name m exists on this server.",
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mirror_mode": "active"}, "mirror_mode"),
        ({"mirror_type": "CRAN"}, "mirror_type"),
        ({"source_root": "https://elsewhere.example.net/x"}, "source_root"),
        ({"cron": "H 0 * * *"}, "cron"),
        ({"cron_timezone": "Nowhere"}, "cron_timezone"),
        ({"filters": {"exclude_specs": ["a", "=="]}}, "filters.exclude_specs.1"),
        ({"filters": {"subdirs": "noarch"}}, "filters.subdirs"),
        ({"filters": "all"}, "filters"),
        ({"proxy": "socks5://p:1"}, "proxy"),
        ({"run_now": "perhaps"}, "run_now"),
        ({"mirror_name": "17"}, "mirror_name"),
    ],
)
def test_bad_edits_are_422_with_the_field_named(
    api: Api, change: dict[str, Any], field: str
) -> None:
    api.post(MIRRORS, body())
    before = api.get(f"{MIRRORS}/m")[1]
    status, answer = api.put(f"{MIRRORS}/m", change)
    assert status == 422
    assert set(answer["error"]["fields"]) == {field}
    assert api.get(f"{MIRRORS}/m")[1] == before


def test_the_policys_words_are_told_when_a_source_is_refused(api: Api) -> None:
    status, text = message(api.post(MIRRORS, body(source_root="https://elsewhere.example.net/x")))
    assert status == 422
    assert "may not fetch from https://elsewhere.example.net/x" in text
    assert "UPSTREAM_ALLOW" in text


def test_a_stale_if_match_is_412(api: Api) -> None:
    api.post(MIRRORS, body())
    api.get(f"{MIRRORS}/m")
    etag = api.last["ETag"]
    assert api.put(f"{MIRRORS}/m", {"cron": "0 1 * * *"}, If_Match=etag)[0] == 202
    assert message(api.put(f"{MIRRORS}/m", {"cron": "0 2 * * *"}, If_Match=etag))[0] == 412
    assert message(api.delete(f"{MIRRORS}/m", If_Match=etag))[0] == 412


def test_logins_are_shown_as_stars_everywhere(api: Api) -> None:
    secret = body(
        source_root="https://ann:s3cret@mirror.example.org/conda/main",
        proxy="http://bob:pa55@proxy.example.org:3128",
    )
    api.post(MIRRORS, secret)
    for path in (MIRRORS, f"{MIRRORS}/m", "/mirrors", "/channels/main/history"):
        api.get(path)
        text = api.last.content.decode()
        assert "s3cret" not in text
        assert "pa55" not in text
    shown = api.get(f"{MIRRORS}/m")[1]
    assert shown["source_root"] == "https://***@mirror.example.org/conda/main"
    assert shown["proxy"] == "http://***@proxy.example.org:3128"


def test_the_list_over_all_channels_has_short_keys_and_no_null_subchannel(api: Api) -> None:
    api.post("/channels/main/subchannels", {"name": "sub"})
    api.post(MIRRORS, body("a"))
    api.post("/channels/main/subchannels/sub/mirrors", body("b"))
    first, second = api.get("/mirrors")[1]["items"]
    assert set(first) >= COMMON | {"id", "name", "type", "mode", "channel"}
    assert first["channel"] == {"name": "main", "privacy": "authenticated"}
    assert "subchannel" not in first
    assert second["subchannel"] == {"name": "sub"}
    assert second["channel"]["name"] == "main"


def test_a_restart_of_the_vendors_client_does_not_wipe_the_filters(api: Api) -> None:
    api.post(MIRRORS, body(filters={"exclude_specs": ["zlib"]}, proxy="http://u:p@proxy:3128"))
    item = api.get("/mirrors", {"limit": 100, "offset": 0, "sort": "mirror_name"})[1]["items"][0]
    again = {
        "mirror_name": item["name"],
        "source_root": item["source_root"],
        "mirror_mode": item["mode"],
        "mirror_type": item["type"],
        "cron": item["cron"],
        "filters": item.get("filters", {}),
        "proxy": item["proxy"],
        "run_now": True,
    }
    status, changed = api.put(f"{MIRRORS}/{item['id']}", again)
    assert (status, changed["filters"]["exclude_specs"]) == (202, ["zlib"])
    assert changed["proxy"] == "http://***@proxy:3128"
    assert Run.objects.get().state == "pending"


def test_paging_is_taken_from_the_body_of_a_get_as_the_vendors_client_sends_it(api: Api) -> None:
    for name in ("b", "c", "a"):
        api.post(MIRRORS, body(name))

    def names(query: str = "", sent: Any = None) -> list[str]:
        return [one["name"] for one in api.get(f"/mirrors{query}", sent)[1]["items"]]

    assert names() == ["a", "b", "c"]
    assert names("", {"limit": 2, "offset": 1, "sort": "mirror_name"}) == ["b", "c"]
    assert names("?limit=1&sort=-name", {"limit": 2, "offset": 1}) == ["c"]
    assert api.get("/mirrors", {"limit": 1})[1]["total_count"] == 3
    for bad in (
        b"{",
        b"[1]",
        b'{"limit": "x"}',
        b'{"offset": -1}',
        b'{"sort": "colour"}',
        b'{"sort": "\\u0000"}',
    ):
        assert message(api.get("/mirrors", bad))[0] == 422


def test_a_thousand_mirrors_are_listed_in_a_handful_of_queries(api: Api) -> None:
    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as caught:
            assert api.get(path)[0] == 200
        return len(caught)

    api.post(MIRRORS, body("m", run_now=True))
    few = {path: queries(path) for path in ("/mirrors", MIRRORS)}
    owner, channel = scene.admin(), scene.channel("many")
    for number in range(12):
        services.create(channel, body(f"m{number}", run_now=True), owner=owner)
        services.create(Mirror.objects.get(name="m").channel, body(f"n{number}"), owner=owner)
    for path, count in few.items():
        assert queries(path) == count <= 12


def test_only_those_with_mirror_manage_see_the_mirrors_of_all_channels(api: Api) -> None:
    author = Api(person("anna", "author"))
    assert message(author.get("/mirrors")) == (403, "Your role does not have mirror = manage.")


def test_readers_see_mirrors_and_change_none(api: Api) -> None:
    api.post(MIRRORS, body())
    reader = Api(person("rita", "reader"))
    assert reader.get(f"{MIRRORS}/m")[0] == 200
    assert message(reader.post(MIRRORS, body("n")))[0] == 403
    assert message(reader.put(f"{MIRRORS}/m", {"cron": "0 1 * * *"}))[0] == 403
    assert message(reader.delete(f"{MIRRORS}/m"))[0] == 403
    for verb in ("run", "stop_mirror_sync", "restart", "release"):
        assert message(reader.post(f"{MIRRORS}/m/{verb}"))[0] == 403
    api.put("/channels/main", {"privacy": "private"})
    assert message(reader.get(f"{MIRRORS}/m"))[0] == 404
    assert message(reader.post(f"{MIRRORS}/m/run"))[0] == 404
    nobody = Api(person("nora", "none"))
    api.put("/channels/main", {"privacy": "public"})
    assert message(nobody.get(MIRRORS))[0] == 403


def test_a_token_needs_the_mirror_scope(api: Api) -> None:
    def token(scope: str) -> Api:
        made = api.post("/account/tokens", {"name": "t", "scopes": [scope]})[1]
        return Api(X_Auth=made["token"])

    assert token("channel.mirror:view").get(MIRRORS)[0] == 200
    assert message(token("channel.mirror:view").post(MIRRORS, body()))[0] == 403
    assert token("channel.mirror:edit").post(MIRRORS, body())[0] == 201
    assert message(token("channel:edit").get(MIRRORS))[0] == 403


def test_ids_are_texts_in_every_answer_and_numbers_are_taken(api: Api) -> None:
    """The vendor's clients join ids into addresses."""
    made = api.post(MIRRORS, {**body(), "run_now": True})[1]
    assert made["mirror_id"] == str(Mirror.objects.get().pk)
    run = api.get(f"{MIRRORS}/m/runs")[1]["items"][0]
    assert run["id"] == str(Run.objects.get().pk)
    assert api.get("/mirrors")[1]["items"][0]["id"] == made["mirror_id"]
    assert api.get(f"{MIRRORS}/{int(made['mirror_id'])}")[1]["mirror_id"] == made["mirror_id"]
    # What was read is sent back, by some with numbers in it.
    for value in (made["mirror_id"], int(made["mirror_id"])):
        assert api.put(f"{MIRRORS}/m", {**body(), "mirror_id": value})[0] == 202
    answers = [
        *(api.get(path)[1] for path in ("/channels/main", "/account", "/channels/main/history")),
        api.post("/account/tokens", {"name": "t"})[1],
        api.get("/account/tokens")[1],
    ]
    found = [one for answer in answers for one in ids_in(answer)]
    assert len(found) > 5
    assert all(isinstance(one, str) for one in found)


def ids_in(value: object) -> Iterator[object]:
    """The values of all keys that name an id, without those that name none."""
    if isinstance(value, dict):
        for key, one in value.items():
            if (key == "id" or key.endswith("_id")) and one is not None:
                yield one
            yield from ids_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from ids_in(one)


def test_an_empty_proxy_clears_the_one_that_is_kept(api: Api) -> None:
    api.post(MIRRORS, {**body(), "proxy": "http://me:s3cret@proxy.corp:3128"})
    assert api.get(f"{MIRRORS}/m")[1]["proxy"] == "http://***@proxy.corp:3128"
    assert api.put(f"{MIRRORS}/m", {"cron": "0 0 2 * *"})[1]["proxy"] is not None
    assert api.put(f"{MIRRORS}/m", {"proxy": ""})[1]["proxy"] is None
    assert api.get("/mirrors")[1]["items"][0]["proxy"] is None


def test_run_is_409_with_the_runs_id_while_one_is_going(api: Api) -> None:
    api.post(MIRRORS, body())
    status, begun = api.post(f"{MIRRORS}/m/run")
    assert (status, begun["state"], begun["last_run_at"]) == (200, "pending", None)
    status, refused = api.post(f"{MIRRORS}/m/run")
    assert status == 409
    run_id = str(Run.objects.get().pk)
    assert refused["run_id"] == refused["error"]["run_id"] == begun["run_id"] == run_id


def test_stopping_answers_200_with_json_also_where_nothing_runs(api: Api) -> None:
    api.post(MIRRORS, body())
    assert api.post(f"{MIRRORS}/m/stop_mirror_sync")[1]["run_id"] is None
    api.post(f"{MIRRORS}/m/run")
    status, stopped = api.post(f"{MIRRORS}/m/stop_mirror_sync")
    assert (status, stopped["state"]) == (200, "stopped")


def test_restart_is_409_unless_the_last_run_was_stopped(api: Api) -> None:
    api.post(MIRRORS, body())
    assert message(api.post(f"{MIRRORS}/m/restart"))[0] == 409
    api.post(f"{MIRRORS}/m/run")
    assert message(api.post(f"{MIRRORS}/m/restart"))[0] == 409
    api.post(f"{MIRRORS}/m/stop_mirror_sync")
    assert api.post(f"{MIRRORS}/m/restart")[0] == 200
    assert message(api.post(f"{MIRRORS}/m/release"))[0] == 409


def test_run_now_during_a_run_is_saved_with_202_and_one_more_follows(api: Api) -> None:
    api.post(MIRRORS, body(run_now=True))
    status, changed = api.put(f"{MIRRORS}/m", {"cron": "0 5 * * *", "run_now": True})
    assert (status, changed["cron"], changed["run_again"]) == (202, "0 5 * * *", True)
    assert Run.objects.count() == 1


def test_a10_what_cannot_be_set_is_refused_or_ignored_as_shown(api: Api) -> None:
    shown = api.post(MIRRORS, body())[1]
    for field in ("channel", "owner", "mode", "name", "held_since", "filter", "exclude_specs"):
        status, text = message(api.put(f"{MIRRORS}/m", {field: "x"}))
        assert (status, text) == (422, f"{field}: This field is unknown.")
        assert message(api.post(MIRRORS, {**body("other"), field: "x"}))[0] == 422
    other = {**shown, "state": "completed", "mirror_id": 77, "last_run_at": "2020-01-01"}
    status, after = api.put(f"{MIRRORS}/m", other)
    assert status == 202
    assert after == {**shown, "updated_at": after["updated_at"]}
    assert message(api.put(f"{MIRRORS}/m", {"mirror_mode": "active"}))[0] == 422
    assert api.put(f"{MIRRORS}/m", {"policy_id": None})[0] == 202


def test_the_vendors_client_may_always_name_signatures(api: Api) -> None:
    made = body(filters={"only_signed": False, "exclude_specs": ["six"]})
    status, shown = api.post(MIRRORS, made)
    assert (status, shown["filters"]["exclude_specs"]) == (201, ["six"])
    assert "only_signed" not in shown["filters"]
    status, text = message(api.put(f"{MIRRORS}/m", {"filters": {"only_signed": True}}))
    assert (status, "no signatures" in text) == (422, True)
