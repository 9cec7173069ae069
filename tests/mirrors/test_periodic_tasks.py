"""Mirrors as periodic tasks of Celery's beat: rows W06 and W07."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import signals
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from history.models import Event
from mirrors import periodic_tasks, services
from mirrors.models import Mirror, Run
from mirrorserver.celery import app
from tests import scene
from tests.condatree import FakeConda
from workers import dispatch, tasks

pytestmark = pytest.mark.django_db(transaction=True)

WINTER = datetime(2026, 1, 15, 12, tzinfo=UTC)
AFTER = timedelta(minutes=3)


@pytest.fixture
def mirror(small: FakeConda) -> Mirror:
    return scene.mirror(scene.channel(), small.channel, cron="0 3 1 * *")


def task(mirror: Mirror) -> Any:
    return periodic_tasks.tasks_of(mirror).get()


def edit(mirror: Mirror, **body: Any) -> Any:
    services.edit(mirror, body, actor="admin")
    mirror.refresh_from_db()
    return task(mirror)


def due(mirror: Mirror, ago: timedelta = timedelta()) -> datetime:
    """Let the mirror's time have come, and its clocked task's too."""
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=timezone.now() - ago)
    mirror.refresh_from_db()
    periodic_tasks.update_task(mirror)
    assert mirror.next_run_at is not None
    return mirror.next_run_at


def test_a_mirror_has_a_task_of_its_name_that_follows_it(mirror: Mirror) -> None:
    made = task(mirror)
    assert (made.name, made.enabled, made.task) == (mirror.name, True, "workers.tasks.start_slot")
    assert (made.crontab.hour, made.crontab.day_of_month) == ("3", "1")
    assert made.task in app.tasks
    renamed = edit(mirror, mirror_name="other name")
    assert (renamed.pk, renamed.name) == (made.pk, "other name")
    moved = edit(mirror, cron="30 4 * * *", cron_timezone="Asia/Tokyo")
    assert (moved.pk, str(moved.crontab.timezone)) == (made.pk, "Asia/Tokyo")
    assert "30 4 * * * (Asia/Tokyo)" in moved.description
    assert CrontabSchedule.objects.filter(periodictask=None).count() == 0
    services.delete(mirror, actor="admin")
    assert not periodic_tasks.tasks_of(mirror).exists()
    assert not CrontabSchedule.objects.exists()


def test_a_task_is_written_with_its_mirror_or_not_at_all(mirror: Mirror) -> None:
    with transaction.atomic():
        scene.mirror(mirror.channel, mirror.upstream.url, mirror_name="second")
        assert PeriodicTask.objects.filter(name="second").exists()
        transaction.set_rollback(True)
    assert [one.name for one in PeriodicTask.objects.filter(task=periodic_tasks.TASK)] == [
        mirror.name
    ]


def test_mirrors_of_one_schedule_share_its_row_and_leave_it_to_each_other(mirror: Mirror) -> None:
    second = scene.mirror(mirror.channel, mirror.upstream.url, mirror_name="2nd", cron=mirror.cron)
    assert task(second).crontab == task(mirror).crontab
    services.delete(mirror, actor="admin")
    assert task(second).enabled


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 0 1 * *", "UTC"),
        ("*/15 * * * *", "UTC"),
        ("0 5 * * mon-fri", "Asia/Kolkata"),
        ("30 4 * * 0", "America/New_York"),
        ("0 12 1,15 jan,jul *", "Europe/Berlin"),
        # An hour that the clock skips in March and that comes twice in October.
        ("30 2 * * *", "Europe/Berlin"),
    ],
)
def test_celerys_crontab_stands_for_what_it_means_alike(cron: str, zone: str) -> None:
    assert periodic_tasks.crontab_of(cron, zone, WINTER) is not None


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        # Either day, where Celery wants both.
        ("0 0 13 * 5", "UTC"),
        ("0 0 l * *", "UTC"),
        ("0 0 * * 5#2", "UTC"),
    ],
)
def test_W07_what_celery_means_otherwise_is_a_clocked_task(
    mirror: Mirror, cron: str, zone: str
) -> None:
    assert periodic_tasks.crontab_of(cron, zone, WINTER) is None
    made = edit(mirror, cron=cron, cron_timezone=zone)
    assert (made.clocked.clocked_time, made.one_off) == (mirror.next_run_at, True)
    assert made.enabled


def test_a_clocked_task_is_renewed_when_it_fires(mirror: Mirror) -> None:
    before = edit(mirror, cron="0 0 13 * 5")
    slot = due(mirror)
    fired = task(mirror)
    assert ModelEntry(fired, app=app).is_due().is_due
    tasks.start_slot(*ModelEntry(fired, app=app).args)
    after = task(mirror)
    mirror.refresh_from_db()
    assert after.pk not in (before.pk, fired.pk), "beat switches the row that has fired off"
    assert after.enabled
    assert after.clocked.clocked_time == mirror.next_run_at > slot
    assert not ModelEntry(after, app=app).is_due().is_due
    assert Run.objects.get().slot == slot
    assert ClockedSchedule.objects.count() == 1


def test_a_crontab_task_stays_as_it_is_when_it_fires(mirror: Mirror) -> None:
    made = task(mirror)
    due(mirror)
    tasks.start_slot(mirror.pk)
    assert task(mirror).date_changed == made.date_changed
    assert Run.objects.count() == 1


def test_W06_a_slot_has_one_run_whatever_fires(mirror: Mirror) -> None:
    """Beat twice, a late message, and the dispatcher."""
    slot = due(mirror, AFTER)
    tasks.start_slot(mirror.pk)
    tasks.start_slot(mirror.pk)
    dispatch.start_due()
    assert [run.slot for run in Run.objects.all()] == [slot]
    assert not Event.objects.filter(type="mirror_skipped").exists()


def test_W06_a_message_before_its_time_begins_nothing(mirror: Mirror) -> None:
    tasks.start_slot(mirror.pk)
    assert not Run.objects.exists()


def test_W06_the_dispatcher_waits_for_beat_and_then_does_without_it(mirror: Mirror) -> None:
    due(mirror, timedelta(seconds=60))
    dispatch.start_due()
    assert not Run.objects.exists()
    slot = due(mirror, AFTER)
    dispatch.start_due()
    assert Run.objects.get().slot == slot


def test_a_deleted_mirror_is_not_begun_by_a_late_message(mirror: Mirror) -> None:
    due(mirror)
    services.delete(mirror, actor="admin")
    tasks.start_slot(mirror.pk)
    assert not Run.objects.exists()


def test_W07_a_schedule_that_is_none_any_more_is_switched_off_and_can_be_edited(
    mirror: Mirror,
) -> None:
    Mirror.objects.filter(pk=mirror.pk).update(cron_timezone="Mars/Olympus")
    due_at = timezone.now() - AFTER
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=due_at)
    dispatch.start_due()
    mirror.refresh_from_db()
    assert (mirror.next_run_at, task(mirror).enabled) == (None, False)
    assert edit(mirror, mirror_name="renamed").enabled is False
    assert edit(mirror, cron_timezone="UTC").enabled is True


def test_the_systems_tasks_cannot_have_a_mirrors_name() -> None:
    assert all("/" in name for name in app.conf.beat_schedule)


def test_tasks_of_the_system_run_although_the_server_restarts_more_often() -> None:
    def start() -> dict[str, bool]:
        """A beat that begins: its tasks, and whether each is due at once."""
        found = DatabaseScheduler(app=app)
        signals.beat_init.send(sender=None)
        return {
            name: entry.is_due().is_due
            for name, entry in found.schedule.items()
            if name.startswith("system/")
        }

    hourly = ("system/clean up", "system/refresh advisories")
    assert start() == {"system/dispatch": False, **dict.fromkeys(hourly, False)}
    for passed, due in ((40, False), (40, True)):
        for row in PeriodicTask.objects.filter(name__startswith="system/"):
            assert row.last_run_at
            earlier = row.last_run_at - timedelta(minutes=passed)
            PeriodicTask.objects.filter(pk=row.pk).update(last_run_at=earlier)
        assert start() == {"system/dispatch": True, **dict.fromkeys(hourly, due)}
