"""When a mirror runs (fault row W07: schedules that lie)."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from mirrors import cron as schedule

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("cron", "after", "fires"),
    [
        ("0 0 1 * *", "2026-11-24 10:00", "2026-12-01 00:00"),
        ("0 0 * * *", "2026-11-24 10:00", "2026-11-25 00:00"),
        ("0 0 * * 7", "2026-11-24 10:00", "2026-11-29 00:00"),
        ("0 0 * * 0", "2026-11-24 10:00", "2026-11-29 00:00"),
        ("0 0 * * sun", "2026-11-24 10:00", "2026-11-29 00:00"),
        ("0 0 L * *", "2026-11-24 10:00", "2026-11-30 00:00"),
        ("0 0 L 2 *", "2026-11-24 10:00", "2027-02-28 00:00"),
        ("0 0 * * mon#2", "2026-11-24 10:00", "2026-12-14 00:00"),
        ("0 0 * * 1#2", "2026-11-24 10:00", "2026-12-14 00:00"),
        ("0 0 * * L5", "2026-11-24 10:00", "2026-11-27 00:00"),
        # Day of month and day of week: either is enough.
        ("0 0 13 * 5", "2026-11-24 10:00", "2026-11-27 00:00"),
        ("0 0 26 * 5", "2026-11-24 10:00", "2026-11-26 00:00"),
        ("*/15 * * * *", "2026-11-24 10:00", "2026-11-24 10:15"),
        ("0 22-23 * * *", "2026-11-24 22:00", "2026-11-24 23:00"),
        ("0 0 29 2 *", "2026-11-24 10:00", "2028-02-29 00:00"),
        ("59 23 31 12 *", "2026-11-24 10:00", "2026-12-31 23:59"),
        ("0 0 * jan mon", "2026-11-24 10:00", "2027-01-04 00:00"),
    ],
)
def test_w07_a_schedule_fires_when_its_text_says(cron: str, after: str, fires: str) -> None:
    schedule.check(cron, "UTC")
    assert schedule.next_fire(cron, "UTC", at(after)) == at(fires)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 0 31 2 *", "does not fire within 5 years"),
        ("0 0 30 feb *", "does not fire within 5 years"),
        ("0 0 1 * * 0", "exactly five fields"),
        ("0 0 1 *", "exactly five fields"),
        ("@daily", "exactly five fields"),
        ("", "exactly five fields"),
        ("H 0 * * *", "H and R"),
        ("0 R * * *", "H and R"),
        ("h(0-5) 0 * * *", "H and R"),
        ("60 0 * * *", "Minute must be 0-59"),
        ("0 24 * * *", "Hour must be 0-23"),
        ("0 0 0 * *", "Day of month must be 1-31"),
        ("0 0 32 * *", "Day of month must be 1-31"),
        ("0 0 1 13 *", "Month must be 1-12"),
        ("0 0 * * 8", "Day of week must be 0-7"),
        ("a b c d e", "Minute must be 0-59; “a” cannot be used"),
        ("0 0 * * mon#6", "Day of week must be 0-7"),
        ("*/0 * * * *", "Minute must be 0-59"),
        ("5-1-2 * * * *", "Minute must be 0-59"),
        ("0 0 * * ,", "Day of week must be 0-7"),
        (f"{','.join(['1'] * 200)} 0 * * *", "at most 255"),
    ],
)
def test_w07_a_text_that_is_no_schedule_is_refused_with_a_sentence(cron: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        schedule.check(cron, "UTC")


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        schedule.check("0 0 * * *", zone)


def test_w07_a_repeated_hour_fires_once() -> None:
    before = at("2026-10-25 00:00", "Europe/Berlin")
    times = schedule.next_times("30 2 * * *", "Europe/Berlin", before, 2)
    assert times == [at("2026-10-25 00:30"), at("2026-10-26 01:30")]


def test_w07_a_schedule_goes_on_when_asked_inside_the_second_pass_of_an_hour() -> None:
    second_pass = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    fires = schedule.next_fire("30 2 * * *", "Europe/Berlin", second_pass)
    assert fires == at("2026-10-26 01:30")


def test_w07_a_skipped_hour_fires_once_after_the_jump() -> None:
    before = at("2026-03-28 12:00", "Europe/Berlin")
    times = schedule.next_times("30 2 * * *", "Europe/Berlin", before, 2)
    assert times == [at("2026-03-29 01:30"), at("2026-03-30 00:30")]


def test_an_hourly_schedule_keeps_its_pace_over_the_jump() -> None:
    before = at("2026-03-29 01:00", "Europe/Berlin")
    times = schedule.next_times("0 * * * *", "Europe/Berlin", before, 2)
    assert times == [at("2026-03-29 01:00"), at("2026-03-29 02:00")]


def test_times_are_in_utc_and_read_in_the_zone() -> None:
    fires = schedule.next_fire("0 3 * * *", "America/New_York", at("2026-11-24 10:00"))
    assert fires == at("2026-11-25 08:00")
    assert fires.tzinfo is UTC


@pytest.mark.parametrize(
    ("cron", "often"),
    [
        ("0 0 1 * *", False),
        ("0 0 * * *", False),
        ("59 23 * * 1-5", False),
        ("0,30 0 * * *", True),
        ("0 */6 * * *", True),
        ("* 0 * * *", True),
        ("0 * 1 * *", True),
    ],
)
def test_more_often_than_daily_is_seen(cron: str, often: bool) -> None:
    assert schedule.more_often_than_daily(cron) is often


def test_a_schedule_is_told_in_words_on_a_24_hour_clock() -> None:
    assert schedule.describe("0 0 * * *") == "Daily at 00:00"
    assert schedule.describe("5 9 1 * *") == "Monthly, on the 1st at 09:05"
    assert schedule.describe("30 14 * * 7") == "Weekly, on Sunday at 14:30"
    assert schedule.describe("30 2 * * 1-5") == "At 02:30, Monday through Friday"
    assert schedule.describe("0 0 L * *") == "At 00:00, on the last day of the month"
    assert schedule.describe("a b") == "a b"
