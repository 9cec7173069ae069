"""When a mirror runs: what a cron text means, judged by croniter alone.

The rule: five fields, read on the wall clock of a time zone. An hour that comes twice fires in
its first pass only; a time that daylight saving skips fires as much later as the clock jumped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options
from cron_descriptor.Exception import FormatException, MissingFieldException
from croniter import CroniterBadDateError, CroniterError, croniter

MONTHLY = "0 0 1 * *"
"""The schedule of a mirror whose author chooses none."""

YEARS = 5
"""A schedule must fire at least once in so many years."""

FIELDS = (
    ("Minute", "0-59"),
    ("Hour", "0-23"),
    ("Day of month", "1-31"),
    ("Month", "1-12 or jan-dec"),
    ("Day of week", "0-7 or sun-sat"),
)
"""The fields of a cron text in their order, with the values that crontab(5) allows."""
# As long as the column of `Mirror.cron`.
LONGEST = 255
PERIODS = {
    "* * *": "Daily",
    "1 * *": "Monthly, on the 1st",
    "* * 0": "Weekly, on Sunday",
    "* * 7": "Weekly, on Sunday",
    "* * 1": "Weekly, on Monday",
    "* * 2": "Weekly, on Tuesday",
    "* * 3": "Weekly, on Wednesday",
    "* * 4": "Weekly, on Thursday",
    "* * 5": "Weekly, on Friday",
    "* * 6": "Weekly, on Saturday",
}
"""Day of month, month and day of week of the usual frequencies, as people say them."""
# croniter reads these as times that it draws: every process would draw another.
_RANDOM = re.compile(r"(?<![a-z])[hr](?![a-z])", re.IGNORECASE)


def check(cron: str, tz: str) -> None:
    """Raise ValueError, with a sentence, unless `cron` in the zone `tz` is a schedule."""
    _zone(tz)
    fields = cron.split()
    if len(fields) != len(FIELDS):
        raise ValueError(
            "A frequency has exactly five fields (minute, hour, day of month, month, "
            f"day of week); this one has {len(fields)}."
        )
    if len(cron) > LONGEST:
        raise ValueError(f"A frequency has at most {LONGEST} characters.")
    if _RANDOM.search(cron):
        raise ValueError("H and R (a random time) cannot be used in a frequency.")
    # From a fixed day: whether a text is a schedule must not depend on when it is checked.
    try:
        _next_wall(cron, datetime(2024, 1, 1))  # noqa: DTZ001 - wall clock
    except CroniterBadDateError:
        raise ValueError(f"This frequency does not fire within {YEARS} years.") from None
    except (CroniterError, ValueError) as error:
        raise ValueError(_refusal(fields)) from error


def _refusal(fields: list[str]) -> str:
    """Which field croniter refuses; its own message quotes the whole text and names none."""
    for position, (name, values) in enumerate(FIELDS):
        alone = ["*"] * len(FIELDS)
        alone[position] = fields[position]
        try:
            croniter.expand(" ".join(alone))
        except (CroniterError, ValueError):
            return f"{name} must be {values}; “{fields[position]}” cannot be used."
    return "This frequency cannot be read."


def next_fire(cron: str, tz: str, after: datetime) -> datetime:
    """The first time after `after` (with a zone) at which the schedule fires, in UTC."""
    zone = _zone(tz)
    wall = after.astimezone(zone).replace(tzinfo=None)
    while True:
        wall = _next_wall(cron, wall)
        # `fold=0` is the first pass of an hour that comes twice (PEP 495).
        fires = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        # Where the clock was put back, `wall` may lie in the pass that is over already.
        if fires > after:
            return fires


def next_times(cron: str, tz: str, after: datetime, count: int) -> list[datetime]:
    """The next `count` times after `after`, in UTC."""
    times: list[datetime] = []
    for _ in range(count):
        after = next_fire(cron, tz, after)
        times.append(after)
    return times


def describe(cron: str) -> str:
    """The schedule in words, with a 24-hour clock; the cron text itself where words fail."""
    # Padded: a saved text may have too few fields, and it is shown, not refused.
    minute, hour, *days = [*cron.split(), "", "", "", "", ""][: len(FIELDS)]
    if minute.isdecimal() and hour.isdecimal():
        period = PERIODS.get(" ".join(days))
        if period:
            return f"{period} at {int(hour):02}:{int(minute):02}"
    options = Options()
    options.use_24hour_time_format = True
    options.casing_type = CasingTypeEnum.Sentence
    try:
        return str(ExpressionDescriptor(cron, options))
    except (FormatException, MissingFieldException):
        return cron


def warnings(cron: str, tz: str) -> list[str]:
    """What whoever chose a schedule should know about it, in sentences."""
    try:
        check(cron, tz)
    except ValueError as error:
        return [f"This mirror does not run by itself: {error} Choose another frequency."]
    if more_often_than_daily(cron):
        return ["This mirror runs more often than daily; a long run delays the next one."]
    return []


def more_often_than_daily(cron: str) -> bool:
    """Whether the schedule can fire more than once on one day."""
    minutes, hours = croniter.expand(cron)[0][:2]
    return _ticks(minutes, 60) * _ticks(hours, 24) > 1


def _ticks(values: Sequence[int | str], everything: int) -> int:
    return everything if values == ["*"] else len(values)


def _zone(tz: str) -> ZoneInfo:
    try:
        return ZoneInfo(tz)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        raise ValueError(f"{tz!r} is not a time zone; one looks like Europe/Berlin.") from error


def _next_wall(cron: str, wall: datetime) -> datetime:
    fires: datetime = croniter(cron, wall, max_years_between_matches=YEARS).get_next(datetime)
    return fires
