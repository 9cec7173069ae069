"""Which file is fetched, and through which channels of this server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from channels.models import Channel
from delivery.on_demand.request import MAX_SOURCE_CHANNELS
from history.models import Event
from publishing import explain
from publishing.explain import Verdict
from tests.channels import factory
from tests.delivery.on_demand.files import (
    BIG,
    SMALL,
    chain,
    path,
)
from tests.upstream import FakeUpstream
from tests.wsgi import Client

pytestmark = pytest.mark.django_db(transaction=True)


def test_asking_about_a_file_does_not_fetch_it(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    head = client.head(path(BIG))
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BIG.content)))
    assert head.headers["ETag"] == f'"{BIG.sha256}"'
    assert client.get(path(BIG), if_none_match=f'"{BIG.sha256}"').status == 304
    assert client.ask("OPTIONS", path(BIG)).status == 405
    assert client.get(path(replace(BIG, filename="no-1-0.conda"))).status == 404
    assert upstream.count() == 0


def test_a_refused_file_is_not_fetched(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    explain.verdict = lambda *_: Verdict(True, "Left out by a rule.")
    factory.publish(tools, {"noarch": [BIG]}, here=False)
    answer = client.get(path(SMALL))
    assert (answer.status, answer.detail) == (404, "Left out by a rule.")
    assert upstream.count() == 0


def test_a_file_comes_through_the_channels_it_is_mirrored_from(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    last = chain(2, tools)
    answer = client.get(f"/api/repo/{last}/noarch/{SMALL.filename}")
    assert answer.body == SMALL.content
    assert upstream.count(f"/noarch/{SMALL.filename}") == 1
    told = Event.objects.filter(type="artifact_generated").values_list("channel_id", flat=True)
    assert len(set(told)) == 3


def test_too_long_a_chain_of_channels_is_an_error(client: Client, tools: Channel) -> None:
    last = chain(MAX_SOURCE_CHANNELS + 1, tools)
    answer = client.get(f"/api/repo/{last}/noarch/{SMALL.filename}")
    assert (answer.status, "too many channels" in answer.detail) == (502, True)


def test_a_source_channel_that_has_no_such_file_any_more_is_said(
    client: Client, tools: Channel
) -> None:
    last = chain(1, tools)
    factory.publish(tools, {"noarch": [BIG]}, here=False)
    tools.revisions.update(retired_at=None)
    answer = client.get(f"/api/repo/{last}/noarch/{SMALL.filename}")
    assert (answer.status, "of the channel tools" in answer.detail) == (404, True)
