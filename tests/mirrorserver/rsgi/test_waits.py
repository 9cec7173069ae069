"""Clients that wait for a file: one look for all, bounded in number and time, no thread each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from delivery.on_demand.errors import Unavailable
from delivery.on_demand.pending import PendingFetch
from delivery.responses import Reply
from mirrorserver.rsgi import waits
from mirrorserver.rsgi.waits import Waits

STORED = Reply(200, [], b"here")


@dataclass
class PendingReply:
    """A request for a file that is on its way."""

    name: str = "a"
    errors: list[Unavailable] = field(default_factory=list)

    @property
    def request(self) -> Any:
        listed = SimpleNamespace(filename=f"{self.name}.conda", size=1)
        return SimpleNamespace(key=self.name, refusal_key=self.name, listed=listed)

    def with_file(self, blob: Any) -> Reply:
        return STORED

    def refusal(self, error: Unavailable) -> Reply:
        self.errors.append(error)
        return Reply(error.status, error.headers, str(error).encode())


class Looks:
    """Stands for the database: what each look sees is for the test to say."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.then: Callable[[Sequence[PendingFetch]], None] = lambda fetches: None

    def look(self, fetches: Sequence[PendingFetch]) -> None:
        self.seen.append(len(fetches))
        self.then(fetches)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    found = Looks()
    monkeypatch.setattr(waits, "poll", found.look)
    return found


async def at_once(job: Callable[..., Any], *arguments: Any) -> Any:
    return job(*arguments)


def settle(*waiting: PendingReply, leave: int = 0) -> tuple[Waits, list[Any]]:
    """The answers; the first `leave` clients are gone from the start."""

    async def run() -> tuple[Waits, list[Any]]:
        waits = Waits(at_once)
        loop = asyncio.get_running_loop()
        gone = [loop.create_future() for _ in waiting]
        for one in gone[:leave]:
            one.set_result(None)
        asked = [waits.settle(one, it) for one, it in zip(waiting, gone, strict=True)]  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            return waits, await asyncio.gather(*asked)

    waits, answers = asyncio.run(run())
    # Whatever happened, nobody is left who waits.
    assert (waits._clients, waits._shared) == (0, {})
    return waits, answers


def arrives(looks: Looks, *, at: int) -> None:
    """Every file is here at that look."""

    def then(fetches: Sequence[PendingFetch]) -> None:
        if len(looks.seen) >= at:
            for fetch in fetches:
                fetch.blob = SimpleNamespace()  # type: ignore[assignment]

    looks.then = then


def test_all_who_want_one_file_share_each_look(looks: Looks) -> None:
    arrives(looks, at=3)
    _, answers = settle(*[PendingReply() for _ in range(200)])
    assert answers == [STORED] * 200
    assert looks.seen == [1, 1, 1]


def test_files_that_differ_are_looked_at_together(looks: Looks) -> None:
    arrives(looks, at=3)
    _, answers = settle(*[PendingReply(f"f{number % 5}") for number in range(50)])
    assert answers == [STORED] * 50
    assert max(looks.seen) == 5
    assert len(looks.seen) <= 4


def test_a_client_that_leaves_ends_its_own_wait_only(looks: Looks) -> None:
    arrives(looks, at=3)
    _, answers = settle(PendingReply(), PendingReply(), leave=1)
    assert answers == [None, STORED]


def test_more_clients_than_may_wait_are_told_when_to_come_again(
    looks: Looks, settings: Any
) -> None:
    settings.FETCH_WAITERS = 2
    arrives(looks, at=2)
    _, answers = settle(*[PendingReply() for _ in range(3)])
    assert [one.status for one in answers] == [200, 200, 503]
    assert dict(answers[2].headers)["Retry-After"] == "10"


def test_whoever_has_waited_too_long_is_told_so(looks: Looks, settings: Any) -> None:
    settings.FETCH_SECONDS = 0.01
    waiting = PendingReply()
    _, (answer,) = settle(waiting)
    assert answer.status == 503
    assert "a.conda did not come" in str(waiting.errors[0])


def test_a_refusal_reaches_all_who_wait(looks: Looks) -> None:
    def then(fetches: Sequence[PendingFetch]) -> None:
        for fetch in fetches:
            fetch.error = Unavailable(502, "The upstream refuses.")

    looks.then = then
    _, answers = settle(*[PendingReply() for _ in range(20)])
    assert {(one.status, one.body) for one in answers} == {(502, b"The upstream refuses.")}


def test_a_database_that_fails_leaves_nobody_waiting(looks: Looks) -> None:
    def then(fetches: Sequence[PendingFetch]) -> None:
        raise OperationalError("gone")

    looks.then = then
    _, answers = settle(PendingReply("a"), PendingReply("b"))
    assert [one.status for one in answers] == [503, 503]
    assert "database" in answers[0].body.decode()
