"""What is refused without a query: files of packages that no revision has."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import tokens
from channels.models import Channel, Generation
from delivery import cache, name_filters
from delivery.name_filters import BloomFilter, NameFilters
from tests import scene
from tests.channels import factory
from tests.wsgi import Answer, Client, application

pytestmark = pytest.mark.django_db(transaction=True)

ONE = factory.made("one-1.0-0.conda", b"1" * 1000)
TWO = factory.made("two-2.0-0.conda", b"2" * 2000)


@pytest.fixture
def client() -> Client:
    return Client(application)


@pytest.fixture
def tools() -> Channel:
    channel = factory.channel("tools")
    factory.publish(channel, {"noarch": [ONE]})
    return channel


def miss(client: Client, number: int, channel: str = "tools") -> Answer:
    return client.get(f"/api/repo/{channel}/noarch/absent{number}-1-0.conda")


def miss_often(client: Client, channel: str = "tools") -> None:
    for number in range(name_filters.FROM_MISSES):
        assert miss(client, number, channel).status == 404


def test_a_filter_contains_all_its_names_and_few_others() -> None:
    filled = BloomFilter((f"name{number}" for number in range(20_000)), 20_000)
    assert all(f"name{number}" in filled for number in range(20_000))
    assert sum(f"other{number}" in filled for number in range(20_000)) < 400
    assert filled.weight <= 20_000 * name_filters.BITS_A_NAME // 4


def test_an_empty_section_contains_no_name() -> None:
    assert "name" not in BloomFilter([], 0)


def test_a_name_that_no_revision_has_needs_no_query_after_some_misses(
    client: Client, tools: Channel
) -> None:
    slow = miss(client, 0)
    miss_often(client)
    with CaptureQueriesContext(connection) as queries:
        quick = [client.get(f"/api/repo/tools/noarch/new{number}-1-0.conda") for number in range(9)]
    assert not queries.captured_queries
    assert {one.status for one in quick} == {404}
    assert quick[0].headers.keys() == slow.headers.keys()
    assert quick[0].detail == slow.detail.replace("absent0", "new0")
    assert client.head("/api/repo/tools/noarch/new-1-0.conda").body == b""


def test_misses_of_names_that_are_not_there_leave_nothing_in_memory(
    client: Client, tools: Channel
) -> None:
    miss_often(client)
    caches = cache.current()
    before = len(caches.refusals.items)
    for number in range(100, 200):
        miss(client, number)
    assert len(caches.refusals.items) == before


def test_what_is_listed_is_given_after_misses_and_what_is_added_at_once(
    client: Client, tools: Channel
) -> None:
    miss_often(client)
    assert client.get(f"/api/repo/tools/noarch/{ONE.filename}").status == 200
    assert client.get(f"/api/repo/tools/noarch/{TWO.filename}").status == 404
    factory.publish(tools, {"noarch": [ONE, TWO]})
    assert client.get(f"/api/repo/tools/noarch/{TWO.filename}").status == 200


def test_a_package_that_was_removed_is_still_looked_up(client: Client, tools: Channel) -> None:
    factory.publish(tools, {"noarch": [TWO]})
    miss_often(client)
    assert client.get(f"/api/repo/tools/noarch/{ONE.filename}").status == 200


def test_who_may_not_read_a_channel_learns_no_name_of_it(client: Client, tools: Channel) -> None:
    _, secret = tokens.issue(scene.admin(), "test", expires=None)
    reader = Client(application, {"X_AUTH": secret})
    Channel.objects.filter(pk=tools.pk).update(privacy="private")
    miss_often(reader)
    assert miss(client, 1).status == 401
    assert client.get(f"/api/repo/tools/noarch/{ONE.filename}").status == 401


def test_a_channel_closed_after_misses_is_closed_at_once(client: Client, tools: Channel) -> None:
    miss_often(client)
    assert miss(client, 1000).status == 404
    Channel.objects.filter(pk=tools.pk).update(privacy="private")
    Generation.rise()
    assert miss(client, 1001).status == 401


def test_the_names_of_a_section_are_read_once_and_outlive_what_is_remembered(
    client: Client, tools: Channel
) -> None:
    miss_often(client)
    filters = cache.current().name_filters
    Generation.rise()
    miss(client, 1)  # which looks the channel up again
    assert cache.current().name_filters is filters
    with CaptureQueriesContext(connection) as queries:
        miss(client, 2)
    assert not queries.captured_queries


def test_a_section_of_too_many_names_is_looked_up_each_time(
    client: Client, tools: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_filters, "MOST_NAMES", 0)
    miss_often(client)
    with CaptureQueriesContext(connection) as queries:
        miss(client, 1000)
    assert 1 <= len(queries.captured_queries) <= 2


def test_filters_are_bounded_in_bytes(tools: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_filters, "MEMORY", 2000)
    monkeypatch.setattr(name_filters, "FROM_MISSES", 1)
    sections = NameFilters()
    for section in range(100):
        sections.count_miss(tools, f"section{section}")
    assert sections._filters.weight <= 2000
    assert sections._filters.items
