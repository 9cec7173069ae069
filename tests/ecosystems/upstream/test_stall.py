"""How long an upstream may be silent: row N11, by a clock that only the test moves."""

from __future__ import annotations

import pytest

from ecosystems.progress import never_stop
from ecosystems.upstream import Limits, TooSlow
from ecosystems.upstream.stall import StallMonitor
from tests.ecosystems.upstream.conftest import Time

URL = "https://cache.example/repodata.json"


def monitored(time: Time, seconds: float) -> StallMonitor:
    limits = Limits.patient(seconds)
    return StallMonitor(URL, "cache.example", limits=limits, stop=never_stop, clock=time.clock)


def test_a_first_byte_may_take_as_long_as_the_operator_allows(time: Time):
    """A caching proxy fetches the whole index before it answers."""
    monitor = monitored(time, 60)
    time.now += 60
    monitor.slice_done(60, 0)
    time.now += 31
    with pytest.raises(TooSlow, match="did not begin to answer in time"):
        monitor.slice_done(31, 0)


def test_a_body_may_pause_as_long_as_the_operator_allows(time: Time):
    monitor = monitored(time, 60)
    monitor.headers_received()
    for _ in range(3):
        monitor.slice_done(59, 0)
        monitor.slice_done(2, 100_000)
    with pytest.raises(TooSlow, match="0 bytes per second"):
        monitor.slice_done(60, 0)


def test_the_socket_waits_as_long_as_the_operator_allows():
    assert Limits.patient(300).read_timeout == 300
