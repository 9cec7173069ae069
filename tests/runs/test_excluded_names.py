"""The first names of the files a run left out."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channels import services as channel_manage
from channels.lease import Fenced
from channels.models import Channel
from mirrors import services
from mirrors.models import Mirror, Run
from publishing import file_lists, judge
from runs import excluded_names
from tests import scene
from tests.condatree import FakeConda
from web.api import mirror_schemas

pytestmark = pytest.mark.django_db(transaction=True)

LEFT_OUT = {"exclude_specs": ["six<1.16"], "exclude_licenses": ["gpl"]}
EXPECTED = {
    "mirror_filtered": {
        "exclude_specs": ["six-1.15.0-0.tar.bz2"],
        "license": ["numpy-2.0-0.conda"],
    },
    "channel_filtered": {"exclude_specs": ["zlib-1.3-0.conda"]},
}


@pytest.fixture
def channel() -> Channel:
    return scene.channel(filters={"exclude_specs": ["zlib"]})


@pytest.fixture
def mirror(small: FakeConda, channel: Channel) -> Mirror:
    return scene.mirror(channel, small.channel, mirror_mode="active", filters=LEFT_OUT)


def test_a_run_keeps_the_names_of_each_reason(mirror: Mirror) -> None:
    assert excluded_names.stored(scene.run_now(mirror)) == EXPECTED


def test_a_run_that_finds_nothing_new_keeps_them_too(mirror: Mirror) -> None:
    scene.run_now(mirror)
    again = scene.run_now(mirror)
    assert "Nothing has changed" in "".join(line.text for line in again.log.all())
    assert excluded_names.stored(again) == EXPECTED


def test_the_names_of_what_a_frozen_channel_would_leave_out(
    mirror: Mirror, channel: Channel
) -> None:
    channel_manage.freeze(channel, actor="admin")
    assert excluded_names.stored(scene.run_now(mirror)) == EXPECTED


def test_the_names_stay_what_the_run_found(mirror: Mirror) -> None:
    run = scene.run_now(mirror)
    services.edit(mirror, {"filters": {}}, actor="admin")
    scene.publish(mirror.channel)
    assert excluded_names.stored(run) == EXPECTED


def test_showing_a_mirror_judges_nothing(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.run_now(mirror)
    monkeypatch.delattr(judge, "judge")
    with CaptureQueriesContext(connection) as queries:
        shown = mirror_schemas.mirror_item(mirror, with_names=True)
    assert shown["sync_state"]["logs"]["mirror_filtered"]["license"] == ["numpy-2.0-0.conda"]
    assert len(queries) < 11


def test_only_packages_with_the_reasons_are_judged_again(
    small: FakeConda, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(excluded_names.NAMED + 20):
        small.add("noarch", f"kept-{number}", "1")
        small.add("noarch", f"left-{number:03}", "1", license="GPL-3.0-only")
    small.publish()
    judged: list[str] = []
    real = file_lists.judge_packages

    def noted(case: object, names: object, **more: object) -> object:
        names = list(names)  # type: ignore[call-overload]
        judged.extend(names)
        return real(case, names, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(file_lists, "judge_packages", noted)
    run = scene.run_now(mirror)
    found = excluded_names.stored(run)["mirror_filtered"]["license"]
    assert len(found) == excluded_names.NAMED
    assert not [name for name in judged if name.startswith("kept")]
    assert len(judged) <= excluded_names.NAMED + 2


def test_a_run_whose_worker_lost_it_keeps_nothing(mirror: Mirror) -> None:
    run = scene.run_now(mirror)
    before = excluded_names.stored(run)
    stale = Run.objects.get(pk=run.pk)
    stale.fence -= 1
    with pytest.raises(Fenced):
        excluded_names.store(stale, stop=lambda: None)
    assert excluded_names.stored(run) == before
