"""The number that says whether what is remembered still holds, as the event loop reads it.

On PostgreSQL a thread asks, once for all who came meanwhile; on SQLite the loop itself, and the
thread where SQLite is not free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from django.db.models import F

from channels.models import Generation
from delivery import cache
from mirrorserver.rsgi.generations import Generations
from tests import machine

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 300


@pytest.fixture
def generations() -> Iterator[Generations]:
    """A reader that asks by its thread, on every database."""
    Generation.objects.update_or_create(pk=1, defaults={"number": 7})
    found = Generations()
    assert bool(found._file) == (connection.vendor == "sqlite")
    found._file = ""
    yield found
    found._thread.submit(connections.close_all).result(60)
    found._thread.shutdown()


def read(generations: Generations, count: int = 1, *, leave: int = 0) -> list[Any]:
    """What `count` clients read at once; the first `leave` of them go before the answer."""

    async def run() -> list[Any]:
        asked = [asyncio.ensure_future(generations.read()) for _ in range(count)]
        await asyncio.sleep(0)
        for one in asked[:leave]:
            one.cancel()
        async with asyncio.timeout(60):
            return list(await asyncio.gather(*asked, return_exceptions=True))

    return asyncio.run(run())


def test_the_number_is_the_one_that_stands_there(generations: Generations) -> None:
    assert read(generations) == [7]
    Generation.objects.update(number=F("number") + 1)
    assert read(generations) == [8]
    Generation.objects.all().delete()
    assert read(generations) == [0]


def test_on_sqlite_whoever_comes_in_one_turn_of_the_loop_shares_a_query_and_nobody_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine.only_on("sqlite", "another database is asked by a thread")
    Generation.objects.update_or_create(pk=1, defaults={"number": 7})
    generations, asked = Generations(), []

    def counted() -> int | None:
        asked.append(1)
        return 7

    monkeypatch.setattr(generations, "_at_once", counted)

    async def run() -> None:
        for turn in range(1, 4):
            await asyncio.gather(*(generations.read() for _ in range(MANY)))
            assert len(asked) == turn
            await asyncio.sleep(0)

    asyncio.run(run())
    generations._thread.shutdown()


def test_on_sqlite_a_change_is_seen_by_whoever_comes_after_it() -> None:
    machine.only_on("sqlite", "another database is asked by a thread")
    Generation.objects.update_or_create(pk=1, defaults={"number": 7})
    generations = Generations()

    async def run() -> None:
        assert await generations.read() == 7
        await asyncio.to_thread(Generation.rise)
        assert await generations.read() == 8

    try:
        asyncio.run(run())
    finally:
        generations._thread.shutdown()


def test_clients_that_come_at_once_share_a_query(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(read: Any = cache.read) -> int:
        asked.append(read())
        return asked[-1]

    monkeypatch.setattr(cache, "read", counted)
    assert read(generations, MANY) == [7] * MANY
    assert 1 <= len(asked) <= 2


def test_who_leaves_ends_nobody_elses_wait(generations: Generations) -> None:
    found = read(generations, 10, leave=5)
    assert all(isinstance(one, asyncio.CancelledError) for one in found[:5])
    assert found[5:] == [7] * 5


def test_an_error_reaches_all_who_asked_and_nobody_after_them(
    generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> int:
        raise DatabaseError("away")

    with monkeypatch.context() as patched:
        patched.setattr(cache, "read", fails)
        assert all(isinstance(one, DatabaseError) for one in read(generations, 10, leave=0))
    assert read(generations, 10) == [7] * 10


def test_a_connection_that_the_database_ended_is_made_anew(generations: Generations) -> None:
    machine.only_on("postgresql", "SQLite has no server that could end a connection")
    assert read(generations) == [7]

    def ours() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    pid = generations._thread.submit(ours).result(60)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
        assert cursor.fetchone()[0]
    Generation.objects.update(number=9)
    assert read(generations) == [9]
    assert generations._thread.submit(ours).result(60) != pid
