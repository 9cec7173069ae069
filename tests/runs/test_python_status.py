"""Projects that may not be used (PEP 792): refused by rules, or quarantined by the upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels import services as channel_manage
from channels.models import Channel
from history.models import Event
from mirrors.models import Mirror, Snapshot
from tests import scene
from tests.simpletree import FakeSimple
from tests.wsgi import Answer, Client, packages

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/vnd.pypi.simple.v1+json"
BAD, GOOD = "bad-1.0-py3-none-any.whl", "good-1.0-py3-none-any.whl"


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_wheel("bad", "1.0", license="GPL-3.0-only")
        server.add_wheel("good", "1.0")
        for number in range(30):
            server.add_wheel("many", f"1.{number}")
        server.publish()
        yield server


def mirror(channel: Channel, simple: FakeSimple, **filters: Any) -> Mirror:
    filters = {"projects": ["bad", "good", "many"], **filters}
    return scene.mirror(channel, simple.index, mirror_type="python_simple", filters=filters)


def ask(channel: Channel, path: str, accept: str = JSON) -> Answer:
    address = f"/api/repo/{channel.path}/simple{path}"
    return Client(packages).ask("GET", address, {"accept": accept})


def status(channel: Channel, project: str) -> dict[str, str]:
    answer = ask(channel, f"/{project}/")
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    page = json.loads(answer.body)
    assert (page["name"], page["files"], page["versions"]) == (project, [], [])
    found: dict[str, str] = page["project-status"]
    return found


def test_a_project_whose_every_file_is_refused_says_why_in_both_forms(simple: FakeSimple) -> None:
    channel = scene.channel()
    scene.run_now(mirror(channel, simple, exclude_licenses=["GPL3"]))
    told = status(channel, "bad")
    assert told["status"] == "quarantined"
    assert 'the license "GPL-3.0-only" belongs to the excluded family GPL3' in told["reason"]
    html = ask(channel, "/bad/", "text/html").body.decode()
    assert '<meta name="pypi:project-status" content="quarantined">' in html
    assert "excluded family GPL3" in html
    assert "<a " not in html
    assert ask(channel, f"/bad/{BAD}").status == 404
    assert "project-status" not in json.loads(ask(channel, "/good/").body)


def test_what_no_rule_speaks_of_is_404_still(simple: FakeSimple) -> None:
    channel = scene.channel()
    scene.run_now(mirror(channel, simple, exclude_licenses=["GPL3"]))
    assert ask(channel, "/nowhere/").status == 404


def test_a_project_comes_back_when_the_rule_goes(simple: FakeSimple) -> None:
    channel = scene.channel(filters={"exclude_specs": ["bad"]})
    scene.run_now(mirror(channel, simple))
    assert "excluded spec bad" in status(channel, "bad")["reason"]
    channel_manage.edit(channel, {"filters": {}}, actor="admin")
    scene.publish(channel)
    assert [file["filename"] for file in json.loads(ask(channel, "/bad/").body)["files"]] == [BAD]


def test_a_quarantined_project_of_the_upstream_keeps_its_reason(simple: FakeSimple) -> None:
    simple.status["bad"] = {"status": "quarantined", "reason": "it  steals\nkeys"}
    simple.publish()
    channel = scene.channel()
    run = scene.run_now(mirror(channel, simple))
    assert run.counts["mirror_filtered"] == {"invalid": 1}
    assert "quarantined the project: it steals keys" in status(channel, "bad")["reason"]


def test_a_quarantine_acts_though_the_guard_holds_the_index(
    simple: FakeSimple, settings: Any
) -> None:
    settings.GUARD_MIN, settings.GUARD_SHARE = 3, 0.1
    channel = scene.channel()
    what = mirror(channel, simple)
    scene.run_now(what)
    simple.status["bad"] = {"status": "quarantined"}
    for number in range(1, 30):
        simple.drop("many", f"many-1.{number}-py3-none-any.whl")
    simple.publish()
    run = scene.run_now(what)
    what.refresh_from_db()
    assert (run.state, list(what.held)) == ("completed", ["simple"])
    assert status(channel, "bad")["status"] == "quarantined"
    assert ask(channel, f"/bad/{BAD}").status == 404
    assert len(json.loads(ask(channel, "/many/").body)["files"]) == 30
    snapshots, events = Snapshot.objects.count(), Event.objects.filter(type="mirror_held").count()
    scene.run_now(what)
    assert Snapshot.objects.count() == snapshots
    assert Event.objects.filter(type="mirror_held").count() == events == 1
    assert status(channel, "bad")["status"] == "quarantined"
