"""Attack: ask for what is not there, in a large channel."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from channels.errors import Missing
from channels.models import Channel, Package
from delivery import app, listed_files
from mirrorserver.rsgi.application import Application
from tests import scene
from tests.mirrorserver.rsgi.exchanges import Exchange, Scope

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = 2000


@pytest.fixture
def large() -> Channel:
    channel = scene.channel()
    channel.refresh_from_db()
    Package.objects.bulk_create(
        Package(
            channel=channel, family="conda", section="noarch", name=f"n{number}",
            added_in=channel.current,
        )
        for number in range(NAMES)
    )  # fmt: skip
    return channel


def plan(sql: str) -> str:
    """How the database finds the rows, without statistics of its own making."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")
            cursor.execute(f"EXPLAIN {sql}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())


def test_a_miss_reads_the_rows_of_its_name_only(large: Channel) -> None:
    with CaptureQueriesContext(connection) as queries, pytest.raises(Missing):
        listed_files.find(large, "noarch", "absent-1-0.conda", name="absent", number=large.current)
    of_packages = [one["sql"] for one in queries if "channels_package" in one["sql"]]
    named = [sql for sql in of_packages if "'absent'" in sql]
    assert named
    for sql in named:
        found = plan(sql)
        if connection.vendor == "postgresql":
            assert "Index Cond" in found, found
            assert "absent" in found.partition("Index Cond")[2].partition("\n")[0], found
        else:
            assert "name=?" in found, found
            assert "TEMP B-TREE" not in found, found
    # Nothing else may grow with the channel: whether there is any package is one row.
    assert len(of_packages) <= 2


def test_why_reads_the_rows_of_its_name_only(large: Channel) -> None:
    rows: Any = Package.objects.filter(
        channel=large, section="noarch", name="absent", shard__isnull=False
    ).order_by("-added_in")
    with CaptureQueriesContext(connection) as queries:
        list(rows[:20])
    found = plan(queries[0]["sql"])
    assert ("name=?" in found) if connection.vendor == "sqlite" else ("Index Cond" in found), found


def test_the_lookups_of_one_client_leave_threads_for_the_others(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEB_THREADS = 4
    go, look_up = threading.Event(), app.respond

    def slow(environ: Any) -> Any:
        if "slow" in environ["PATH_INFO"]:
            assert go.wait(60)
        return look_up(environ)

    monkeypatch.setattr(app, "respond", slow)
    scene.channel()

    async def run() -> None:
        server = Application()

        async def ask(name: str, address: str) -> int:
            scope = Scope("GET", f"/api/repo/main/noarch/{name}-1-0.conda", client=f"{address}:5")
            wire = Exchange()
            await server.__rsgi__(cast(Any, scope), wire)
            return wire.status

        attack = [asyncio.ensure_future(ask(f"slow{at}", "192.0.2.1")) for at in range(20)]
        async with asyncio.timeout(60):
            assert await ask("absent", "192.0.2.2") == 404
        go.set()
        assert await asyncio.gather(*attack) == [404] * 20
        end(server._packages._threads, settings.WEB_THREADS)
        end(server._generations._thread, 1)

    asyncio.run(run())


def end(pool: ThreadPoolExecutor, threads: int) -> None:
    """End the threads of a pool, each with its connection to the database."""
    together = threading.Barrier(threads)

    def close() -> None:
        together.wait(60)
        connections.close_all()

    for done in [pool.submit(close) for _ in range(threads)]:
        done.result(60)
    pool.shutdown()
