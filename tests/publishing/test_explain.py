"""Why is it (not) here: answers within a bound of records and files, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client

from channels.models import Channel
from ecosystems.pack import Pack
from publishing import explain
from tests import scene
from tests.condatree import FakeConda
from tests.web.client import Api, person

pytestmark = pytest.mark.django_db(transaction=True)

BUILDS = 3


@pytest.fixture
def channel(settings: LazySettings) -> Iterator[Channel]:
    """Two mirrors of three files of one package on each of two platforms."""
    with FakeConda() as conda:
        settings.UPSTREAM_ALLOW = (conda.url,)
        for subdir in ("linux-64", "noarch"):
            for number in range(BUILDS):
                conda.add(subdir, "many", f"1.{number}")
            conda.add(subdir, "other", "1")
        conda.publish()
        made = scene.channel()
        for name in ("first", "second"):
            scene.run_now(scene.mirror(made, conda.channel, name))
        yield made


def test_no_more_records_are_read_than_one_question_may(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    read_one = Pack.read
    monkeypatch.setattr(Pack, "read", lambda pack, name: read.append(name) or read_one(pack, name))
    whole = explain.why(channel, "many")
    assert (len(whole.items), whole.more) == (4 * BUILDS, False)
    assert read == ["many"] * 4
    monkeypatch.setattr(explain, "RECORDS", BUILDS + 1)
    read.clear()
    part = explain.why(channel, "many")
    assert read == ["many"]
    assert part.more
    assert part.items == whole.items[:BUILDS], "what the oldest mirror's files became is the same"
    assert [one["mirror"] for one in part.items] == ["first"] * BUILDS


def test_more_files_than_are_told_are_told_of(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, client = Api(person("admin", "admin")), Client()
    client.force_login(person("ann", "admin"))

    def asked() -> tuple[Any, str]:
        page = client.get("/channels/main/packages/why/?q=many").content.decode()
        return api.get("/channels/main/why?q=many")[1], page

    monkeypatch.setattr(explain, "MOST_FILES", 4 * BUILDS)
    answer, page = asked()
    assert (answer["total_count"], answer["count_exact"]) == (4 * BUILDS, True)
    assert "of 12 files" in page
    monkeypatch.setattr(explain, "MOST_FILES", 5)
    answer, page = asked()
    assert (answer["total_count"], answer["count_exact"]) == (5, False)
    assert "of the first 5 files" in page
    assert "The first 5 of more than 5 files." in page
