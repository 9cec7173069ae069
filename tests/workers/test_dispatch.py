"""Rounds over the rows that are not final."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.utils import timezone

from advisories.importing import import_file
from channels import notify
from channels.models import Channel, Fetch, Publication
from history.models import Event
from mirrors import run_control, services
from mirrors.models import Mirror, Preview, Run
from publishing import advisory_index, publish
from runs import execute, preview
from tests import invariants, scene
from tests.advisories import files, records
from tests.condatree import FakeConda
from tests.processes import Worker
from tests.rogue import Behaviour
from workers import dispatch, tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_enqueued", {})


@pytest.fixture
def enqueued(monkeypatch: pytest.MonkeyPatch, fresh: None) -> list[tuple[str, int]]:
    """What the workers are told."""
    told: list[tuple[str, int]] = []
    for kind in ("run", "publication", "preview", "advisory_index"):
        monkeypatch.setattr(notify, kind, lambda pk, kind=kind: told.append((kind, pk)))
    return told


def test_everything_that_waits_is_enqueued(
    small: FakeConda, enqueued: list[tuple[str, int]]
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    asked = preview.request(
        channel, upstream=mirror.upstream, mode="passive", terms={}, asker=scene.admin()
    )
    enqueued.clear()
    dispatch.dispatch_round()
    assert set(enqueued) == {("run", row.pk), ("preview", asked.pk), ("publication", channel.pk)}
    enqueued.clear()
    dispatch.dispatch_round()
    assert enqueued == [], "a row is not enqueued again at once"


def test_what_advisories_change_is_published_and_indexed(
    small: FakeConda, enqueued: list[tuple[str, int]], tmp_path: Path
) -> None:
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, small.channel))
    enqueued.clear()
    report = records.osv("MAL-1", records.affected("r-six", ecosystem="conda"))
    import_file(files.written(tmp_path, files.archive(report)))
    import_file(files.written(tmp_path, {"six": None}))
    dispatch.dispatch_round()
    assert enqueued == [("advisory_index", channel.pk)], "it lists nothing of that name"
    tasks.index_advisories(channel.pk)
    assert advisory_index.outdated() == []


def test_a_run_asked_for_during_another_follows_it_even_if_nobody_saw_its_end(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    services.edit(mirror, {"run_now": True, "filters": {"exclude_specs": ["six"]}}, actor="admin")
    assert Mirror.objects.get(pk=mirror.pk).run_again
    with Worker("run", row.pk, pause="mirrors.run_control.start_requested_run") as worker:
        worker.reached()
        worker.kill()
    assert mirror.runs.count() == 1
    dispatch.dispatch_round()
    dispatch.dispatch_round()
    assert [one.cause for one in mirror.runs.order_by("number")] == ["manual", "edit"]
    execute.execute(mirror.runs.get(number=2).pk, interrupted=lambda: False)
    assert mirror.runs.count() == 2
    invariants.check(channel)


def test_a_publication_whose_worker_died_is_done_by_the_next(
    small: FakeConda, enqueued: list[tuple[str, int]]
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    with Worker(
        "publish", channel.pk, pause="channels.revision_builder.RevisionBuilder.commit"
    ) as worker:
        worker.reached()
        worker.kill()
    assert invariants.served(channel) == before
    enqueued.clear()
    dispatch.dispatch_round()
    assert ("publication", channel.pk) in enqueued
    scene.publish(channel)
    assert scene.listed(channel) == {}
    assert channel.current == 3
    invariants.check(channel)


def test_a_publication_that_failed_is_tried_again_only_after_a_while(
    small: FakeConda, enqueued: list[tuple[str, int]], settings: LazySettings
) -> None:
    channel = scene.channel()
    scene.mirror(channel, small.channel)
    Publication.objects.create(channel=channel, state="failed", ended_at=timezone.now())
    enqueued.clear()
    dispatch.dispatch_round()
    assert enqueued == []
    settings.PUBLISH_AGAIN_SECONDS = 0
    dispatch.dispatch_round()
    assert set(enqueued) == {("publication", channel.pk)}


def test_a_channel_is_judged_again_when_time_alone_changes_it(
    small: FakeConda, enqueued: list[tuple[str, int]]
) -> None:
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, small.channel))
    due = timezone.now() - timedelta(seconds=1)
    Channel.objects.filter(pk=channel.pk).update(next_judge_at=due)
    enqueued.clear()
    dispatch.dispatch_round()
    assert set(enqueued) == {("publication", channel.pk)}
    assert publish.wants(channel)
    scene.publish(channel)
    assert (channel.current, channel.next_judge_at) == (2, None)


def test_a_slot_that_comes_as_somebody_clicks_is_told_as_skipped(
    small: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, cron="0 * * * *")
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=timezone.now() - timedelta(minutes=5))
    clicked = run_control.request_run(mirror, cause="manual", actor="admin")
    # The look at the runs was before the click, the insert after it.
    looks = iter([None, clicked, clicked])
    monkeypatch.setattr(run_control, "active_run", lambda _mirror: next(looks))
    dispatch.start_due()
    assert mirror.runs.count() == 1
    assert Event.objects.get(type="mirror_skipped").run_id == clicked.pk


def test_a_preview_whose_worker_died_says_so(small: FakeConda, settings: LazySettings) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    asked = preview.request(
        channel, upstream=mirror.upstream, mode="passive", terms={}, asker=scene.admin()
    )
    assert asked.claim(state="running")
    settings.LEASE_SECONDS = 0
    dispatch.reap()
    dispatch.reap()
    asked.refresh_from_db()
    assert (asked.state, asked.error) == ("failed", dispatch.LOST)


def test_a_fetch_whose_web_process_died_is_forgotten_with_its_part(
    small: FakeConda, data: Path
) -> None:
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, small.channel))
    slow = Behaviour(hold_at=10)
    small.behave(small.path("noarch", "six-1.16.0-0.conda"), slow)
    with Worker("fetch", f"/api/repo/{channel.path}/noarch/six-1.16.0-0.conda") as worker:
        assert slow.held.wait(60)
        dispatch.dispatch_round()
        assert Fetch.objects.exists(), "its leader lives"
        worker.kill()
    slow.release()
    small.behave(small.path("noarch", "six-1.16.0-0.conda"))
    dispatch.dispatch_round()
    assert not Fetch.objects.exists()
    assert not list((data / "tmp").glob("fetch-*.part"))
    invariants.check(channel, fetch=True)


def test_a_living_owner_is_left_alone(small: FakeConda, settings: LazySettings) -> None:
    channel = scene.channel()
    row = run_control.request_run(
        scene.mirror(channel, small.channel), cause="manual", actor="admin"
    )
    with Worker("run", row.pk, pause="runs.accept_snapshots.accept_or_hold") as worker:
        worker.reached()
        for _ in range(3):
            dispatch.dispatch_round()
        assert Run.objects.get(pk=row.pk).fence == 1
        worker.go_on()
        assert worker.finish()[0] == 0
    assert Run.objects.get(pk=row.pk).state == "completed"
    invariants.check(channel)


def test_a_cancelled_preview_is_not_taken_up_again_by_a_worker_that_shuts_down(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    asked = preview.request(
        channel, upstream=mirror.upstream, mode="passive", terms={}, asker=scene.admin()
    )

    def interrupted() -> bool:
        preview.cancel(asked)
        return True

    preview.execute(asked.pk, interrupted=interrupted)
    assert Preview.objects.get(pk=asked.pk).state == "cancelled"


def test_one_mirror_whose_schedule_cannot_be_read_stops_no_other(
    small: FakeConda, enqueued: list[tuple[str, int]]
) -> None:
    channel = scene.channel()
    broken = scene.mirror(channel, small.channel)
    fine = scene.mirror(channel, small.channel)
    long_ago = timezone.now() - timedelta(days=1)
    Mirror.objects.update(next_run_at=long_ago)
    Mirror.objects.filter(pk=broken.pk).update(cron_timezone="Mars/Olympus")
    enqueued.clear()
    dispatch.dispatch_round()
    assert ("run", fine.runs.get().pk) in enqueued
    broken.refresh_from_db()
    assert broken.next_run_at is None
    assert not broken.runs.exists()
    assert any("'Mars/Olympus' is not a time zone" in text for text in broken.warnings)
    services.edit(broken, {"cron_timezone": "UTC"}, actor="admin")
    broken.refresh_from_db()
    assert broken.next_run_at is not None
    assert not any("Mars" in text for text in broken.warnings)
