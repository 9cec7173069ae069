"""What a change of a channel costs that has many mirrors, and that each is still told."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channels import filter_forms
from channels import services as channel_manage
from channels.models import Channel, SourceLink
from filters.models import Filter
from filters.rules.overlap import NOT_COMPARED
from mirrors import form_warnings
from mirrors.models import Mirror, Upstream
from tests import scene
from tests.channels import factory

pytestmark = pytest.mark.django_db

MANY = 200


def mirrors(
    channels: list[Channel], count: int, *, source: Channel | None = None, **filters: Any
) -> list[Mirror]:
    """Saved mirrors without a run, `count` in all."""
    owner = scene.admin()
    upstream = Upstream.objects.create(kind="conda", url="http://a.example", channel=source)
    rows = Filter.objects.bulk_create(
        [Filter(terms=filter_forms.validated(filters, "mirror", "conda")) for _ in range(count)]
    )
    return Mirror.objects.bulk_create(
        [
            Mirror(
                name=f"m{number}", channel=channels[number % len(channels)], upstream=upstream,
                filter=row, owner=owner, cron="0 2 * * *",
            )
            for number, row in enumerate(rows)
        ]
    )  # fmt: skip


def queries_of(channel: Channel) -> int:
    with CaptureQueriesContext(connection) as queries:
        form_warnings.update_for_channel(channel)
    return len(queries)


def test_many_mirrors_are_told_with_a_few_queries_a_batch() -> None:
    channel = scene.channel()
    mirrors([channel], MANY)
    channel_manage.edit(channel, {"filters": {"types": ["cran"]}}, actor="ann")
    assert queries_of(channel) <= 3 + 2 * MANY // form_warnings.BATCH + MANY // form_warnings.BATCH
    for mirror in Mirror.objects.all():
        assert "allows only the types CRAN" in mirror.warnings[0]
    assert queries_of(channel) <= 3 + MANY // form_warnings.BATCH, "nothing is written again"


def test_the_readers_of_a_source_are_told_with_a_few_queries_a_batch() -> None:
    source = scene.channel("source")
    others = [factory.channel(f"other{number}") for number in range(100)]
    found = mirrors(others, 100, source=source)
    SourceLink.objects.create(
        mirror=found[0].pk, source=source, channel=others[0], more_readers=True, granted_by="ann"
    )
    channel_manage.edit(source, {"privacy": "private"}, actor="ann")
    assert queries_of(source) <= 3 + 6 * 100 // form_warnings.BATCH
    said = [mirror.warnings for mirror in Mirror.objects.order_by("pk")]
    assert "ann allows other0 to publish it" in said[0][0]
    assert all("so only those who may read it" in one[0] for one in said[1:])


def test_the_specs_of_a_channel_are_read_once_for_all_of_its_mirrors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = scene.channel()
    specs = [f"p{number}" for number in range(1_000)]
    mirrors([channel], 60, only_specs=["a", "b"])
    channel_manage.edit(channel, {"filters": {"only_specs": specs}}, actor="ann")
    read: list[str] = []
    spec_of = filter_forms.spec_of

    def counted(kind: str) -> Any:
        parse = spec_of(kind)
        return lambda text: read.append(text) or parse(text)

    monkeypatch.setattr(filter_forms, "spec_of", counted)
    form_warnings.update_for_channel(channel)
    assert len(read) == len(specs) + 60 * 2
    assert all("None of the mirror's only packages" in m.warnings[0] for m in Mirror.objects.all())


def test_mirrors_whose_specs_are_too_many_say_that_they_were_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = scene.channel()
    mirrors([channel], 3, only_specs=["a", "b", "c"], subdirs=["noarch"])
    filters = {"only_specs": ["z"], "subdirs": ["linux-64"]}
    channel_manage.edit(channel, {"filters": filters}, actor="ann")
    monkeypatch.setattr(form_warnings, "MAX_SPECS", 7)
    form_warnings.update_for_channel(channel)
    said = [mirror.warnings for mirror in Mirror.objects.order_by("pk")]
    assert all("have none in common" in one[0] for one in said)
    assert [NOT_COMPARED in one for one in said] == [False, False, True]
