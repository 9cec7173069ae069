"""Attack: keep the database locked. Who writes is told so after one wait; who reads never waits."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from django.conf import LazySettings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client

from accounts import locks, password_cache, tokens
from accounts.errors import ApiError
from accounts.models import Token
from accounts.sessions import USED
from delivery import app
from delivery import cache as generation
from delivery.responses import Reply
from mirrorserver.rsgi.application import Application
from mirrorserver.rsgi.pool import Pool, Share
from tests import machine, scene
from tests.mirrorserver.rsgi.exchanges import Exchange, RequestHeaders, Scope
from tests.web.client import PASSWORD, Api, person

pytestmark = pytest.mark.django_db(transaction=True)

WAIT = 60
"""Milliseconds that a statement waits for a lock in these tests."""
AT_ONCE = 1
JSON = "application/json"
BASIC = f"Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> Iterator[None]:
    """One wait is short, and nobody remembers waits in vain of other tests."""
    settings.LIMIT_WRITES = "600/60"
    settings.LOCK_SECONDS = 0
    monkeypatch.setattr(locks, "_brief_until", 0.0)
    cache.clear()
    generation._current = generation.Caches(-1)
    with connection.cursor() as cursor:
        sqlite = connection.vendor == "sqlite"
        cursor.execute(f"{'PRAGMA busy_timeout' if sqlite else 'SET lock_timeout'} = {WAIT}")
    yield
    connection.close()


class LockTimeout(Exception):
    """As psycopg2 raises it."""

    pgcode = "55P03"


@contextmanager
def locked() -> Iterator[list[int]]:
    """Another connection lets nobody write; this thread's waits in vain, in milliseconds."""
    waited: list[int] = []

    def watch(execute: Any, sql: str, *more: Any) -> Any:
        limit = 0 if sql.startswith("ROLLBACK") else locks.lock_timeout_ms()
        try:
            return execute(sql, *more)
        except OperationalError as error:
            if locks.is_locked(error):
                waited.append(limit)
            raise

    with closing(_holder()), connection.execute_wrapper(watch):
        yield waited


def _holder() -> Any:
    if connection.vendor == "sqlite":
        other: Any = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        return other
    other = psycopg2.connect(**connection.get_connection_params())
    with other.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = ", ".join(connection.ops.quote_name(name) for (name,) in cursor.fetchall())
        # Reading goes on; every change waits.
        cursor.execute(f"LOCK TABLE {tables} IN SHARE MODE")
    return other


def writes(api: Api, client: Client, secret: str) -> dict[str, Any]:
    """Requests that change something, by every way to say who asks."""
    anybody = Client(raise_request_exception=False)
    filters = {"filters": {"exclude_specs": ["a"]}}
    words = {"username": "admin", "password": PASSWORD}

    def put(**headers: str) -> Any:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return anybody.put("/api/channels/main", filters, content_type=JSON, headers=named)

    return {
        "filters": lambda: put(**api.headers),
        "filters, token": lambda: put(X_Auth=secret),
        "filters, password": lambda: put(Authorization=BASIC),
        "channel": lambda: anybody.post(
            "/api/channels", {"name": "b"}, content_type=JSON, headers=api.headers
        ),
        "sign-in": lambda: anybody.post("/api/auth/login", words, content_type=JSON),
        "wrong sign-in": lambda: anybody.post(
            "/api/auth/login", {**words, "password": "x"}, content_type=JSON
        ),
        "sign-in page": lambda: anybody.post("/sign-in/", words),
        "channel page": lambda: client.post("/create-channel/", {"name": "c", "privacy": "public"}),
        "sign-out page": lambda: client.post("/sign-out/"),
    }


@pytest.mark.parametrize("limits", ["600/60", ""], ids=["limits", "no limits"])
def test_D03_every_change_is_503_with_a_time_after_one_wait(
    settings: LazySettings, limits: str
) -> None:
    settings.LIMIT_WRITES = limits
    channel = scene.channel()
    client = Client(raise_request_exception=False)
    client.force_login(scene.admin())
    asked = writes(Api(scene.admin()), client, tokens.issue(scene.admin(), "t")[1])
    with locked() as waited:
        for what, ask in asked.items():
            waited.clear()
            answer = ask()
            assert (what, answer.status_code) == (what, 503)
            if "page" not in what:
                assert answer.json()["error"]["code"], what
            assert int(answer["Retry-After"]) > 0
            assert [one for one in waited if one > AT_ONCE] == [WAIT], what
    channel.refresh_from_db()
    assert not channel.filter.terms.get("exclude_specs")
    for what, ask in asked.items():
        assert ask().status_code < 500, what


def test_D03_who_reads_waits_for_nothing() -> None:
    """Not for the note of when a token or a session was last used, which is made later."""
    scene.channel(name="shared")
    user = person("reader")
    token, secret = tokens.issue(user, "t")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    session = client.session
    session[USED] -= 3600
    session.save()
    asked = {"HTTP_X_AUTH": secret, "REQUEST_METHOD": "GET"}
    asked["PATH_INFO"] = "/api/repo/shared/notices.json"
    with locked() as waited:
        reply = app.respond(asked)
        assert isinstance(reply, Reply)
        assert (reply.status, reply.user) == (200, "reader")
        assert client.get("/api/channels", headers={"X-Auth": secret}).status_code == 200
        assert client.get("/channels/shared/").status_code == 200
        assert not [one for one in waited if one > AT_ONCE]
        token.refresh_from_db()
        assert token.last_used_at is None
    assert client.get("/channels/shared/").status_code == 200
    assert client.session[USED] > session[USED]
    assert client.get("/api/channels", headers={"X-Auth": secret}).status_code == 200
    token.refresh_from_db()
    assert token.last_used_at is not None


def test_a_connection_opens_while_the_database_is_locked() -> None:
    scene.channel()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA auto_vacuum")
            assert cursor.fetchone() == (2,)  # as it was made
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/repo/main/notices.json"}
    with locked() as waited:
        connection.close()
        reply = app.respond(asked)
        assert isinstance(reply, Reply)
        assert reply.status == 200
        assert waited == []


def test_after_a_wait_in_vain_the_next_request_waits_a_moment(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOCK_SECONDS = 3600
    monkeypatch.setattr(locks, "BRIEF_SECONDS", 0.005)
    api = Api(scene.admin())
    api.client.raise_request_exception = False
    with locked() as waited:
        assert [api.post("/channels", {"name": "b"})[0] for _ in range(3)] == [503] * 3
        assert [one for one in waited if one > AT_ONCE] == [WAIT, 5, 5]
    assert locks.lock_timeout_ms() == WAIT
    assert api.post("/channels", {"name": "b"})[0] == 201
    assert locks.lock_timeout_ms() == WAIT


def test_a_session_that_cannot_be_saved_now_is_not_taken_for_deleted() -> None:
    client = Client()
    client.force_login(person("reader"))
    session = client.session
    session["words"] = "x"
    with locked(), pytest.raises(OperationalError, match="lock"):
        session.save()
    session.save()
    Session.objects.all().delete()
    with pytest.raises(UpdateError):
        session.save()


def _exchange(path: str, body: bytes) -> Exchange:
    headers = RequestHeaders(
        {"host": "127.0.0.1", "content-type": JSON, "content-length": str(len(body))}
    )
    headers["authorization"] = BASIC
    exchange = Exchange(body)
    scope: Any = Scope("PUT", path, headers)
    asyncio.run(Application().__rsgi__(scope, exchange))
    return exchange


def test_a_long_list_is_503_where_nobody_can_say_whose_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bodies of this size are read only from who is signed in, which is asked before."""
    scene.channel()

    def gone(*_: Any) -> bool:
        raise OperationalError("locked")

    monkeypatch.setattr("mirrorserver.rsgi.bridge.is_authenticated", gone)
    specs = [f"package-{number}" for number in range(5000)]
    body = json.dumps({"filters": {"exclude_specs": specs}}).encode()
    exchange = _exchange("/api/channels/main", body)
    assert exchange.status == 503
    assert dict(exchange.headers)["Retry-After"]
    assert "busy" in json.loads(exchange.body)["message"]


def test_who_asks_with_the_same_password_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_cache, "WAIT_SECONDS", 0.001)
    key = b"credentials"
    first, second = password_cache.single_flight(key), password_cache.single_flight(key)
    with first, pytest.raises(ApiError) as caught, second:
        pass
    assert (caught.value.status, caught.value.retry_after) == (503, password_cache.BUSY_SECONDS)
    assert not password_cache._in_flight
    assert Token.objects.count() == 0


def test_changes_never_hold_all_threads_of_pages() -> None:
    async def run() -> list[str]:
        pool = Pool("pages", threads=2, queue=10)
        share = Share(pool, threads=1, queue=10)
        free = asyncio.Event()
        loop = asyncio.get_running_loop()
        done: list[str] = []

        def change() -> None:
            asyncio.run_coroutine_threadsafe(free.wait(), loop).result(60)

        changes = [asyncio.create_task(share.run(change)) for _ in range(5)]
        await asyncio.sleep(0)
        await pool.run(done.append, "page")
        free.set()
        await asyncio.gather(*changes)
        return done

    assert asyncio.run(run()) == ["page"]


def test_a_database_that_makes_a_client_wait_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number is asked again where a connection broke, not where it waited for a lock."""
    asked: list[int] = []

    def waits(wrapper: Any) -> int:
        wrapper.ensure_connection()
        asked.append(1)
        raise OperationalError("canceling statement due to lock timeout") from LockTimeout()

    monkeypatch.setattr(generation, "_read", waits)
    with pytest.raises(OperationalError):
        generation.read()
    assert len(asked) == 1


def test_postgresql_has_a_limit_for_locks_and_connections() -> None:
    machine.only_on("postgresql", "SQLite's limit is its timeout")
    options = connection.settings_dict["OPTIONS"]
    assert options["connect_timeout"] > 0
    connection.close()
    connection.ensure_connection()
    assert locks.lock_timeout_ms() == 20_000
