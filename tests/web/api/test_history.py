"""REST: the history of a channel."""

from __future__ import annotations

import pytest

from history.models import Event, EventType, record
from tests import scene
from tests.web.client import Api, message, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api(person("admin"))


def test_events_are_told_oldest_first_with_every_key(api: Api) -> None:
    channel = scene.channel()
    record(
        EventType.ARTIFACT_REGISTERED,
        channel_id=channel.pk,
        family="conda",
        data={"name": "six"},
        meta={"added": 1},
    )
    body = api.get("/channels/main/history?offset=0&limit=10")[1]
    assert body["total_count"] == 2
    first, second = body["items"]
    assert set(first) >= {"event_id", "event_type", "created", "data", "meta"}
    assert (first["event_type"], first["title"]) == ("channel_created", "Channel created")
    assert {"ckey", "artifact_family"} <= set(first["data"])
    assert second["data"]["artifact_family"] == "conda"
    assert second["meta"] == {"added": 1}
    assert first["data"]["ckey"] == ""
    newest = api.get("/channels/main/history?order=desc&limit=1")[1]["items"]
    assert newest == [second]


def test_an_event_says_nothing_where_there_is_nothing_to_say(api: Api) -> None:
    """The vendor's client would print None."""
    meta = {"before": {"proxy": None}, "files": [None, "a"]}
    record(EventType.MIRROR_UPDATED, channel_id=scene.channel().pk, data={"x": None}, meta=meta)
    event = api.get("/channels/main/history?order=desc&limit=1")[1]["items"][0]
    assert event["data"] == {"ckey": "", "artifact_family": "", "x": ""}
    assert event["meta"] == {"before": {"proxy": ""}, "files": ["", "a"]}


def test_events_are_chosen_by_type_and_family(api: Api) -> None:
    channel = scene.channel()
    record(EventType.ARTIFACT_REMOVED, channel_id=channel.pk, family="conda")
    record(EventType.MIRROR_CREATED, channel_id=channel.pk)

    def types(query: str) -> list[str]:
        items = api.get(f"/channels/main/history?{query}")[1]["items"]
        return [one["event_type"] for one in items]

    assert types("type=mirror_created") == ["mirror_created"]
    assert types("type=mirror_created,artifact_removed") == ["artifact_removed", "mirror_created"]
    assert types("family=conda") == ["artifact_removed"]
    assert message(api.get("/channels/main/history?type=odd"))[0] == 422
    assert message(api.get("/channels/main/history?order=up"))[0] == 422


def test_events_of_a_revision_are_told_once_clients_can_see_it(api: Api) -> None:
    channel = scene.channel()
    Event.objects.create(type=EventType.ARTIFACT_REMOVED, channel_id=channel.pk, revision=2)
    assert api.get("/channels/main/history")[1]["total_count"] == 1
    type(channel).objects.filter(pk=channel.pk).update(current=2)
    assert api.get("/channels/main/history")[1]["total_count"] == 2


def test_at_most_a_thousand_events_are_told_at_once_and_0_gives_the_number(api: Api) -> None:
    channel = scene.channel()
    Event.objects.bulk_create(
        Event(type=EventType.MIRROR_SKIPPED, channel_id=channel.pk) for _ in range(1200)
    )
    assert len(api.get("/channels/main/history?limit=5000")[1]["items"]) == 1000
    assert len(api.get("/channels/main/history")[1]["items"]) == 100
    assert api.get("/channels/main/history?limit=0")[1] == {
        "total_count": 1201,
        "count_exact": True,
        "items": [],
    }


def test_other_channels_events_and_unknown_channels_stay_hidden(api: Api) -> None:
    scene.channel("one")
    scene.channel("two")
    assert api.get("/channels/one/history")[1]["total_count"] == 1
    assert message(api.get("/channels/three/history"))[0] == 404
    api.post("/channels/one/subchannels", {"name": "sub"})
    assert api.get("/channels/one/subchannels/sub/history")[1]["total_count"] == 1
