"""A wheel whose metadata file cannot be had stays listed, and the file is not offered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from channels.models import Channel, UnavailableFile
from mirrors import warnings
from mirrors.models import Mirror
from tests import scene
from tests.rogue import Behaviour, failing
from tests.runs.test_python import SDIST, WHEEL, ask, files, mirror, page
from tests.simpletree import FakeSimple
from workers import retention

pytestmark = pytest.mark.django_db(transaction=True)

ODD = "odd-1.0-py3-none-any.whl"
BROKEN = [
    failing(503, retry_after="600"),
    failing(404),
    failing(403),
    Behaviour(body=b"Metadata-Version: 2.1\nName: evil\n"),
    Behaviour(cut_at=5),
]


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    """An index with a good wheel, and one that holds no metadata that could be read."""
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel("six", "1.16.0")
        server.add_sdist("six", "1.15.0")
        text = b"Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n"
        server.add_raw(
            "odd",
            ODD,
            b"no archive",
            **{"core-metadata": {"sha256": hashlib.sha256(text).hexdigest()}},
        )
        server.set(server.path(f"{ODD}.metadata"), text)
        server.publish()
        yield server


def made(channel: Channel, simple: FakeSimple, mode: str) -> Mirror:
    return mirror(channel, simple, mirror_mode=mode, filters={"projects": ["six", "odd"]})


def offered(channel: Channel, project: str = "odd") -> bool:
    """Whether the project's wheel is listed with its metadata; it is listed in any case."""
    [wheel] = [one for one in page(channel, project)["files"] if one["filename"].endswith(".whl")]
    return "core-metadata" in wheel or "data-dist-info-metadata" in wheel


def told(what: Mirror) -> bool:
    return any(
        f"1 file listed without metadata, which is asked for again in every run: {ODD}" in text
        for text in warnings.of(what)
    )


@pytest.mark.parametrize("fault", BROKEN)
def test_an_active_mirror_lists_the_wheel_without_it_and_asks_again(
    simple: FakeSimple, fault: Behaviour
) -> None:
    channel = scene.channel()
    what = made(channel, simple, "active")
    path = simple.path(f"{ODD}.metadata")
    simple.behave(path, fault)
    for _ in range(2):
        simple.forget()
        run = scene.run_now(what)
        assert (run.state, run.counts["active"], run.counts["failed"]) == ("completed", 3, 0)
        assert not offered(channel)
        assert offered(channel, "six")
        assert told(what)
        assert run.log.filter(text__contains="listed without metadata").exists()
        assert simple.count(path) >= 1
        assert ask(channel, f"/odd/{ODD}").status == 200
        assert ask(channel, f"/odd/{ODD}.metadata").status == 404
        # What lies there counts as little as nothing, for clean-up too.
        retention.clean_up()
    simple.behave(path)
    assert scene.run_now(what).state == "completed"
    assert offered(channel)
    assert warnings.of(what) == []
    simple.forget()
    assert ask(channel, f"/odd/{ODD}.metadata").status == 200
    assert simple.count(path) == 0


@pytest.mark.parametrize("fault", BROKEN)
def test_a_passive_mirror_stops_offering_what_a_client_could_not_have(
    simple: FakeSimple, fault: Behaviour
) -> None:
    channel = scene.channel()
    what = made(channel, simple, "passive")
    scene.run_now(what)
    path = simple.path(f"{ODD}.metadata")
    assert offered(channel)
    simple.behave(path, fault)
    assert ask(channel, f"/odd/{ODD}.metadata").status >= 400
    scene.publish(channel)
    assert not offered(channel)
    assert told(what)
    run = scene.run_now(what)
    assert run.counts["passive"] == 3
    assert not offered(channel)
    assert ask(channel, f"/odd/{ODD}").status == 200
    simple.behave(path)
    scene.run_now(what)
    assert offered(channel)
    assert warnings.of(what) == []
    assert ask(channel, f"/odd/{ODD}.metadata").status == 200


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_metadata_that_is_not_what_the_wheel_holds_is_not_offered(
    simple: FakeSimple, mode: str
) -> None:
    """The upstream serves what its index states, and the wheel says something else."""
    text = b"Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\nRequires-Dist: evil\n"
    stated = {"sha256": hashlib.sha256(text).hexdigest()}
    simple.listing("six", WHEEL)["core-metadata"] = stated
    simple.set(simple.path(f"{WHEEL}.metadata"), text)
    simple.publish()
    channel = scene.channel()
    what = made(channel, simple, mode)
    scene.run_now(what)
    if mode == "passive":
        assert ask(channel, f"/six/{WHEEL}").status == 200
        assert ask(channel, f"/six/{WHEEL}.metadata").status == 502
    scene.publish(channel)
    assert not offered(channel, "six")
    assert files(channel, "six") == [SDIST, WHEEL]
    assert any("is not what its own file holds" in text for text in warnings.of(what))
    scene.run_now(what)
    assert not offered(channel, "six")


def test_a_passive_mirror_takes_it_out_of_a_wheel_that_is_here(simple: FakeSimple) -> None:
    channel = scene.channel()
    scene.run_now(made(channel, simple, "passive"))
    path = simple.path(f"{WHEEL}.metadata")
    text = simple.bytes_at(path)
    simple.behave(path, failing(503))
    assert ask(channel, f"/six/{WHEEL}").status == 200
    assert ask(channel, f"/six/{WHEEL}.metadata").body == text
    assert simple.count(path) == 0


def test_another_hash_in_the_index_ends_it(simple: FakeSimple) -> None:
    channel = scene.channel()
    what = made(channel, simple, "active")
    path = simple.path(f"{ODD}.metadata")
    simple.behave(path, failing(404))
    scene.run_now(what)
    assert not offered(channel)
    simple.behave(path)
    simple.set(path, b"Metadata-Version: 2.2\n")
    stated = {"sha256": hashlib.sha256(b"Metadata-Version: 2.2\n").hexdigest()}
    simple.listing("odd", ODD)["core-metadata"] = stated
    simple.publish()
    scene.run_now(what)
    assert offered(channel)
    assert not UnavailableFile.objects.exists()


def test_a_mirror_of_an_own_channel_follows(simple: FakeSimple, settings: Any) -> None:
    first, second = scene.channel("first"), scene.channel("second")
    mine = made(first, simple, "active")
    path = simple.path(f"{ODD}.metadata")
    simple.behave(path, failing(503))
    scene.run_now(mine)
    url = f"{settings.PUBLIC_URL}/api/repo/first/simple/"
    copy = scene.mirror(second, url, mirror_type="python_simple", mirror_mode="active")
    scene.run_now(copy)
    assert (offered(first), offered(second)) == (False, False)
    simple.behave(path)
    scene.run_now(mine)
    scene.run_now(copy)
    assert (offered(first), offered(second)) == (True, True)
