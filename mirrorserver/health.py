"""`/health/live` and `/health/ready`, for whoever starts, watches or balances servers.

Live: this process answers. Ready: it can do all its jobs; where it cannot, the answer is 503 and
names the part and why. Stored files are served all the same while the disk is full.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis import Redis, RedisError

from mirrorserver import environment, storage

OK = "ok"
REDIS_SECONDS = 2
"""How long Redis may take to connect, and to answer."""


@require_safe
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """200 while this process answers."""
    return _answer({}, status=200)


@require_safe
def ready(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """200 where every part works, else 503; `checks` says of each part "ok" or what is wrong."""
    results = {name: check() or OK for name, check in _checks().items()}
    return _answer(results, status=200 if set(results.values()) == {OK} else 503)


def _answer(checks: dict[str, str], *, status: int) -> HttpResponse:
    body = {"status": OK if status == 200 else "failed", "checks": checks}
    response = JsonResponse(body, status=status)
    # A proxy that kept the answer would hide the change that the watcher waits for.
    response["Cache-Control"] = "no-store"
    return response


def _checks() -> dict[str, Callable[[], str]]:
    """What each part lacks, "" where it works."""
    checks = {"database": _database, "storage": _storage}
    return checks | {"redis": _redis} if environment.load().redis_url else checks


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "The database does not answer."
    return ""


def _storage() -> str:
    return storage.problem(settings.DATA, settings.MIN_FREE_BYTES)


def _redis() -> str:
    url = environment.load().redis_url
    assert url is not None
    timeouts = {
        "socket_connect_timeout": REDIS_SECONDS,
        "socket_timeout": REDIS_SECONDS,
    }
    try:
        with Redis.from_url(url, **timeouts) as server:
            server.ping()
    except (RedisError, OSError):
        return "Redis does not answer."
    return ""
