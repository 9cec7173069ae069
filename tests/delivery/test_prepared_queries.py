"""Queries of the repo path that are made once."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.sql import Query

from channels.errors import Missing
from channels.models import Channel, Package
from delivery import listed_files
from delivery.prepared_queries import Prepared
from tests import scene

pytestmark = pytest.mark.django_db(transaction=True)


def packages(channel: Channel, *names: str) -> None:
    Package.objects.bulk_create(
        Package(
            channel=channel,
            family="conda",
            section="noarch",
            name=name,
            added_in=channel.current,
        )
        for name in names
    )


def test_each_call_answers_for_its_own_values() -> None:
    channel = scene.channel()
    packages(channel, "a%s", "b")
    named = Prepared(
        lambda name, number: Package.objects.filter(name=name, added_in__lte=number), str, int
    )
    now = channel.current
    assert [row.name for row in named("b", now)] == ["b"]
    assert [row.name for row in named("a%s", now)] == ["a%s"]
    assert [row.channel_id for row in named("b", now)] == [channel.pk]
    assert named("b", now - 1) == named("c", now) == []


def test_a_query_that_ignores_one_of_its_values_is_refused() -> None:
    careless = Prepared(lambda name, _: Package.objects.filter(name=name), str, int)
    with pytest.raises(ValueError, match="does not depend on"):
        careless("a", 1)


def test_a_miss_makes_no_sql_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = scene.channel()
    packages(channel, "a")
    channel.refresh_from_db()

    def miss(name: str) -> None:
        with pytest.raises(Missing, match=f"There is no {name}-1-0.conda"):
            listed_files.find(
                channel, "noarch", f"{name}-1-0.conda", name=name, number=channel.current
            )

    miss("first")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("SQL was made of a query set")

    monkeypatch.setattr(Query, "get_compiler", refuse)
    miss("second")
