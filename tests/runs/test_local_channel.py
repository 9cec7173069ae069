"""A mirror of an own channel: everything that belongs to the source comes along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels.models import Channel
from mirrors.models import Mirror
from tests import scene
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def conda(settings: Any) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("noarch", "a", "1.0")
        server.publish()
        says(server, "first")
        yield server


def says(conda: FakeConda, word: str) -> None:
    """What the upstream says beside its index."""
    exports = {
        "packages": {},
        "packages.conda": {"a-1.0-0.conda": {"run_exports": {"weak": [word]}}},
    }
    conda.set(conda.path("noarch", "run_exports.json"), json.dumps(exports).encode())
    data = {"channeldata_version": 1, "packages": {"a": {"summary": word}}, "subdirs": ["noarch"]}
    conda.set(conda.path("", "channeldata.json").replace("//", "/"), json.dumps(data).encode())


def said(channel: Channel) -> tuple[str, str]:
    channel.refresh_from_db()
    exports = json.loads(scene.document(channel, "noarch", "run_exports.json"))
    data = json.loads(scene.document(channel, "", "channeldata.json"))
    [word] = exports["packages.conda"]["a-1.0-0.conda"]["run_exports"]["weak"]
    return word, data["packages"]["a"]["summary"]


def test_signatures_come_along_and_follow(conda: FakeConda, settings: Any) -> None:
    url = f"{settings.PUBLIC_URL}/api/repo/first"
    mine, copy = pair(conda.channel, url, filters={"subdirs": ["noarch"]}, mirror_mode="passive")
    for signature in ("00", "11"):
        said = {"a-1.0-0.conda": {"key": {"signature": signature}}}
        conda.publish(extra={"signatures": said})
        for one in (mine, copy):
            assert scene.run_now(one).state == "completed"
        index = json.loads(scene.document(copy.channel, "noarch", "repodata.json"))
        assert index["signatures"] == said


def pair(source: str, url: str, **body: Any) -> tuple[Mirror, Mirror]:
    first, second = scene.channel("first"), scene.channel("second")
    return scene.mirror(first, source, **body), scene.mirror(second, url, **body)


def test_optional_files_of_conda_come_along_and_follow(conda: FakeConda, settings: Any) -> None:
    url = f"{settings.PUBLIC_URL}/api/repo/first"
    mine, copy = pair(conda.channel, url, filters={"subdirs": ["noarch"]}, mirror_mode="passive")
    assert scene.run_now(mine).state == "completed"
    assert scene.run_now(copy).state == "completed"
    assert said(copy.channel) == ("first", "first")
    number = Channel.objects.get(pk=copy.channel_id).current
    assert scene.run_now(copy).state == "completed"
    assert Channel.objects.get(pk=copy.channel_id).current == number
    says(conda, "second")
    conda.add("noarch", "b", "1.0")  # Optional files are asked for with a new index.
    conda.publish()
    says(conda, "second")
    assert scene.run_now(mine).state == "completed"
    assert said(mine.channel) == ("second", "second")
    assert scene.run_now(copy).state == "completed"
    assert said(copy.channel) == ("second", "second")


def test_channeldata_alone_is_followed(conda: FakeConda, settings: Any) -> None:
    url = f"{settings.PUBLIC_URL}/api/repo/first"
    body = {"filters": {"subdirs": ["noarch"]}, "mirror_mode": "passive"}
    mine, copy = pair(conda.channel, url, **body)
    scene.run_now(mine)
    scene.run_now(copy)
    # Of another subdir, which the copy does not have.
    conda.add("linux-64", "a", "1.0")
    conda.publish()
    says(conda, "second")
    body["filters"] = {"subdirs": ["linux-64"]}
    other = scene.mirror(mine.channel, conda.channel, **body)
    assert scene.run_now(other).state == "completed"
    assert json.loads(scene.document(mine.channel, "", "channeldata.json"))["packages"]
    assert said(mine.channel)[1] == "second"
    assert scene.run_now(copy).state == "completed"
    assert said(copy.channel)[1] == "second"
