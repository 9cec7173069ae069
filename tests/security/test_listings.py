"""Attack: lists without an end."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings

from channels import revision_difference
from tests import scene
from tests.condatree import FakeConda
from tests.web.client import Api

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = 30


@pytest.fixture
def api(settings: LazySettings) -> Api:
    with FakeConda() as conda:
        settings.UPSTREAM_ALLOW = (conda.url,)
        for number in range(NAMES):
            conda.add("noarch", f"n{number}", "1.0")
        conda.publish()
        channel = scene.channel()
        scene.run_now(scene.mirror(channel, conda.channel))
        scene.publish(channel)
    return Api(scene.admin())


@pytest.mark.parametrize("path", ["/revisions", "/artifacts", "/history", "/mirrors"])
@pytest.mark.parametrize(
    "query",
    ["limit=1000000000", "limit=99999999999999", "offset=1000000000", "sort=%00", "limit=x"],
)
def test_odd_pages_of_lists_are_short_or_refused(api: Api, path: str, query: str) -> None:
    status, found = api.get(f"/channels/main{path}?{query}")
    assert status in (200, 422)
    if status == 200:
        assert len(found["items"]) <= 1000


def test_a_difference_is_read_in_batches_and_told_in_part(
    api: Api, django_assert_max_num_queries: Any
) -> None:
    channel = scene.Channel.objects.get(name="main")
    with django_assert_max_num_queries(6):
        assert len(revision_difference.difference(channel, 1, channel.current).added) == NAMES
    path = f"/channels/main/revisions/1..{channel.current}"
    found = api.get(f"{path}?limit=5")[1]
    assert (found["count"]["added"], len(found["added"])) == (NAMES, 5)
    rest = api.get(f"{path}?after={found['next']}")[1]
    assert (rest["count"], rest["next"]) == (found["count"], None)
    assert len({*found["added"], *rest["added"]}) == NAMES
    assert api.get(f"{path}?limit=1000000000")[0] == 422
