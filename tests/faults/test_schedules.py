"""Row W07: schedules that lie, from the request that saves one to the runs it begins."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from mirrors import cron as schedule
from mirrors.models import Mirror, Run
from runs import execute
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.web.client import Api, message
from workers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

NEVER = {
    "0 0 30 2 *": "does not fire within 5 years",
    "0 0 31 4,6,9,11 *": "does not fire within 5 years",
    "0 0 0 1 * *": "exactly five fields",
    "H 0 * * *": "H and R",
}


def test_W07_a_schedule_that_never_fires_is_422_and_changes_nothing(conda: FakeConda) -> None:
    api = Api(scene.admin())
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, cron="0 3 * * *")
    scene.run_now(mirror)
    before, due = invariants.served(channel), mirror.next_run_at
    for cron, words in NEVER.items():
        body = {"mirror_name": "new", "source_root": conda.channel, "cron": cron}
        assert api.post("/channels/main/mirrors", body)[0] == 422
        status, sentence = message(api.put(f"/channels/main/mirrors/{mirror.pk}", {"cron": cron}))
        assert status == 422, cron
        assert words in sentence or words in api.last.content.decode(), cron
    mirror.refresh_from_db()
    assert (Mirror.objects.count(), mirror.cron, mirror.next_run_at) == (1, "0 3 * * *", due)
    assert invariants.served(channel) == before
    invariants.check(channel)


def test_W07_the_three_next_times_are_shown_with_their_zone(conda: FakeConda) -> None:
    api = Api(scene.admin())
    scene.channel()
    api.client.force_login(scene.admin())
    asked = {"frequency": "custom", "cron": "30 2 * * *", "cron_timezone": "Europe/Berlin"}
    page = api.client.post("/channels/main/mirrors/check/", asked).content.decode()
    assert page.count("02:30") + page.count("03:30") >= 3
    assert "Europe/Berlin" in page


@pytest.mark.parametrize(
    ("before", "runs"),
    [
        # The hour that is skipped begins one run after the jump, the hour that comes twice one.
        ("2026-03-28T12:00:00+00:00", ["2026-03-29T01:30:00+00:00", "2026-03-30T00:30:00+00:00"]),
        ("2026-10-24T12:00:00+00:00", ["2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"]),
    ],
)
def test_W07_clocks_that_are_changed_begin_one_run_a_day(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch, before: str, runs: list[str]
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, cron="30 2 * * *", cron_timezone="Europe/Berlin")
    now = datetime.fromisoformat(before)
    Mirror.objects.update(next_run_at=schedule.next_fire(mirror.cron, mirror.cron_timezone, now))
    monkeypatch.setattr(dispatch.timezone, "now", lambda: now)
    for _ in range(16):
        now += timedelta(hours=3)
        dispatch.start_due()
        for pending in Run.objects.filter(state="pending"):
            execute.execute(pending.pk, interrupted=lambda: False)
    begun = mirror.runs.order_by("pk")
    assert [one.slot.isoformat() for one in begun if one.slot] == runs
    assert {one.state for one in begun} == {"completed"}
    invariants.check(channel)
