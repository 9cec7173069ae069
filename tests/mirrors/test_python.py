"""Mirrors of a Simple index, from its pages to what clients see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels import repo
from channels.models import Channel
from mirrors.models import Mirror
from tests import scene
from tests.simpletree import FakeSimple
from tests.wsgi import Client

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/vnd.pypi.simple.v1+json"
SIX = {"projects": ["six", "numpy"]}


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel("six", "1.16.0", requires_python=">=3.8")
        server.add_sdist("six", "1.15.0", yanked="broken")
        server.add_wheel("numpy", "2.0", requires=("six",), license="GPL-3.0-only")
        server.add_wheel("other", "1.0")
        server.publish()
        yield server


def mirror(channel: Channel, simple: FakeSimple, **body: Any) -> Mirror:
    body.setdefault("filters", SIX)
    return scene.mirror(channel, simple.index, mirror_type="python_simple", **body)


def page(channel: Channel, project: str) -> dict[str, Any]:
    answer = Client(repo.application).get(
        f"/api/repo/{channel.path}/simple/{project}/", accept=JSON
    )
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"] == JSON
    found: dict[str, Any] = json.loads(answer.body)
    return found


def files(channel: Channel, project: str) -> list[str]:
    return [file["filename"] for file in page(channel, project)["files"]]


def test_a_passive_mirror_of_some_projects_asks_for_their_pages_only(simple: FakeSimple) -> None:
    channel = scene.channel()
    run = scene.run_now(mirror(channel, simple))
    assert (run.state, run.error) == ("completed", "")
    assert sorted(r.path for r in simple.requests()) == ["/simple/numpy/", "/simple/six/"]
    assert run.counts["passive"] == run.counts["listed"] == 3
    assert files(channel, "six") == ["six-1.15.0.tar.gz", "six-1.16.0-py3-none-any.whl"]
