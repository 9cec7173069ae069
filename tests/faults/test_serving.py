"""Family P: clients of a mirrored channel, from its run to their request."""

from __future__ import annotations

import json

import msgpack
import pytest
import zstandard
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channels import services as channel_manage
from channels.models import Channel, Refusal
from mirrors import services
from mirrors.models import Mirror
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.processes import Worker
from tests.rogue import Behaviour
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

SIX = "six-1.16.0-0.conda"
OLDER = "six-1.15.0-0.tar.bz2"


@pytest.fixture
def client() -> Client:
    return Client(application)


@pytest.fixture
def passive(conda: FakeConda) -> Mirror:
    """A passive mirror that has run."""
    mirror = scene.mirror(scene.channel(), conda.channel)
    scene.run_now(mirror)
    conda.forget()
    return mirror


def path(name: str, section: str = "noarch") -> str:
    return f"/api/repo/main/{section}/{name}"


def test_P01_web_processes_share_one_fetch_and_survive_its_leader(
    conda: FakeConda, passive: Mirror, client: Client
) -> None:
    held = Behaviour(hold_at=10, times=1)
    conda.behave(conda.path("noarch", SIX), held)
    with Worker("fetch", path(SIX)) as leader, Worker("fetch", path(SIX)) as follower:
        assert held.held.wait(60)
        assert conda.count(conda.path("noarch", SIX)) == 1
        leader.kill()
        follower.kill()
    held.release()
    answer = client.get(path(SIX))
    assert answer.status == 200
    assert conda.count(conda.path("noarch", SIX)) == 2
    invariants.check(passive.channel, fetch=True)


def test_P04_without_the_upstream_an_active_channel_gives_everything(
    conda: FakeConda, client: Client
) -> None:
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, conda.channel, mirror_mode="active"))
    conda.stop()
    invariants.check(channel, fetch=True)


def test_P04_without_the_upstream_a_passive_channel_gives_what_is_here_and_words(
    conda: FakeConda, passive: Mirror, client: Client
) -> None:
    assert client.get(path(OLDER)).status == 200
    conda.stop()
    assert client.get(path("repodata.json.zst")).status == 200
    assert client.get(path(OLDER)).status == 200
    for _ in range(3):
        refused = client.get(path(SIX))
        assert refused.status == 502
        assert "could not be fetched from the upstream" in refused.detail
    assert Refusal.objects.count() == 1
    invariants.check(passive.channel)


def test_P05_a_storm_of_misses_asks_once_and_hits_go_on(passive: Mirror, client: Client) -> None:
    missing = path("six-9.9-0.conda")
    first = client.get(missing)
    assert first.status == 404
    with CaptureQueriesContext(
        connection,
    ) as asked:
        for _ in range(50):
            assert client.get(missing).body == first.body
    assert len(asked) <= 50, "one look at the generation each, at most"
    assert client.get(path("repodata.json")).status == 200
    invariants.check(passive.channel)


def test_P06_asking_about_a_file_fetches_nothing_and_odd_ranges_are_harmless(
    conda: FakeConda, passive: Mirror, client: Client
) -> None:
    head = client.head(path(SIX))
    assert (head.status, conda.count()) == (200, 0)
    assert client.ask("OPTIONS", path(SIX)).status == 405
    whole = client.get(path(SIX))
    size = len(whole.body)
    assert head.headers["Content-Length"] == str(size)
    many = "bytes=" + ",".join(f"{n}-{n}" for n in range(1000))
    for header in (many, "bytes=-", "bytes=a-b", "lines=1-2", "bytes=5-2"):
        answer = client.get(path(SIX), range=header)
        assert (answer.status, answer.body) == (200, whole.body), header
    assert client.get(path(SIX), range=f"bytes={size}-").status == 416
    part = client.get(path(SIX), range="bytes=-10", if_range=whole.headers["ETag"])
    assert (part.status, part.body) == (206, whole.body[-10:])
    stale = client.get(path(SIX), range="bytes=-10", if_range='"old"')
    assert (stale.status, stale.body) == (200, whole.body)
    assert conda.count() == 1
    invariants.check(passive.channel, fetch=True)


@pytest.mark.parametrize("who", ["mirror", "channel"])
@pytest.mark.parametrize("published", [True, False])
def test_P08_what_a_rule_refuses_is_in_no_index_and_at_no_address(
    conda: FakeConda, passive: Mirror, client: Client, who: str, published: bool
) -> None:
    assert client.get(path(SIX)).status == 200
    shard = _shard(client, "six")
    terms = {"filters": {"exclude_specs": ["six==1.16.0"]}}
    if who == "mirror":
        services.edit(passive, terms, actor="admin")
    else:
        channel_manage.edit(passive.channel, terms, actor="admin")
    if published:
        scene.publish(passive.channel)
        assert SIX not in scene.listed(passive.channel)
        assert _shard(client, "six") != shard
    for address in (path(SIX), f"/api/repo/main.r2/noarch/{SIX}"):
        refused = client.get(address)
        assert refused.status == 404, address
        assert "left out by" in refused.detail
        assert client.head(address).status == 404
        assert client.get(address, range="bytes=0-1").status == 404
    assert client.get(path(OLDER)).status == 200
    scene.publish(passive.channel)
    invariants.check(passive.channel, fetch=True)


def test_P08_what_the_guard_holds_is_not_served(
    conda: FakeConda, passive: Mirror, client: Client, settings: LazySettings
) -> None:
    settings.GUARD_MIN = 0
    conda.add("noarch", "held", "1")
    conda.unlist("noarch", OLDER)
    conda.unlist("noarch", SIX)
    conda.publish()
    assert scene.run_now(passive).held
    assert client.get(path("held-1-0.conda")).status == 404
    assert client.get(path(SIX)).status == 200
    invariants.check(Channel.objects.get())


def _shard(client: Client, name: str) -> str:
    packed = client.get(path("repodata_shards.msgpack.zst")).body
    index = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(packed))
    digest: str = index["shards"][name].hex()
    answer = client.get(path(f"shards/{digest}.msgpack.zst"))
    assert answer.status == 200
    assert json.loads(client.get(path("repodata.json")).body)
    return digest
