"""Rows S02 and S03: what health says of a disk that is full or fails, and of what is away."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection
from django.test import Client

from mirrorserver import environment, health
from tests import invariants, scene
from tests.faults.clients import get
from tests.sources import FILES, Source

pytestmark = pytest.mark.django_db(transaction=True)


def ready() -> tuple[int, dict[str, str]]:
    answer = Client().get("/health/ready")
    found = answer.json()
    assert answer["Cache-Control"] == "no-store"
    assert (found["status"] == "ok") == (answer.status_code == 200)
    return answer.status_code, found["checks"]


def test_S02_below_the_reserve_downloads_stop_and_health_says_why(
    source: Source, settings: LazySettings
) -> None:
    mirror = source.mirror(scene.channel(), mirror_mode="active")
    scene.run_now(mirror)
    assert get(source) == (200, source.bytes())
    before = invariants.served(mirror.channel)
    assert ready()[0] == 200
    room = settings.MIN_FREE_BYTES
    settings.MIN_FREE_BYTES = 1 << 60
    status, checks = ready()
    assert (status, checks["database"]) == (503, "ok")
    assert f"{1 << 60:,} are kept free" in checks["storage"]
    source.add("numpy", "2.1")
    source.publish()
    source.server.forget()
    assert "needs" in scene.run_now(mirror).error
    assert invariants.served(mirror.channel) == before
    assert get(source) == (200, source.bytes())
    settings.MIN_FREE_BYTES = room
    assert ready()[0] == 200
    assert scene.run_now(mirror).counts["active"] == FILES + 1
    invariants.check(mirror.channel, fetch=True)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_S03_a_data_folder_that_cannot_be_written_is_not_ready(
    data: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    assert ready()[0] == 200
    asked: list[int] = []

    def refuses(*_: Any) -> Any:
        asked.append(number)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync" if number == errno.EIO else "open", refuses)
        status, checks = ready()
    assert (status, len(asked)) == (503, 1), "a disk that fails is not asked again"
    assert os.strerror(number) in checks["storage"]
    assert str(data) not in checks["storage"]
    assert not [path for path in data.rglob("*") if path.is_file()]
    assert ready()[0] == 200


def test_a_database_or_redis_that_is_away_is_not_ready_and_the_process_is_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("secret words")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        status, checks = ready()
        assert (status, checks["database"]) == (503, "The database does not answer.")
        assert Client().get("/health/live").json() == {"status": "ok", "checks": {}}
    known = environment.load()
    gone = type("Gone", (), {"redis_url": "redis://127.0.0.1:1/0"})
    with monkeypatch.context() as patch:
        patch.setattr(health.environment, "load", gone)
        assert ready()[1]["redis"] == "Redis does not answer."
    assert ("redis" in ready()[1]) == bool(known.redis_url)
    assert Client().post("/health/ready").status_code == 405
