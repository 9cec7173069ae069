"""Files that come when a client asks: once, verified, and with words where they do not come."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from channels.lease import HOST
from channels.models import Blob, Channel, Fetch, Package, Refusal
from delivery import on_demand
from ecosystems.upstream import Limits, NotFound
from history.models import Event
from publishing import explain
from publishing.explain import Verdict
from tests.channels import factory
from tests.channels.factory import Made
from tests.rogue import Behaviour, failing
from tests.upstream import FakeUpstream
from tests.wsgi import Answer, Client, application

pytestmark = pytest.mark.django_db(transaction=True)

SMALL = factory.made("small-1.0-0.conda", b"small" * 200)
BIG = factory.made("big-1.0-0.conda", bytes(range(256)) * 4096)
PATIENT_SECONDS = 60


@pytest.fixture(autouse=True)
def upstream_settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)
    settings.UPSTREAM_LIMITS = Limits(retries=0, backoff=0.01, tick=0.02)
    monkeypatch.setattr(explain, "verdict", lambda *_: None)
    monkeypatch.setattr(on_demand, "VERIFY_SECONDS", PATIENT_SECONDS)
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("fetch "):
            thread.join()


@pytest.fixture
def client() -> Client:
    return Client(application)


@pytest.fixture
def tools(upstream: FakeUpstream) -> Channel:
    """A channel whose files are all at the upstream."""
    channel = factory.channel("tools")
    for file in (SMALL, BIG):
        upstream.set(f"/noarch/{file.filename}", file.content)
    origin = factory.file_source(f"{upstream.url}/noarch/")
    factory.publish(channel, {"noarch": [SMALL, BIG]}, file_source=origin, here=False)
    return channel


def path(file: Made) -> str:
    return f"/api/repo/tools/noarch/{file.filename}"


def left_behind(data: Path) -> list[str]:
    return [file.name for file in (data / "tmp").glob("*.part")]


def in_thread(file: Made) -> tuple[ThreadPoolExecutor, Any]:
    """A client in a thread of its own, whose database connection ends with it."""

    def get() -> Answer:
        try:
            return Client(application).get(path(file))
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    return pool, pool.submit(get)


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


def test_history_tells_that_the_bytes_came(client: Client, tools: Channel) -> None:
    client.get(path(SMALL))
    event = Event.objects.get(type="artifact_generated")
    assert (event.family, event.channel_id) == ("conda", tools.pk)
    assert (event.data["name"], event.data["section"]) == ("small", "noarch")
    assert event.data["ckey"] == f"noarch/{SMALL.filename}"
    assert event.meta == {"files": [SMALL.filename], "bytes": len(SMALL.content)}


def test_asking_about_a_file_does_not_fetch_it(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    head = client.head(path(BIG))
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BIG.content)))
    assert head.headers["ETag"] == f'"{BIG.sha256}"'
    assert client.get(path(BIG), if_none_match=f'"{BIG.sha256}"').status == 304
    assert client.ask("OPTIONS", path(BIG)).status == 405
    assert client.get(path(replace(BIG, filename="no-1-0.conda"))).status == 404
    assert upstream.count() == 0


def many_clients(file: Made, count: int) -> list[bool]:
    """What `count` clients of this process get, each on a thread of its own."""

    def get(_: int) -> bool:
        try:
            return Client(application).get(path(file)).body == file.content
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(get, range(count)))


def run_clients(file: Made, count: int, results: Any) -> None:
    connections.close_all()
    results.put(many_clients(file, count))


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


def test_p01_when_the_leader_is_killed_one_who_waits_takes_over(
    tools: Channel, upstream: FakeUpstream, data: Path
) -> None:
    behaviour = Behaviour(hold_at=1000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    connections.close_all()
    fork = multiprocessing.get_context("fork")
    leader = fork.Process(target=run_clients, args=(BIG, 1, fork.Queue()))
    leader.start()
    assert behaviour.held.wait(PATIENT_SECONDS)
    pool, waiting = in_thread(BIG)
    assert leader.pid is not None
    os.kill(leader.pid, signal.SIGKILL)
    leader.join()
    with pool:
        assert waiting.result().body == BIG.content
    assert upstream.count(f"/noarch/{BIG.filename}") == 2
    assert not Fetch.objects.exists()
    behaviour.release()


def test_a_fetch_that_nobody_waits_for_any_more_is_reaped(tools: Channel, data: Path) -> None:
    row = Fetch.objects.create(key="k", state="running", owner=f"{HOST}:1:1", path="x.part")
    row.lock_path.parent.mkdir(parents=True, exist_ok=True)
    row.lock_path.touch()
    (data / "tmp").mkdir(exist_ok=True)
    (data / "tmp" / "x.part").touch()
    on_demand.reap(on_demand.Watch())
    assert not Fetch.objects.exists()
    assert left_behind(data) == []


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_demand, "VERIFY_SECONDS", 0)


class Streamed:
    """A client that reads a stream piece by piece while the upstream holds."""

    def __init__(self, file: Made) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        Client(application)
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path(file)}
        self.body = iter(application(environ, self.start))

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)

    def until_cut(self) -> bytes:
        """What comes before the connection is cut."""
        parts: list[bytes] = []
        with pytest.raises(on_demand.Cut):
            parts.extend(self.body)
        return b"".join(parts)


def test_p02_a_slow_file_streams_while_it_comes(
    tools: Channel, upstream: FakeUpstream, impatient: None
) -> None:
    behaviour = Behaviour(hold_at=600_000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    stream = Streamed(BIG)
    first = next(stream.body)
    assert not behaviour.released.is_set()
    assert stream.status == "200 OK"
    assert stream.headers["Content-Length"] == str(len(BIG.content))
    behaviour.release()
    assert first + b"".join(stream.body) == BIG.content
    assert upstream.count(f"/noarch/{BIG.filename}") == 1


def test_p02_a_stream_of_wrong_bytes_is_cut_before_its_end(
    tools: Channel, upstream: FakeUpstream, impatient: None, data: Path
) -> None:
    wrong = BIG.content[:-1] + b"!"
    upstream.set(f"/noarch/{BIG.filename}", wrong)
    behaviour = Behaviour(hold_at=600_000, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", behaviour)
    stream = Streamed(BIG)
    received = next(stream.body)
    behaviour.release()
    received += stream.until_cut()
    assert len(received) <= len(wrong) - on_demand.HELD_BACK
    assert not Blob.objects.filter(pk=BIG.sha256).exists()
    assert left_behind(data) == []


def test_p02_a_stream_whose_bytes_changed_meanwhile_is_cut(
    tools: Channel, upstream: FakeUpstream, impatient: None
) -> None:
    """The second attempt is right, but what was sent came from the first."""
    upstream.behave(
        f"/noarch/{BIG.filename}",
        held := Behaviour(hold_at=600_000, times=1, body=b"?" * len(BIG.content)),
    )
    stream = Streamed(BIG)
    received = next(stream.body)
    held.release()
    received += stream.until_cut()
    assert len(received) <= len(BIG.content) - on_demand.HELD_BACK
    assert Blob.objects.filter(pk=BIG.sha256).exists()


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


def test_p04_without_its_upstream_the_server_gives_what_it_has(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    client.get(path(SMALL))
    upstream.stop()
    assert client.get(path(SMALL)).body == SMALL.content
    assert client.get("/api/repo/tools/noarch/repodata.json").status == 200
    answer = client.get(path(BIG))
    assert answer.status == 502
    assert "could not be fetched from the upstream" in answer.detail


def test_a_refusal_is_remembered_for_a_while(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    upstream.remove(f"/noarch/{BIG.filename}")
    for _ in range(5):
        answer = client.get(path(BIG))
        assert answer.status == 404
        assert "no longer has it" in answer.detail
    assert upstream.count(f"/noarch/{BIG.filename}") == 1
    upstream.set(f"/noarch/{BIG.filename}", BIG.content)
    refusal = Refusal.objects.get()
    Refusal.objects.update(until=refusal.until.replace(year=2020))
    on_demand.reap(on_demand.Watch())
    assert not Refusal.objects.exists()
    assert client.get(path(BIG)).body == BIG.content


def test_a_refusal_says_when_to_ask_again_and_ends_with_a_run(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    upstream.behave(f"/noarch/{BIG.filename}", failing(500, times=1))
    for _ in range(2):
        answer = client.get(path(BIG))
        assert answer.status == 502
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert upstream.count(f"/noarch/{BIG.filename}") == 1
    on_demand.forgive(factory.channel("other"), "http://elsewhere/")
    assert client.get(path(BIG)).status == 502
    on_demand.forgive(factory.channel("behind"), upstream.url)
    assert client.get(path(BIG)).body == BIG.content


def test_a_refusal_is_of_the_bytes_that_were_expected(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    other = factory.made(SMALL.filename, b"other" * 200)
    upstream.set(f"/noarch/{SMALL.filename}", other.content)
    assert client.get(path(SMALL)).status == 502
    origin = factory.file_source(f"{upstream.url}/noarch/")
    factory.publish(tools, {"noarch": [other, BIG]}, file_source=origin, here=False)
    assert client.get(path(SMALL)).body == other.content


def test_a_silent_upstream_gets_half_of_the_threads(
    tools: Channel, upstream: FakeUpstream, settings: Any
) -> None:
    settings.FETCH_THREADS = 2
    held = Behaviour(hold_at=0, times=1)
    upstream.behave(f"/noarch/{BIG.filename}", held)
    pool, waiting = in_thread(BIG)
    assert held.held.wait(PATIENT_SECONDS)
    second, also = in_thread(SMALL)
    other = FakeUpstream()
    with other, pool, second:
        lively = factory.channel("lively")
        file = factory.made("lively-1.0-0.conda", b"lively" * 100)
        other.set(f"/noarch/{file.filename}", file.content)
        origin = factory.file_source(f"{other.url}/noarch/")
        factory.publish(lively, {"noarch": [file]}, file_source=origin, here=False)
        answer = Client(application).get(f"/api/repo/lively/noarch/{file.filename}")
        assert answer.body == file.content
        assert upstream.count(f"/noarch/{SMALL.filename}") == 0
        held.release()
        assert waiting.result().body == BIG.content
        assert also.result().body == SMALL.content


def test_a_full_disk_is_said_and_nothing_is_left(
    client: Client, tools: Channel, settings: Any, data: Path
) -> None:
    settings.MIN_FREE_BYTES = 1 << 60
    answer = client.get(path(SMALL))
    assert (answer.status, "disk" in answer.detail) == (503, True)
    assert left_behind(data) == []


def test_an_upstream_that_is_not_allowed_is_not_asked(
    client: Client, tools: Channel, upstream: FakeUpstream, settings: Any
) -> None:
    settings.UPSTREAM_ALLOW = ("https://conda.example.org",)
    answer = client.get(path(SMALL))
    assert (answer.status, "may not fetch" in answer.detail) == (502, True)
    assert upstream.count() == 0


def test_a_refused_file_is_not_fetched(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    explain.verdict = lambda *_: Verdict(True, "Left out by a rule.")
    factory.publish(tools, {"noarch": [BIG]}, here=False)
    answer = client.get(path(SMALL))
    assert (answer.status, answer.detail) == (404, "Left out by a rule.")
    assert upstream.count() == 0


def chain(length: int, source: Channel) -> Channel:
    """Channels of this server, each the source of the next; the last one."""
    for number in range(length):
        origin = factory.file_source(f"http://here/api/repo/{source.path}/noarch", source=source)
        source = factory.channel(f"behind{number}")
        factory.publish(source, {"noarch": [SMALL, BIG]}, file_source=origin, here=False)
    return source


def test_a_file_comes_through_the_channels_it_is_mirrored_from(
    client: Client, tools: Channel, upstream: FakeUpstream
) -> None:
    last = chain(2, tools)
    answer = client.get(f"/api/repo/{last}/noarch/{SMALL.filename}")
    assert answer.body == SMALL.content
    assert upstream.count(f"/noarch/{SMALL.filename}") == 1
    told = Event.objects.filter(type="artifact_generated").values_list("channel_id", flat=True)
    assert len(set(told)) == 3


def test_too_long_a_chain_of_channels_is_an_error(client: Client, tools: Channel) -> None:
    last = chain(on_demand.DEEPEST + 1, tools)
    answer = client.get(f"/api/repo/{last}/noarch/{SMALL.filename}")
    assert (answer.status, "too many channels" in answer.detail) == (502, True)


def test_a_source_channel_that_has_no_such_file_any_more_is_said(
    client: Client, tools: Channel
) -> None:
    last = chain(1, tools)
    factory.publish(tools, {"noarch": [BIG]}, here=False)
    tools.revisions.update(retired_at=None)
    answer = client.get(f"/api/repo/{last}/noarch/{SMALL.filename}")
    assert (answer.status, "of the channel tools" in answer.detail) == (404, True)


def test_a_run_gets_files_of_a_channel_of_this_server(
    tools: Channel, upstream: FakeUpstream
) -> None:
    origin = factory.file_source("http://here/api/repo/tools/noarch", source=tools)

    def run(filename: str) -> str:
        name = filename.split("-", maxsplit=1)[0]
        return on_demand.local(origin, "noarch", filename, name=name).sha256

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(run, BIG.filename).result() == BIG.sha256
        with pytest.raises(NotFound):
            pool.submit(run, "none-1.0-0.conda").result()
    assert upstream.count(f"/noarch/{BIG.filename}") == 1
