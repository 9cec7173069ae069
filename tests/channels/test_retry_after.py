"""Row N10: what one process is told by Retry-After holds for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.db import Error

from channels.file_sources import client_for
from channels.retry_after import LOOK_SECONDS, SharedBackoff
from tests.ecosystems.upstream.conftest import Time

pytestmark = pytest.mark.django_db(transaction=True)

HOST = "https://busy.example"


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def time() -> Time:
    return Time()


def gate(time: Time) -> SharedBackoff:
    """The gate of one process; all have one clock here."""
    return SharedBackoff(time.clock, time.sleep, now=time.clock)


def waited(gate: SharedBackoff, time: Time, host: str = HOST) -> float:
    before = time.now
    gate.wait(host, lambda: None)
    return time.now - before


def test_N10_a_pause_holds_for_all_processes_and_for_one_host(time: Time) -> None:
    one, other = gate(time), gate(time)
    one.hold_back(HOST, 60)
    assert waited(other, time, "https://idle.example") == 0
    assert 60 <= waited(other, time) <= 66
    assert waited(one, time) == 0


def test_N10_a_pause_that_begins_meanwhile_is_noticed(time: Time) -> None:
    one, other = gate(time), gate(time)
    assert waited(other, time) == 0
    one.hold_back(HOST, 30)
    time.now += LOOK_SECONDS
    assert 29 <= waited(other, time) <= 33


def test_N10_a_shorter_pause_does_not_end_a_longer_one(time: Time) -> None:
    one, other, third = gate(time), gate(time), gate(time)
    one.hold_back(HOST, 60)
    other.hold_back(HOST, 1)
    assert waited(third, time) >= 60


def test_N10_without_the_cache_each_process_keeps_its_own(
    time: Time, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise Error("the database is locked")

    monkeypatch.setattr(cache, "get", broken)
    one, other = gate(time), gate(time)
    one.hold_back(HOST, 10)
    assert waited(other, time) == 0
    assert waited(one, time) >= 10
    assert "cannot be shared now" in caplog.text


def test_N10_the_servers_own_clients_share_it() -> None:
    from channels import retry_after

    client = client_for(b"", b"")
    assert client._session.settings.backoff is retry_after.SHARED
    client.close()
