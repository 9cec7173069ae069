"""The leader of a fetch: who wins, what it brings, and what it leaves."""

from __future__ import annotations

import multiprocessing
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from channels.models import Blob, Channel, Fetch, Package, Refusal
from tests.delivery.on_demand.files import (
    BIG,
    PATIENT_SECONDS,
    SMALL,
    Streamed,
    left_behind,
    path,
    run_clients,
)
from tests.rogue import Behaviour
from tests.upstream import FakeUpstream
from tests.wsgi import Client

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_first_client_brings_the_file_and_the_next_finds_it(
    client: Client, tools: Channel, upstream: FakeUpstream, data: Path
) -> None:
    Package.objects.update(stale=False)
    first = client.get(path(SMALL))
    assert (first.status, first.body) == (200, SMALL.content)
    assert first.headers["ETag"] == f'"{SMALL.sha256}"'
    assert client.get(path(SMALL), range="bytes=5-9").body == b"small"
    assert upstream.count(f"/noarch/{SMALL.filename}") == 1
    blob = Blob.objects.get(pk=SMALL.sha256)
    assert (blob.file, blob.size) == (True, len(SMALL.content))
    assert list(Package.objects.filter(stale=True).values_list("name", flat=True)) == ["small"]
    assert not Fetch.objects.exists()
    assert left_behind(data) == []


def test_p01_a_hundred_clients_of_several_processes_cause_one_request(
    tools: Channel, upstream: FakeUpstream
) -> None:
    behaviour = Behaviour(hold_at=1000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    # PostgreSQL has 100 connections as it comes, and every client here needs one.
    each = 25 if connection.vendor == "sqlite" else 16
    children = [fork.Process(target=run_clients, args=(BIG, each, results)) for _ in range(4)]
    for child in children:
        child.start()
    assert behaviour.held.wait(PATIENT_SECONDS)
    behaviour.release()
    answers = [results.get(timeout=PATIENT_SECONDS) for _ in children]
    for child in children:
        child.join()
    assert [len(some) for some in answers] == [each] * 4
    assert all(all(some) for some in answers)
    assert upstream.count(f"/noarch/{BIG.filename}") == 1


def test_p03_the_file_comes_though_its_client_left(
    client: Client, tools: Channel, upstream: FakeUpstream, impatient: None
) -> None:
    behaviour = Behaviour(hold_at=600_000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    stream = Streamed(BIG)
    next(stream.body)
    stream.body.close()  # type: ignore[attr-defined]
    behaviour.release()
    for thread in threading.enumerate():
        if thread.name.startswith("fetch "):
            thread.join()
    assert client.get(path(BIG)).body == BIG.content
    assert upstream.count(f"/noarch/{BIG.filename}") == 1


def test_a_full_disk_is_said_and_nothing_is_left(
    client: Client, tools: Channel, settings: Any, data: Path
) -> None:
    settings.MIN_FREE_BYTES = 1 << 60
    answer = client.get(path(SMALL))
    assert (answer.status, "disk" in answer.detail) == (503, True)
    assert left_behind(data) == []


def test_a_fault_of_this_server_ends_the_wait_with_an_id_that_the_log_has(
    client: Client, tools: Channel, monkeypatch: pytest.MonkeyPatch, caplog: Any, data: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("secret")

    monkeypatch.setattr("channels.file_sources.download", broken)
    answer = client.get(path(SMALL))
    assert answer.status == 503
    (id,) = re.findall(r"Internal error ([0-9a-f]{8})", answer.detail)
    assert "secret" not in answer.detail
    assert id in caplog.text
    assert not Fetch.objects.exists()
    assert left_behind(data) == []


def test_an_upstream_that_is_not_allowed_is_not_asked(
    client: Client, tools: Channel, upstream: FakeUpstream, settings: Any
) -> None:
    settings.UPSTREAM_ALLOW = ("https://conda.example.org",)
    answer = client.get(path(SMALL))
    assert (answer.status, "may not fetch" in answer.detail) == (502, True)
    assert upstream.count() == 0


def test_p02_wrong_bytes_are_never_sent_and_never_kept(
    client: Client, tools: Channel, upstream: FakeUpstream, data: Path
) -> None:
    upstream.set(f"/noarch/{SMALL.filename}", SMALL.content[::-1])
    answer = client.get(path(SMALL))
    assert answer.status == 502
    assert "do not have the sha256" in answer.detail
    upstream.set(f"/noarch/{SMALL.filename}", SMALL.content[:-1])
    Refusal.objects.all().delete()
    assert client.get(path(SMALL)).status == 502
    assert not Blob.objects.filter(pk=SMALL.sha256).exists()
    assert left_behind(data) == []
    upstream.set(f"/noarch/{SMALL.filename}", SMALL.content)
    Refusal.objects.all().delete()
    assert client.get(path(SMALL)).body == SMALL.content
