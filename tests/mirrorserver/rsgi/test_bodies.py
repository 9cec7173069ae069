"""A request's body has a deadline: a first time, and more with every byte that has come."""

from __future__ import annotations

import asyncio
import json

import pytest

from mirrorserver.rsgi import bodies
from mirrorserver.rsgi.application import Application
from mirrorserver.rsgi.bodies import Body, Memory, Refused
from tests.mirrorserver.rsgi.exchanges import Exchange, RequestHeaders, Scope

LENGTH = 1000
NEVER = 1e-9
"""Bytes a second: one byte earns all the time there is."""


def scope(path: str = "/api/auth/login") -> Scope:
    headers = RequestHeaders({"host": "127.0.0.1", "content-length": str(LENGTH)})
    return Scope("POST", path, headers)


def read(exchange: Exchange, memory: Memory) -> bytes:
    async def known() -> bool:
        raise AssertionError("so small a body is anybody's")

    body = Body(memory)
    try:
        return asyncio.run(body.read(scope(), exchange, known))
    finally:
        body.close()


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "FIRST_SECONDS", 0.0)


def test_a_body_that_stops_coming_is_refused_and_its_memory_given_back(no_time: None) -> None:
    memory = Memory()
    with pytest.raises(Refused) as caught:
        read(Exchange(b"x" * 10, ends=False), memory)
    assert caught.value.status == 408
    assert memory.used == 0


@pytest.mark.parametrize("speed", [float(bodies.BYTES_A_SECOND), 1e9])
def test_too_few_bytes_earn_too_little_time(
    no_time: None, monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    monkeypatch.setattr(bodies, "BYTES_A_SECOND", speed)
    with pytest.raises(Refused) as caught:
        read(Exchange(b"x", ends=False), Memory())
    assert caught.value.status == 408


def test_bytes_that_came_earn_time_for_the_next(
    no_time: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BYTES_A_SECOND", NEVER)
    assert read(Exchange(*[b"x"] * 50), Memory()) == b"x" * 50


@pytest.mark.parametrize(("path", "key"), [("/api/auth/login", "message"), ("/sign-in/", "detail")])
def test_whoever_sent_too_slowly_gets_the_reason(no_time: None, path: str, key: str) -> None:
    exchange = Exchange(b"{", ends=False)
    asyncio.run(Application().__rsgi__(scope(path), exchange))
    assert exchange.status == 408
    assert "too slowly" in json.loads(exchange.body)[key]
