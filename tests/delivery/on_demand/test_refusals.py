"""What could not be fetched is not asked for in a loop."""

from __future__ import annotations

import pytest

from channels.lease import LivenessMonitor
from channels.models import Channel, Refusal
from delivery.on_demand import pending, refusals
from tests.channels import factory
from tests.delivery.on_demand.files import (
    BIG,
    SMALL,
    path,
)
from tests.rogue import failing
from tests.upstream import FakeUpstream
from tests.wsgi import Client

pytestmark = pytest.mark.django_db(transaction=True)


def test_p04_without_its_upstream_the_server_gives_what_it_has(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    client.get(path(SMALL))
    upstream.stop()
    assert client.get(path(SMALL)).body == SMALL.content
    assert client.get("/api/repo/tools/noarch/repodata.json").status == 200
    answer = client.get(path(BIG))
    assert answer.status == 502
    assert "could not be fetched from the upstream" in answer.detail


def test_a_refusal_is_remembered_for_a_while(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    upstream.remove(f"/noarch/{BIG.filename}")
    for _ in range(5):
        answer = client.get(path(BIG))
        assert answer.status == 404
        assert "no longer has it" in answer.detail
    assert upstream.count(f"/noarch/{BIG.filename}") == 1
    upstream.set(f"/noarch/{BIG.filename}", BIG.content)
    refusal = Refusal.objects.get()
    Refusal.objects.update(until=refusal.until.replace(year=2020))
    pending.reap(LivenessMonitor())
    assert not Refusal.objects.exists()
    assert client.get(path(BIG)).body == BIG.content


def test_a_refusal_says_when_to_ask_again_and_ends_with_a_run(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    upstream.behave(f"/noarch/{BIG.filename}", failing(500, times=1))
    for _ in range(2):
        answer = client.get(path(BIG))
        assert answer.status == 502
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert upstream.count(f"/noarch/{BIG.filename}") == 1
    refusals.forget(factory.channel("other"), "http://elsewhere/")
    assert client.get(path(BIG)).status == 502
    refusals.forget(factory.channel("behind"), upstream.url)
    assert client.get(path(BIG)).body == BIG.content


def test_a_refusal_is_of_the_bytes_that_were_expected(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    other = factory.made(SMALL.filename, b"other" * 200)
    upstream.set(f"/noarch/{SMALL.filename}", other.content)
    assert client.get(path(SMALL)).status == 502
    origin = factory.file_source(f"{upstream.url}/noarch/")
    factory.publish(tools, {"noarch": [other, BIG]}, file_source=origin, here=False)
    assert client.get(path(SMALL)).body == other.content
