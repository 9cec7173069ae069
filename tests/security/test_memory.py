"""Attack: ask so that each request leaves something in memory."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from delivery import auth, cache, shard_files
from tests import scene
from tests.wsgi import application

pytestmark = pytest.mark.django_db(transaction=True)


def environ(path: str, **headers: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", **headers}


def deep(one: object) -> str:
    """All text in a cache."""
    return repr(one)


def test_credentials_are_remembered_by_hash_and_of_bounded_length() -> None:
    caches = cache.Caches(1)
    for number in range(50):
        secret = f"s3cret-{number}-" + "x" * 50_000
        auth.identify(environ("/", HTTP_X_AUTH=secret), f"s3cret-t{number}", caches)
        auth.identify(environ("/", HTTP_AUTHORIZATION=f"Bearer {secret}"), "", caches)
    assert "s3cret" not in deep(list(caches.callers.items))
    assert all(len(key) == 16 for key in caches.callers.items)


def test_requests_with_long_headers_and_addresses_leave_little_behind() -> None:
    scene.channel()
    cache._current = cache.Caches(-1)
    _ask(0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1, 300):
            _ask(number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # They sent 100 MB.
    assert grown < 20_000_000
    assert "s3cret" not in deep(list(cache.current().answers.items))
    assert "s3cret" not in deep(list(cache.current().refusals.items))


def _ask(number: int) -> None:
    long = f"s3cret{number}" + "y" * 100_000
    for path in ("/api/repo/main/noarch/repodata.json", f"/t/{long}/api/repo/main/noarch/x.json"):
        for header in ("HTTP_X_AUTH", "HTTP_AUTHORIZATION"):
            asked = environ(path, **{header: f"Bearer {long}"})
            answer = application(asked, lambda *_: None)
            assert b"".join(answer)
    path = f"/api/repo/main/noarch/{long}"
    b"".join(application(environ(path), lambda *_: None))


def test_what_is_remembered_of_shards_is_bounded_in_bytes() -> None:
    told = {"f" * 200: ("a" * 64, "b" * 32, 1, "https://x/" + "c" * 2000, "")}
    weight = sum(map(shard_files.weigh, told.items()))
    assert weight > 2300
    assert shard_files.MEMORY // weight < 25_000
