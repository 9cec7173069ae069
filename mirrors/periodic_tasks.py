"""Each mirror's periodic task: what Celery's beat fires, and operators see in its tables.

The rule: croniter says when a mirror runs (`mirrors.cron`). Celery's own crontab stands for it
where it means the same; elsewhere a clocked task for the next time does, renewed when it fires.
A task is written in the transaction of its mirror; firing it too often, too late or never changes
no more than when the row of the mirror is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, PeriodicTask

from mirrors.cron import next_times
from mirrors.models import Mirror

TASK = "workers.tasks.start_slot"
EXPIRES_SECONDS = 120
"""A message that waited so long is dropped: the dispatcher has begun the run by then."""

TIMES_COMPARED = 10
_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_MOMENT = timedelta(seconds=1)
# More than 365, because clocks change on a weekday of a month, not on a date.
_YEAR_DAYS = 370


def update_task(mirror: Mirror) -> None:
    """Have the mirror's task say what the mirror says; call in the transaction of the change."""
    tasks = tasks_of(mirror)
    if mirror.deleted_at is not None:
        _delete(tasks)
        return
    task = tasks.select_related("crontab", "clocked").first()
    fields = {
        "name": mirror.name,
        "enabled": mirror.next_run_at is not None,
        "description": f"{mirror.channel.path}: {mirror.cron} ({mirror.cron_timezone})",
        **_schedule(mirror, task),
    }
    # Every write of a task has beat read its whole table anew.
    if task is not None and all(getattr(task, key) == value for key, value in fields.items()):
        return
    if task is not None and task.crontab_id and fields["crontab"]:
        previous = task.crontab
        for key, value in fields.items():
            setattr(task, key, value)
        task.save()
        _delete_if_unused(previous)
        return
    # A clocked task has fired once and for all: beat switches its row off in its own time.
    _delete(tasks)
    PeriodicTask.objects.create(
        task=TASK, args=_args(mirror), expire_seconds=EXPIRES_SECONDS, **fields
    )


def start_countdowns() -> None:
    """Count the time to the first run of each system task from now on, whatever restarts follow.

    A task that never ran is counted from the start of beat: one that is due hourly would never
    run on a server that restarts more often.
    """
    rows = PeriodicTask.objects.filter(name__startswith="system/", last_run_at=None)
    rows.update(last_run_at=timezone.now())


def tasks_of(mirror: Mirror) -> QuerySet[Any]:
    """The mirror's task, if it has one."""
    tasks: QuerySet[Any] = PeriodicTask.objects.filter(task=TASK, args=_args(mirror))
    return tasks


def _args(mirror: Mirror) -> str:
    return json.dumps([mirror.pk])


def _schedule(mirror: Mirror, task: Any) -> dict[str, Any]:
    """The fields that say when the task is due."""
    # All three, so that a task that changes from one kind to the other keeps nothing of the first.
    fields: dict[str, Any] = {"crontab": None, "clocked": None, "one_off": False}
    if mirror.next_run_at is None:
        # Its text is no schedule on this host any more; the task is not enabled.
        return {**fields, "clocked": _clocked(timezone.now()), "one_off": True}
    current = task.crontab if task is not None else None
    # It was compared with croniter's times when it was made; each of its firings comes here.
    if current is not None and _is_schedule_of(current, mirror):
        return {**fields, "crontab": current}
    crontab = crontab_of(mirror.cron, mirror.cron_timezone, timezone.now())
    if crontab is not None:
        rows = CrontabSchedule.objects.filter(**_values(mirror))
        if (row := rows.first()) is None:
            crontab.save()
        return {**fields, "crontab": row or crontab}
    return {**fields, "clocked": _clocked(mirror.next_run_at), "one_off": True}


def _clocked(moment: datetime) -> Any:
    return ClockedSchedule.objects.get_or_create(clocked_time=moment)[0]


def _values(mirror: Mirror) -> dict[str, Any]:
    values = dict(zip(_FIELDS, mirror.cron.split(), strict=True))
    return {**values, "timezone": mirror.cron_timezone}


def _is_schedule_of(crontab: Any, mirror: Mirror) -> bool:
    return all(str(getattr(crontab, key)) == value for key, value in _values(mirror).items())


def crontab_of(cron: str, tz: str, now: datetime) -> Any:
    """Celery's crontab that fires when `cron` does; None where it has none.

    Compared are the next times from now on, and those around each change of the clock in
    a year: Celery has rules of its own for hours that are missing or come twice.
    """
    values = dict(zip(_FIELDS, cron.split(), strict=True))
    crontab = CrontabSchedule(**values, timezone=ZoneInfo(tz))
    try:
        crontab.clean_fields()
        schedule = crontab.schedule
        starts = (now, *_clock_changes(tz, now))
        same = all(_agrees(schedule, cron, tz, start) for start in starts)
    except (ValidationError, ValueError, RuntimeError):
        # Texts that only croniter reads, and dates that Celery does not find.
        return None
    return crontab if same else None


def _agrees(schedule: Any, cron: str, tz: str, start: datetime) -> bool:
    """Whether the schedule is due at each of the next times, and not a moment before."""
    times = next_times(cron, tz, start, TIMES_COMPARED)
    for before, due in pairwise([start, *times]):
        for moment, expected in ((due - _MOMENT, False), (due, True)):
            if moment <= before:
                continue
            # Celery's crontab takes the present time from here.
            schedule.nowfun = lambda moment=moment: moment.astimezone(schedule.tz)
            if schedule.is_due(before).is_due is not expected:
                return False
    return True


def _clock_changes(tz: str, now: datetime) -> Iterator[datetime]:
    """A day before each change of the zone's clock in the year to come."""
    zone = ZoneInfo(tz)
    days = [now.astimezone(UTC) + timedelta(days=number) for number in range(_YEAR_DAYS)]
    for day, following in pairwise(days):
        if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            yield day - timedelta(days=1)


def _delete(tasks: QuerySet[Any]) -> None:
    for task in tasks.select_related("crontab", "clocked"):
        schedule = task.crontab or task.clocked
        task.delete()
        _delete_if_unused(schedule)


def _delete_if_unused(schedule: Any) -> None:
    """Delete a schedule that no task has any more."""
    if schedule is not None and not schedule.periodictask_set.exists():
        schedule.delete()
