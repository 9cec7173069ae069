"""The History tab: order, pages, filters, one event, export."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from django.test import Client

from channels import services
from channels.models import Channel
from history.models import Event, EventType, record
from tests.web.client import person
from web.pages.exports import cell

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(person("admin", "admin"))
    return client


@pytest.fixture
def channel() -> Channel:
    channel = services.create("main", person("admin", "admin"), privacy="private")
    for at in range(120):
        record(
            EventType.ARTIFACT_REGISTERED if at % 2 else EventType.MIRROR_STARTED,
            actor="schedule" if at % 3 else "=cmd()",
            channel_id=channel.pk,
            family="conda" if at % 2 else "",
            data={"name": f"package{at}"},
            meta={"files": [f"package{at}-1-0.conda"], "added": 1},
        )
    return channel


def ids(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'id="event-(\d+)"', page)]


def follow(client: Client, page: str, rel: str) -> str:
    link = re.search(rf'href="(\?[^"]*)" rel="{rel}"', page)
    assert link
    address = "/channels/main/history/" + link[1].replace("&amp;", "&")
    return client.get(address).content.decode()


@pytest.mark.parametrize("order", ["", "desc"])
def test_events_are_paged_in_order_and_back(client: Client, channel: Channel, order: str) -> None:
    known = list(Event.objects.values_list("pk", flat=True).order_by("-pk" if order else "pk"))
    first = client.get(f"/channels/main/history/?order={order}").content.decode()
    second = follow(client, first, "next")
    third = follow(client, second, "next")
    assert ids(first) + ids(second) + ids(third) == known
    assert ids(follow(client, third, "prev")) == ids(second)
    assert ids(follow(client, second, "prev")) == ids(first)
    last = client.get(f"/channels/main/history/?order={order}&end=last").content.decode()
    assert ids(last) == known[-50:]


def test_events_are_filtered_by_type_family_actor_and_day(client: Client, channel: Channel) -> None:
    def found(query: str) -> int:
        page = client.get(f"/channels/main/history/?{query}").content.decode()
        match = re.search(r"([\d,]+) events?</p>", page)
        return int(match[1]) if match else 0

    assert found("") == 121
    assert found("type=mirror_started") == 60
    assert found("family=conda") == 60
    assert found("actor=cmd") == 40
    assert found("type=mirror_started&actor=cmd") == 20
    assert found("from=2000-01-01&to=2001-01-01") == 0
    assert found("from=2000-01-01") == 121
    assert found("type=nonsense&from=never&before=x") == 121


def test_an_event_has_an_address_and_shows_its_metadata(client: Client, channel: Channel) -> None:
    event = Event.objects.filter(type="artifact_registered").first()
    assert event
    page = client.get(f"/channels/main/history/{event.pk}/").content.decode()
    assert "Artifact registered" in page
    assert "package1-1-0.conda" in page
    assert client.get("/channels/main/history/999999/").status_code == 404


def test_events_of_a_coming_revision_and_of_other_channels_are_not_shown(
    client: Client, channel: Channel
) -> None:
    coming = Event.objects.create(type="artifact_removed", channel_id=channel.pk, revision=99)
    other = Event.objects.create(type="artifact_removed", channel_id=channel.pk + 1)
    for event in (coming, other):
        assert client.get(f"/channels/main/history/{event.pk}/").status_code == 404
    page = client.get("/channels/main/history/?type=artifact_removed").content.decode()
    assert "No event matches" in page


def test_exports_hold_every_event_and_no_formula(client: Client, channel: Channel) -> None:
    answer = client.get("/channels/main/history/export.csv?type=mirror_started")
    text = b"".join(answer.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 60
    assert {row["Type"] for row in rows} == {"Mirror started"}
    assert "'=cmd()" in {row["Actor"] for row in rows}
    answer = client.get("/channels/main/history/export.json")
    events = json.loads(b"".join(answer.streaming_content))
    assert len(events) == 121
    assert events[1]["meta"]["files"] == ["package0-1-0.conda"]
    assert client.get("/channels/main/history/export.xml").status_code == 404


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_compute_is_quoted(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell("numpy") == "numpy"


def test_what_one_may_not_see_has_no_history(channel: Channel) -> None:
    stranger = Client()
    stranger.force_login(person("ann", "reader"))
    assert stranger.get("/channels/main/history/").status_code == 404
    assert stranger.get("/channels/main/history/export.csv").status_code == 404


def test_a_runs_package_events_stand_under_its_end(client: Client, channel: Channel) -> None:
    for at in range(3):
        Event.objects.create(
            type="artifact_registered",
            family="conda",
            channel_id=channel.pk,
            run_id=7,
            folded=True,
            data={"name": f"folded{at}"},
        )
    record(EventType.MIRROR_COMPLETED, channel_id=channel.pk, run_id=7, data={"mirror": "one"})
    page = client.get("/channels/main/history/?order=desc").content.decode()
    assert "folded1" not in page
    assert '<a href="?run=7">3 package events of this run</a>' in page
    of_run = client.get("/channels/main/history/?run=7").content.decode()
    assert "folded1" in of_run
    assert len(ids(of_run)) == 4
    assert (
        "folded1" in client.get("/channels/main/history/?family=conda&order=desc").content.decode()
    )
