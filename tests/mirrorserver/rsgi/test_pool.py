"""Threads are shared: no client has them all, and nobody waits in a queue without an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from mirrorserver.rsgi.pool import Busy, ClientShares, Pool

pytestmark = pytest.mark.django_db(transaction=True)

THREADS, SHARE, QUEUE = 4, 2, 10


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool("test", threads=THREADS, queue=100)
    yield made
    made._threads.shutdown()


class Jobs:
    """Jobs that hold their thread until `go` is set, and how many have run at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.most = self._now = 0
        self._lock = threading.Lock()

    def hold(self) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.begun.release()
        assert self.go.wait(60)
        with self._lock:
            self._now -= 1
        return "held"


def test_one_client_holds_its_share_and_others_are_answered_meanwhile(pool: Pool) -> None:
    jobs, clients = Jobs(), ClientShares(pool, threads=SHARE, queue=QUEUE)

    async def run() -> None:
        holding = [asyncio.ensure_future(clients.run("a", jobs.hold)) for _ in range(SHARE + 5)]
        for _ in range(SHARE):
            assert await asyncio.to_thread(jobs.begun.acquire, timeout=60)
        async with asyncio.timeout(60):
            assert await clients.run("b", str, "quick") == "quick"
        jobs.go.set()
        assert await asyncio.gather(*holding) == ["held"] * len(holding)

    asyncio.run(run())
    assert jobs.most == SHARE


def test_a_client_whose_queue_is_full_is_refused_and_others_are_not(pool: Pool) -> None:
    jobs, clients = Jobs(), ClientShares(pool, threads=SHARE, queue=QUEUE)

    async def run() -> None:
        holding = [asyncio.ensure_future(clients.run("a", jobs.hold)) for _ in range(SHARE + QUEUE)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await clients.run("a", jobs.hold)
        async with asyncio.timeout(60):
            assert await clients.run("b", str, "quick") == "quick"
        jobs.go.set()
        await asyncio.gather(*holding)

    asyncio.run(run())


def test_nothing_is_kept_of_a_client_that_has_its_answers(pool: Pool) -> None:
    clients = ClientShares(pool, threads=SHARE, queue=QUEUE)

    async def run() -> None:
        names = [f"client {number}" for number in range(50)]
        assert await asyncio.gather(*(clients.run(one, str, one) for one in names)) == names
        with pytest.raises(ZeroDivisionError):
            await clients.run("fails", divmod, 1, 0)

    asyncio.run(run())
    assert not clients._shares
