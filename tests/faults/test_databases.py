"""Family D: databases and Redis that go away, writers that wait, clocks that jump."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import LazySettings
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.models import F
from django.test import Client
from django.utils import timezone

from channels.models import Publication
from channels.revision_builder import RevisionBuilder
from mirrors import run_control, services
from mirrors.models import Mirror, Run
from mirrorserver import environment
from publishing import publish
from runs import execute
from tests import invariants, machine, scene
from tests.condatree import FakeConda
from tests.mirrorserver.server import PROJECT
from tests.processes import Worker
from tests.web.client import PASSWORD, person
from tests.wsgi import Client as WebClient
from tests.wsgi import application
from workers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

AWAY = {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "redis://127.0.0.1:1/0",
}


def flush() -> None:
    """Empty the broker and the cache, as a Redis without a disk does when it restarts."""
    if url := environment.load().redis_url:
        with redis.Redis.from_url(url) as server:
            server.flushall()
    else:
        cache.clear()
        queue = environment.load().data / "broker" / "queue"
        shutil.rmtree(queue, ignore_errors=True)
        queue.mkdir(parents=True)


@pytest.fixture
def mirror(conda: FakeConda) -> Mirror:
    return scene.mirror(scene.channel(), conda.channel, mirror_mode="active")


def test_D01_a_flush_loses_wake_ups_and_counts_and_nothing_else(
    conda: FakeConda, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Client()
    browser.force_login(scene.admin())
    scene.run_now(mirror)
    before = invariants.served(mirror.channel)
    conda.add("noarch", "new", "1")
    conda.publish()
    waiting = run_control.request_run(mirror, cause="manual", actor="admin")
    rows = [row for row in invariants.dump() if not row[0].startswith("sessions.")]
    flush()
    assert [row for row in invariants.dump() if not row[0].startswith("sessions.")] == rows
    assert invariants.served(mirror.channel) == before
    assert browser.get("/profile/").status_code == 200
    monkeypatch.setattr(dispatch, "_enqueued", {})
    told: list[int] = []
    monkeypatch.setattr(dispatch.notify, "run", told.append)
    dispatch.dispatch_round()
    assert told == [waiting.pk]
    execute.execute(waiting.pk, interrupted=lambda: False)
    assert Run.objects.get(pk=waiting.pk).counts["active"] == 5
    invariants.check(mirror.channel)


def test_D01_without_redis_clients_are_served_and_changes_are_503(
    mirror: Mirror, settings: LazySettings
) -> None:
    scene.run_now(mirror)
    person("admin", "admin")
    before = invariants.served(mirror.channel)
    api = Client(headers={"Authorization": f"Bearer {_token()}"})
    settings.CACHES = {"default": AWAY}
    settings.LIMIT_WRITES = settings.LIMIT_RUNS = "600/60"
    assert invariants.served(mirror.channel) == before
    assert api.get(f"/api/channels/main/mirrors/{mirror.pk}").status_code == 200
    body = {"name": "other"}
    refused = api.post("/api/channels", body, content_type="application/json")
    assert (refused.status_code, refused["Retry-After"]) == (503, "5")
    assert "Redis" in refused.json()["message"]
    browser = Client(raise_request_exception=False)
    form = {"username": "admin", "password": PASSWORD}
    assert browser.post("/sign-in/", form).status_code == 503
    assert scene.run_now(mirror, cause="schedule").state == "completed"
    invariants.check(mirror.channel)


def _token() -> str:
    from accounts import jwt

    return jwt.issue(scene.admin())[0]


@pytest.mark.parametrize(
    "place",
    [
        "channels.revision_builder.RevisionBuilder._write",
        "channels.revision_builder.RevisionBuilder.commit",
    ],
)
def test_D02_a_publication_whose_connections_are_ended_is_seen_whole_or_not_at_all(
    mirror: Mirror, place: str
) -> None:
    machine.only_on("postgresql", "SQLite has no server that restarts")
    channel = mirror.channel
    scene.run_now(mirror)
    before = invariants.served(channel)
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    with Worker("publish", channel.pk, pause=place) as worker:
        worker.reached()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        worker.go_on()
        worker.finish()
    channel.refresh_from_db()
    assert (invariants.served(channel) == before) is (channel.current == 2)
    assert not Publication.objects.filter(state="running").exists(), "nobody waits for a lease"
    scene.publish(channel)
    assert (channel.current, scene.listed(channel)) == (3, {})
    invariants.check(channel)


def _once(error: Exception, real: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """`real`, whose first call raises: before it did anything, or after all of it."""
    left = [error]

    def called(*args: Any, **kwargs: Any) -> Any:
        if left and not after:
            raise left.pop()
        done = real(*args, **kwargs)
        if left:
            raise left.pop()
        return done

    return called


@pytest.mark.parametrize("after", [False, True], ids=["not committed", "committed, unheard"])
def test_D02_a_commit_whose_outcome_is_unknown_is_read_again(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    channel = mirror.channel
    scene.run_now(mirror)
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    lost = OperationalError("server closed the connection unexpectedly")
    monkeypatch.setattr(RevisionBuilder, "commit", _once(lost, RevisionBuilder.commit, after=after))
    with pytest.raises(OperationalError):
        publish.publish(channel, stop=lambda: None)
    channel.refresh_from_db()
    assert channel.current == (3 if after else 2)
    state = Publication.objects.latest("pk").state
    assert state == ("completed" if after else "failed")
    scene.publish(channel)
    assert (channel.current, scene.listed(channel)) == (3, {})
    invariants.check(channel)


@contextmanager
def writing() -> Iterator[None]:
    """Another process's transaction that writes, for as long as the block lasts."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_D03_who_reads_a_channel_waits_for_no_writer(mirror: Mirror) -> None:
    machine.only_on("sqlite", "PostgreSQL has several writers")
    scene.run_now(mirror)
    client = WebClient(application)
    paths = [
        f"/api/repo/main/noarch/{name}"
        for name in ("repodata.json", "repodata.json.zst", "six-1.16.0-0.conda", "none-1-0.conda")
    ]
    before = [client.get(path).body for path in paths]
    with writing():
        assert [client.get(path).body for path in paths] == before
        assert [WebClient(application).get(path).body for path in paths] == before
    invariants.check(mirror.channel)


def test_D03_who_reads_for_long_keeps_no_writer_waiting(conda: FakeConda, mirror: Mirror) -> None:
    machine.only_on("sqlite", "PostgreSQL has several writers")
    scene.run_now(mirror)
    reader = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        reader.execute("BEGIN")
        seen = reader.execute("SELECT count(*) FROM channels_blob").fetchone()
        conda.add("noarch", "new", "1")
        conda.publish()
        assert scene.run_now(mirror).counts["active"] == 5
        assert reader.execute("SELECT count(*) FROM channels_blob").fetchone() == seen
    finally:
        reader.close()
    invariants.check(mirror.channel)


@pytest.mark.parametrize("days", [1, -1])
def test_D04_a_clock_that_jumps_takes_no_run_from_its_worker(mirror: Mirror, days: int) -> None:
    """The stored times move instead of the clock."""
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    with Worker("run", row.pk, pause="runs.accept_snapshots.accept_or_hold") as worker:
        worker.reached()
        jump = timedelta(days=days)
        Run.objects.update(created_at=F("created_at") + jump, started_at=F("started_at") + jump)
        for _ in range(2):
            dispatch.dispatch_round()
        row.refresh_from_db()
        assert (row.state, row.fence) == ("running", 1)
        worker.go_on()
        code, output = worker.finish()
    row.refresh_from_db()
    assert (code, row.state, row.counts["active"]) == (0, "completed", 4), output
    invariants.check(mirror.channel)


def test_D04_a_clock_that_jumps_over_slots_begins_one_run(mirror: Mirror) -> None:
    services.edit(mirror, {"cron": "0 * * * *"}, actor="admin")
    Mirror.objects.update(next_run_at=timezone.now() - timedelta(days=1))
    for _ in range(3):
        dispatch.start_due()
    pending = mirror.runs.get()
    execute.execute(pending.pk, interrupted=lambda: False)
    # Back again: the next slot is a day away, and no slot is made up for.
    Mirror.objects.update(next_run_at=timezone.now() + timedelta(days=1))
    dispatch.start_due()
    assert mirror.runs.count() == 1
    invariants.check(mirror.channel)


KILLED = """
import os, signal, django
django.setup()
from django.core.management import call_command
from django.db.migrations.executor import MigrationExecutor
real, calls = MigrationExecutor.apply_migration, []
def apply(*args, **kwargs):
    state = real(*args, **kwargs)
    calls.append(1)
    if len(calls) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    return state
MigrationExecutor.apply_migration = apply
call_command("migrate", verbosity=0)
call_command("migrate", check_unapplied=True)
"""


def test_D05_a_migration_that_is_killed_goes_on_at_the_next_start(tmp_path: Path) -> None:
    database = tmp_path / "migrated.sqlite3"
    variables = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{database}",
        "DATA": str(tmp_path / "data"),
        "DJANGO_SETTINGS_MODULE": "mirrorserver.settings",
    }

    def python(*arguments: str) -> int:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=PROJECT, env=variables, timeout=300).returncode

    assert python("-c", KILLED.format(count=12)) == -9
    with sqlite3.connect(database) as half:
        assert half.execute("SELECT count(*) FROM django_migrations").fetchone()[0] in (11, 12)
    assert python("-c", KILLED.format(count=10**6)) == 0
    with sqlite3.connect(database) as whole:
        assert whole.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_D05_a_deadlock_fails_one_publication_and_the_next_has_everything(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = mirror.channel
    scene.run_now(mirror)
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    before = invariants.served(channel)
    deadlock = OperationalError("deadlock detected")
    monkeypatch.setattr(
        RevisionBuilder, "section", _once(deadlock, RevisionBuilder.section, after=False)
    )
    with pytest.raises(OperationalError):
        publish.publish(channel, stop=lambda: None)
    assert invariants.served(channel) == before
    scene.publish(channel)
    assert scene.listed(channel) == {}
    invariants.check(channel)
