"""Counters that all processes share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
from django.core.cache import cache
from django.db import connections

from accounts import limits
from accounts.limits import Rate, TooMany
from tests.mirrorserver.server import until

DAY = 24 * 3600
RATE = Rate(3, DAY)


@pytest.fixture(autouse=True)
def _fresh(db: None) -> None:
    cache.clear()


def test_one_more_than_the_rate_is_too_many_and_says_when_to_come_back() -> None:
    for _ in range(3):
        limits.hit_or_raise("test", "ann", RATE, "Slower.")
    with pytest.raises(TooMany, match="Slower") as raised:
        limits.hit_or_raise("test", "ann", RATE, "Slower.")
    assert 0 < raised.value.retry_after <= DAY
    limits.hit_or_raise("test", "bob", RATE, "Another key has its own counter.")
    limits.hit_or_raise("other", "ann", RATE, "Another name too.")


def test_a_hit_can_be_taken_back_and_the_first_one_over_is_known() -> None:
    hits = [limits.hit("test", "ann", RATE) for _ in range(5)]
    assert [one.over for one in hits] == [False, False, False, True, True]
    assert [one.first_over for one in hits] == [False, False, False, True, False]
    for one in hits:
        one.take_back()
    assert limits.hit("test", "ann", RATE).number == 1


def test_a_counter_expires_with_its_window() -> None:
    short = Rate(1, 1)
    limits.hit("test", "ann", short)
    until(lambda: not limits.hit("test", "ann", short).over, within=30)


def test_counting_does_not_make_the_window_longer() -> None:
    limits.hit("test", "ann", RATE)
    before = cache.get(limits._end_key(limits._key("test", "ann", RATE)))
    with mock.patch("accounts.limits.time.time", return_value=before - 100):
        assert limits.hit("test", "ann", RATE).retry_after == 100
    assert cache.get(limits._end_key(limits._key("test", "ann", RATE))) == before


@pytest.mark.django_db(transaction=True)
def test_parallel_hits_are_all_counted() -> None:
    def one(_: int) -> int:
        try:
            return limits.hit("parallel", "ann", RATE).number
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(one, range(40)))
    assert sorted(numbers) == list(range(1, 41))


def test_a_subscriber_of_ipv6_is_one_address() -> None:
    assert limits.network("2001:db8::1") == limits.network("2001:db8::ffff")
    assert limits.network("2001:db8:0:1::1") != limits.network("2001:db8::1")
    assert limits.network("::ffff:10.0.0.1") == limits.network("10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize("text", ["", "5", "0/60", "5/0", "5/60/ip", "-1/60", "5/1h"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Rate.parse(text)
    assert Rate.parse(" 5/60 ") == Rate(5, 60)
