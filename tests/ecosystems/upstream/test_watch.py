"""How long an upstream may be silent: row N11, by a clock that only the test moves."""

from __future__ import annotations

import pytest

from ecosystems.base import never_stop
from ecosystems.upstream import Limits, TooSlow
from ecosystems.upstream.watch import Watch
from tests.ecosystems.upstream.conftest import Time

URL = "https://cache.example/repodata.json"


def watch(time: Time, seconds: float) -> Watch:
    limits = Limits.patient(seconds)
    return Watch(URL, "cache.example", limits=limits, stop=never_stop, clock=time.clock)


def test_a_first_byte_may_take_as_long_as_the_operator_allows(time: Time):
    """A caching proxy fetches the whole index before it answers."""
    watched = watch(time, 60)
    time.now += 60
    watched.note(60, 0)
    time.now += 31
    with pytest.raises(TooSlow, match="did not begin to answer in time"):
        watched.note(31, 0)


def test_a_body_may_pause_as_long_as_the_operator_allows(time: Time):
    watched = watch(time, 60)
    watched.body()
    for _ in range(3):
        watched.note(59, 0)
        watched.note(2, 100_000)
    with pytest.raises(TooSlow, match="0 bytes per second"):
        watched.note(60, 0)


def test_the_socket_waits_as_long_as_the_operator_allows():
    assert Limits.patient(300).read_timeout == 300
