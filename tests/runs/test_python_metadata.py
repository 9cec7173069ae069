"""Indexes without metadata files (devpi and the like): ours come out of wheels that are here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels.models import Blob, Channel
from mirrors.models import Mirror
from tests import scene
from tests.simpletree import FakeSimple
from tests.wsgi import Answer, Client, packages
from workers import collect_blobs

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/vnd.pypi.simple.v1+json"
WHEEL, SDIST = "tool-1.0-py3-none-any.whl", "tool-0.9.tar.gz"


@pytest.fixture
def bare(settings: Any) -> Iterator[FakeSimple]:
    """An index whose wheels have no metadata beside them."""
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel("tool", "1.0", requires=["other>=2"], metadata=False)
        server.add_sdist("tool", "0.9")
        server.publish()
        yield server


def mirror(channel: Channel, simple: FakeSimple, mode: str, **filters: Any) -> Mirror:
    filters = {"projects": ["tool"], **filters}
    return scene.mirror(
        channel, simple.index, mirror_type="python_simple", mirror_mode=mode, filters=filters
    )


def ask(channel: Channel, path: str) -> Answer:
    address = f"/api/repo/{channel.path}/simple{path}"
    return Client(packages).ask("GET", address, {"accept": JSON})


def metadata_hash(channel: Channel) -> str:
    """What the page says of the wheel's metadata; "" for nothing."""
    files = {file["filename"]: file for file in json.loads(ask(channel, "/tool/").body)["files"]}
    assert "core-metadata" not in files[SDIST]
    stated: str = files[WHEEL].get("core-metadata", {}).get("sha256", "")
    return stated


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_metadata_is_offered_once_the_wheel_is_here(bare: FakeSimple, mode: str) -> None:
    channel = scene.channel()
    what = mirror(channel, bare, mode)
    scene.run_now(what)
    if mode == "passive":
        assert metadata_hash(channel) == ""
        assert ask(channel, f"/tool/{WHEEL}.metadata").status == 404
        assert ask(channel, f"/tool/{WHEEL}").status == 200
        scene.run_now(what)
    bare.forget()
    answer = ask(channel, f"/tool/{WHEEL}.metadata")
    assert b"Requires-Dist: other>=2" in answer.body
    assert metadata_hash(channel) == hashlib.sha256(answer.body).hexdigest()
    assert bare.count() == 0


def test_it_stays_when_nothing_has_changed_and_through_clean_up(
    bare: FakeSimple, settings: Any
) -> None:
    settings.BLOB_GRACE_HOURS = 0
    channel = scene.channel()
    what = mirror(channel, bare, "active")
    scene.run_now(what)
    digest = metadata_hash(channel)
    channel.refresh_from_db()
    number = channel.current
    scene.run_now(what)
    scene.publish(channel)
    assert (channel.current, metadata_hash(channel)) == (number, digest)
    assert digest in collect_blobs._listed_files()
    assert Blob.objects.filter(pk=digest, file=True).exists()


def test_a_license_rule_acts_on_what_came_without_metadata(bare: FakeSimple) -> None:
    channel = scene.channel()
    what = mirror(channel, bare, "passive", exclude_licenses=["MIT"])
    scene.run_now(what)
    assert ask(channel, f"/tool/{WHEEL}").status == 200
    run = scene.run_now(what)
    assert run.counts["mirror_filtered"] == {"license": 1}
    assert ask(channel, f"/tool/{WHEEL}").status == 404


def test_a_wheel_that_holds_no_metadata_is_listed_without(bare: FakeSimple) -> None:
    bare.add_raw("tool", "tool-2.0-py3-none-any.whl", b"no archive at all")
    bare.publish()
    channel = scene.channel()
    run = scene.run_now(mirror(channel, bare, "active"))
    assert (run.counts["active"], run.counts["failed"]) == (3, 0)
    files = json.loads(ask(channel, "/tool/").body)["files"]
    assert [bool(file.get("core-metadata")) for file in files] == [False, True, False]
