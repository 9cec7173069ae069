"""Mirrors of a Simple index that states other hashes than SHA-256, or none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels.models import Channel, Package, Pin
from ecosystems import registry
from mirrors import replaced_files, services
from mirrors.models import Mirror
from publishing import explain
from publishing.published_records import records_of
from runs.execute import execute
from tests import scene
from tests.simpletree import FakeSimple
from tests.wsgi import Answer, Client, packages

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/vnd.pypi.simple.v1+json"
SDIST = "tool-1.0.tar.gz"


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_sdist("tool", "1.0")
        yield server


def state_hash(simple: FakeSimple, algorithm: str) -> str:
    """Have the index state this hash only; what it is."""
    content = simple.bytes_at(simple.path(SDIST))
    digest = hashlib.new(algorithm, content).hexdigest()
    simple.listing("tool", SDIST)["hashes"] = {algorithm: digest}
    simple.publish()
    return digest


def mirror(channel: Channel, simple: FakeSimple, **body: Any) -> Mirror:
    body.setdefault("filters", {"projects": ["tool"]})
    return scene.mirror(channel, simple.index, mirror_type="python_simple", **body)


def ask(channel: Channel, path: str, accept: str = JSON) -> Answer:
    address = f"/api/repo/{channel.path}/simple{path}"
    return Client(packages).ask("GET", address, {"accept": accept})


def listed(channel: Channel) -> list[dict[str, Any]]:
    answer = ask(channel, "/tool/")
    assert answer.status == 200, answer.body
    files: list[dict[str, Any]] = json.loads(answer.body)["files"]
    return files


@pytest.mark.parametrize("algorithm", ["sha512", "sha384", "blake2b", "sha3_256", "sha1", "md5"])
@pytest.mark.parametrize("mode", ["active", "passive"])
def test_any_hash_verifies_and_ours_stands_beside_it_once_the_file_is_here(
    simple: FakeSimple, algorithm: str, mode: str
) -> None:
    digest = state_hash(simple, algorithm)
    content = simple.bytes_at(simple.path(SDIST))
    ours = hashlib.sha256(content).hexdigest()
    channel = scene.channel()
    what = mirror(channel, simple, mirror_mode=mode)
    run = scene.run_now(what)
    assert (run.state, run.counts["failed"]) == ("completed", 0)
    if mode == "passive":
        assert listed(channel)[0]["hashes"] == {algorithm: digest}
    answer = ask(channel, f"/tool/{SDIST}")
    assert (answer.body, answer.headers["ETag"]) == (content, f'"{ours}"')
    run = scene.run_now(what)
    assert run.counts["listed"] == 1
    assert listed(channel)[0]["hashes"] == {algorithm: digest, "sha256": ours}
    assert f"#sha256={ours}" in ask(channel, "/tool/", "text/html").body.decode()
    simple.forget()
    assert ask(channel, f"/tool/{SDIST}").status == 200
    assert simple.count(simple.path(SDIST)) == 0


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_bytes_that_do_not_have_the_hash_are_refused(simple: FakeSimple, mode: str) -> None:
    simple.listing("tool", SDIST)["hashes"] = {"sha512": "0" * 128}
    simple.publish()
    channel = scene.channel()
    run = scene.run_now(mirror(channel, simple, mirror_mode=mode))
    if mode == "active":
        assert run.counts["failed"] == 1
        assert "sha512" in run.failures.get().message
    else:
        answer = ask(channel, f"/tool/{SDIST}")
        assert answer.status == 502
        assert b"sha512" in answer.body
    assert not Pin.objects.exists()


def test_another_hash_in_the_index_means_another_file_which_is_held_until_released(
    simple: FakeSimple,
) -> None:
    state_hash(simple, "sha512")
    channel = scene.channel()
    what = mirror(channel, simple, mirror_mode="active")
    scene.run_now(what)
    before, old = listed(channel), simple.bytes_at(simple.path(SDIST))
    simple.set(simple.path(SDIST), b"the next bytes")
    simple.listing("tool", SDIST)["size"] = len(b"the next bytes")
    state_hash(simple, "sha512")
    run = scene.run_now(what)
    assert (run.counts["failed"], run.counts["mirror_filtered"]) == (0, {"replaced": 1})
    assert listed(channel) == before
    assert ask(channel, f"/tool/{SDIST}").body == old
    assert replaced_files.release(what, actor="admin") == [f"simple/{SDIST}"]
    run = what.runs.get(state="pending")
    execute(run.pk, interrupted=lambda: False)
    run.refresh_from_db()
    assert (run.counts["failed"], run.counts["active"]) == (0, 1)
    assert ask(channel, f"/tool/{SDIST}").body == b"the next bytes"
    assert listed(channel)[0]["hashes"]["sha256"] == hashlib.sha256(b"the next bytes").hexdigest()


@pytest.fixture
def hashless(simple: FakeSimple) -> FakeSimple:
    simple.listing("tool", SDIST)["hashes"] = {}
    simple.publish()
    return simple


def test_a_file_without_a_hash_is_left_out_counted_and_named(hashless: FakeSimple) -> None:
    """M04."""
    channel = scene.channel()
    run = scene.run_now(mirror(channel, hashless))
    assert run.counts["mirror_filtered"] == {"unhashed": 1}
    (answer,) = explain.why(channel, "tool").items
    assert (answer["rule"], answer["filename"]) == ("unhashed", SDIST)
    answered = ask(channel, f"/tool/{SDIST}")
    assert answered.status == 404
    assert b"states no hash" in answered.body


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_where_it_is_allowed_the_first_bytes_are_pinned_and_marked(
    hashless: FakeSimple, mode: str
) -> None:
    """M04."""
    content = hashless.bytes_at(hashless.path(SDIST))
    ours = hashlib.sha256(content).hexdigest()
    channel = scene.channel()
    filters = {"projects": ["tool"], "allow_unhashed": True}
    what = mirror(channel, hashless, mirror_mode=mode, filters=filters)
    scene.run_now(what)
    assert ask(channel, f"/tool/{SDIST}").body == content
    scene.run_now(what)
    (entry,) = listed(channel)
    assert (entry["hashes"], entry["_unverified"]) == ({"sha256": ours}, True)
    (record,) = records_of(Package.objects.at(channel_now(channel)).get(name="tool"))
    shown = registry.of_family("python").metadata(record)
    assert (shown["unverified"], "_unverified" in shown) == (True, False)
    hashless.set(hashless.path(SDIST), b"x" * len(content))
    assert ask(channel, f"/tool/{SDIST}").body == content
    assert Pin.objects.get().sha256 == ours


def channel_now(channel: Channel) -> int:
    channel.refresh_from_db()
    return channel.current


def test_what_is_no_longer_allowed_leaves_at_once(hashless: FakeSimple) -> None:
    channel = scene.channel()
    filters = {"projects": ["tool"], "allow_unhashed": True}
    what = mirror(channel, hashless, mirror_mode="active", filters=filters)
    scene.run_now(what)
    services.edit(what, {"filters": {"projects": ["tool"]}}, actor="admin")
    scene.publish(channel)
    assert ask(channel, f"/tool/{SDIST}").status == 404


@pytest.mark.parametrize("allowed", [False, True])
def test_an_upstream_that_loses_its_hashes_is_held(
    simple: FakeSimple, settings: Any, allowed: bool
) -> None:
    settings.GUARD_MIN = 0
    simple.publish()
    channel = scene.channel()
    filters = {"projects": ["tool"], "allow_unhashed": allowed}
    what = mirror(channel, simple, mirror_mode="active", filters=filters)
    scene.run_now(what)
    before = listed(channel)
    simple.listing("tool", SDIST)["hashes"] = {}
    simple.publish()
    run = scene.run_now(what)
    (hold,) = run.held.values()
    assert "is empty now; it listed 1 files." in hold["reason"]
    assert "1 more are listed without the hash that they had" in hold["reason"]
    assert listed(channel) == before


def test_files_that_never_had_a_hash_are_no_loss_for_the_guard(
    hashless: FakeSimple, settings: Any
) -> None:
    settings.GUARD_MIN = 0
    what = mirror(scene.channel(), hashless)
    scene.run_now(what)
    hashless.add_sdist("tool", "2.0")
    hashless.publish()
    assert scene.run_now(what).held == {}
