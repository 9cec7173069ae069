"""Who is alive, as others see it."""

from __future__ import annotations

from django.conf import LazySettings

from channels.lease import MAX_WATCHED_ROWS, LivenessMonitor
from channels.models import Publication


def row(pk: int, beats: int) -> Publication:
    return Publication(pk=pk, fence=1, owner="elsewhere:1:1", beats=beats)


def test_a_heart_that_stands_still_for_a_lease_is_dead(settings: LazySettings) -> None:
    settings.LEASE_SECONDS = 3600
    watch = LivenessMonitor()
    assert not watch.is_dead(row(1, 5))
    assert not watch.is_dead(row(1, 5))
    settings.LEASE_SECONDS = 0
    assert watch.is_dead(row(1, 5))
    assert not watch.is_dead(row(1, 6))


def test_a_watch_forgets_what_is_over_and_nothing_else(settings: LazySettings) -> None:
    settings.LEASE_SECONDS = 0
    watch = LivenessMonitor()
    for pk in range(3 * MAX_WATCHED_ROWS):
        watch.is_dead(row(pk, 1))
    assert len(watch._last_beats) <= MAX_WATCHED_ROWS
    settings.LEASE_SECONDS = 3600
    for pk in range(3 * MAX_WATCHED_ROWS):
        watch.is_dead(row(pk, 2))
    settings.LEASE_SECONDS = 0
    assert watch.is_dead(row(0, 2))
