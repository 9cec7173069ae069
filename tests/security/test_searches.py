"""Attack: searches that would have the database read everything, and texts that are patterns."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import SecurityEvent
from channels.models import Channel, Package, Revision, Shard
from ecosystems import registry
from history.models import Event
from tests import machine
from tests.channels import factory
from tests.web.client import Api, person
from web.api import package_schemas, pagination
from web.pages import packages as pages

pytestmark = pytest.mark.django_db

NAMES = 300
HOSTILE = ("%%%%%", "_____", "\\", "%' or 1=1 --", "%a" * 50, "(a+)+$", "[a-z]*", "\u0130" * 50)


@pytest.fixture
def channel() -> Channel:
    """A channel that lists 300 packages of two builds."""
    made = factory.channel()
    shard = Shard.objects.create(sha256="0" * 64, body=_body())
    Package.objects.bulk_create(
        Package(
            channel=made, family="conda", section=section, name=f"p{number:03}", shard=shard,
            files=1, bytes=number, added_in=1,
        )
        for number in range(NAMES)
        for section in ("linux-64", "noarch")
    )  # fmt: skip
    Revision.objects.create(channel=made, number=1)
    made.current = 1
    made.save()
    return made


def _body() -> bytes:
    import zstandard

    record = b'{"name":"p","version":"1","build":"0","build_number":0}'
    return zstandard.compress(registry.get("conda").build([("p-1-0.conda", record)], []))


@pytest.fixture
def api(channel: Channel) -> Api:
    return Api(person("admin", "admin"))


@pytest.fixture
def visitor(channel: Channel) -> Client:
    client = Client()
    client.force_login(person("admin", "admin"))
    return client


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting stops at 50 rows."""
    for module in (pagination, pages):
        monkeypatch.setattr(module, "COUNT_LIMIT", 50)
    monkeypatch.setattr("web.api.packages.COUNT_LIMIT", 50)


@pytest.mark.parametrize("path", ["/channels/tools/artifacts", "/artifacts"])
@pytest.mark.usefixtures("_few")
def test_what_is_searched_for_is_counted_up_to_a_bound_and_it_is_said(api: Api, path: str) -> None:
    everything = api.get(f"{path}?limit=5")[1]
    assert (everything["total_count"], everything["count_exact"]) == (NAMES, True)
    many = api.get(f"{path}?q=p&limit=5")[1]
    assert (many["total_count"], many["count_exact"]) == (50, False)
    few = api.get(f"{path}?q=p00&limit=5")[1]
    assert (few["total_count"], few["count_exact"], len(few["items"])) == (10, True, 5)
    far = api.get(f"{path}?q=p&offset=290&limit=50")[1]
    assert [one["name"] for one in far["items"]] == [f"p{n}" for n in range(290, NAMES)]


def test_a_page_by_name_has_the_sums_of_its_packages_and_of_no_others(channel: Channel) -> None:
    rows = package_schemas.listed_packages([channel])
    with CaptureQueriesContext(connection) as queries:
        shown = package_schemas.page(
            rows, sort="-name", paging=pagination.Paging(offset=10, limit=3)
        )
    assert [one["name"] for one in shown] == ["p289", "p288", "p287"]
    assert [(one["file_count"], one["size"]) for one in shown] == [(2, 578), (2, 576), (2, 574)]
    [summed] = [one["sql"] for one in queries if "SUM" in one["sql"] and "files" in one["sql"]]
    assert "p289" in summed
    # Four of them are for the marks: what is listed with advisories; for the others, the mapping,
    # what is known of their names, and which ecosystems are covered.
    assert len(queries) <= 10


def test_a_page_by_name_is_read_by_an_index_in_its_order(channel: Channel) -> None:
    machine.only_on("sqlite", "PostgreSQL reads so few rows without an index")
    keys = (
        package_schemas.listed_packages([channel])
        .distinct()
        .order_by("name", *package_schemas.TIES)[:5]
    )
    plan = keys.explain()
    assert "channels_pa_channel_b59ee2_idx" in plan, plan


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_is_a_pattern_is_looked_for_as_it_stands(
    api: Api, visitor: Client, text: str
) -> None:
    channel = Channel.objects.get()
    Package.objects.filter(name="p007").update(name=f"odd{text}odd"[:200])
    Event.objects.create(type="channel_updated", channel_id=channel.pk, actor=f"x{text}x"[:200])
    SecurityEvent.objects.create(type="sign_in", actor=f"x{text}x"[:150])
    query = {"q": text, "actor": text, "object": text}
    found = Client().get("/api/channels/tools/artifacts", query, headers=api.headers).json()
    assert found["total_count"] == 1
    for path in ("packages/", "history/", "packages/why/", "mirrors/"):
        assert visitor.get(f"/channels/tools/{path}", query).status_code == 200, path
    for path in ("/channels/", "/mirrors/", "/audit-log/", "/users/"):
        assert visitor.get(path, query).status_code in (200, 404), path


LONG = "%" * 10_000


@pytest.mark.parametrize(
    "path",
    ["/channels/tools/artifacts", "/artifacts", "/channels/tools/why", "/audit-log?actor=&object="],
)
def test_a_text_of_ten_thousand_characters_is_refused_or_cut(
    api: Api, visitor: Client, path: str
) -> None:
    key = "actor" if "audit" in path else "q"
    assert api.get(f"{path.partition('?')[0]}?{key}={LONG}")[0] == 422
    for page in ("packages/", "packages/why/", "history/"):
        answer = visitor.get(f"/channels/tools/{page}", {"q": LONG, "actor": LONG})
        assert answer.status_code == 200
        assert LONG[:1000] not in answer.content.decode()


@pytest.mark.parametrize("path", ["/channels/tools/artifacts", "/artifacts"])
def test_behind_the_last_one_nothing_is_read(api: Api, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        status, found = api.get(f"{path}?offset=1000000")
    assert (status, found["items"]) == (200, [])
    assert not any("OFFSET 1000000" in one["sql"] for one in queries)


@pytest.mark.usefixtures("_few")
def test_a_whole_history_is_counted_whole(api: Api) -> None:
    channel = Channel.objects.get()
    before = Event.objects.count()
    for _ in range(60):
        Event.objects.create(type="channel_updated", channel_id=channel.pk, actor="a")
    found = api.get("/channels/tools/history?limit=5")[1]
    assert (found["total_count"], found["count_exact"]) == (before + 60, True)


@pytest.mark.parametrize("path", ["/channels/tools/history?type=channel_updated&", "/audit-log?"])
@pytest.mark.usefixtures("_few")
def test_events_are_counted_up_to_a_bound_and_gone_through_by_their_ids(
    api: Api, path: str
) -> None:
    channel = Channel.objects.get()
    for number in range(60):
        Event.objects.create(type="channel_updated", channel_id=channel.pk, actor=f"a{number}")
        SecurityEvent.objects.create(type="sign_in", actor=f"a{number}")
    found = api.get(f"{path}order=asc&limit=40")[1]
    assert (found["total_count"], found["count_exact"]) == (50, False)
    seen = [one["event_id"] for one in found["items"]]
    rest = api.get(f"{path}order=asc&after={seen[-1]}")[1]["items"]
    both = seen + [one["event_id"] for one in rest]
    assert both == sorted(set(both), key=int)
    assert len(both) >= 60
    back = api.get(f"{path}order=desc&after={both[1]}")[1]["items"]
    assert [one["event_id"] for one in back] == both[:1]
    assert api.get(f"{path}offset=1000000")[0] == 422
