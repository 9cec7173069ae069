"""Clients that never wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ecosystems.upstream import Backoff, Client, ClientSettings, EgressPolicy, Limits

LOOPBACK = EgressPolicy(["http://127.0.0.1:*", "https://127.0.0.1:*"])
QUICK = Limits(tick=0.005, chunk=1024)


class Time:
    """A clock that only moves when somebody sleeps, or by `step` each time it is read."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        # Time always passes, also where `seconds` are too few to be added to a float.
        self.now = max(self.now + seconds, math.nextafter(self.now, math.inf))


@pytest.fixture
def time() -> Time:
    return Time()


MakeClient = Callable[..., Client]


@pytest.fixture
def make_client(time: Time) -> Iterator[MakeClient]:
    """A client: `limits` changes single numbers, other options are of `ClientSettings`."""
    made: list[Client] = []

    def make(
        policy: EgressPolicy = LOOPBACK, *, limits: dict[str, Any] | None = None, **options: Any
    ) -> Client:
        defaults = ClientSettings(
            limits=replace(QUICK, **(limits or {})),
            backoff=Backoff(time.clock, time.sleep, chance=lambda: 0.0),
            clock=time.clock,
            sleep=time.sleep,
        )
        made.append(Client(policy, replace(defaults, **options)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()
