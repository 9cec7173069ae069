"""Row N10: the connections to one upstream are counted over all processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from django.conf import settings

from channels import file_sources
from channels.connection_slots import AWAITED, BACKGROUND, HAND_ON_SECONDS, SharedSlots, SlotFile
from delivery.on_demand import leader
from ecosystems.progress import never_stop
from tests.processes import ROOT

HOST = "https://busy.example"
OTHER = "https://idle.example"
PATIENCE = 60.0

CHILD = """
import sys, threading
from pathlib import Path
from django.conf import settings
from ecosystems.upstream import Limits
settings.configure(DATA=Path(sys.argv[1]), UPSTREAM_LIMITS=Limits(connections=int(sys.argv[2])))
from channels import connection_slots as connections
ends = []
def hold(kind, host, end):
    with getattr(connections, kind).hold(host, lambda: None):
        print("got", flush=True)
        end.wait()
    print("gave", flush=True)
for line in sys.stdin:
    if line == "give\\n":
        ends.pop(0).set()
    else:
        ends.append(threading.Event())
        threading.Thread(target=hold, args=(*line.split(), ends[-1]), daemon=True).start()
"""


class Stopped(Exception):
    """What a test's `stop` raises."""


class Other:
    """Another process of the server."""

    def __init__(self, data: Path, count: int = 4) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(data), str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def want(self, kind: str = "BACKGROUND", host: str = HOST) -> None:
        """Ask for a slot and wait for nothing."""
        self._say(f"{kind} {host}")

    def has(self, word: str = "got") -> None:
        """Wait for it to say so."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word

    def hold(self, kind: str = "BACKGROUND", host: str = HOST) -> None:
        """Ask for a slot and wait until it is there."""
        self.want(kind, host)
        self.has()

    def give(self) -> None:
        """Give the oldest slot back."""
        self._say("give")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@pytest.fixture
def other(data: Path) -> Iterator[Other]:
    with Other(data) as process:
        yield process


def free(slots: SharedSlots, host: str = HOST) -> bool:
    """Whether a slot is there for this process at the first look."""

    def stop() -> None:
        raise Stopped

    try:
        with slots.hold(host, stop):
            return True
    except Stopped:
        return False


@contextmanager
def waiting(slots: SharedSlots) -> Iterator[threading.Event]:
    """A thread that waits for a slot, and the event that it has it."""
    got, end = threading.Event(), threading.Event()

    def hold() -> None:
        with slots.hold(HOST, lambda: None):
            got.set()
            end.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    yield got
    end.set()
    thread.join(PATIENCE)


def test_N10_the_slots_of_a_host_are_shared_by_all_processes(other: Other) -> None:
    for _ in range(3):
        other.hold()
    assert not free(BACKGROUND)
    assert free(BACKGROUND, OTHER)
    other.give()
    other.has("gave")
    assert free(BACKGROUND)


def test_N10_runs_that_are_busy_leave_one_to_what_somebody_waits_for(
    other: Other, data: Path
) -> None:
    for _ in range(3):
        other.hold()
    with AWAITED.hold(HOST, never_stop), Other(data) as third:
        assert not free(AWAITED)
        third.want("AWAITED")
        other.give()
        other.give()
        third.has()


def test_N10_requests_on_demand_leave_one_to_runs(other: Other) -> None:
    for _ in range(3):
        other.hold("AWAITED")
    assert not free(AWAITED)
    with BACKGROUND.hold(HOST, never_stop):
        assert not free(BACKGROUND)


def test_N10_one_connection_is_for_whoever_comes(data: Path, settings: Any) -> None:
    settings.UPSTREAM_LIMITS = replace(settings.UPSTREAM_LIMITS, connections=1)
    with Other(data, 1) as other:
        other.hold()
        assert not free(AWAITED)
        other.give()
        other.has("gave")
        assert free(AWAITED)
        assert free(BACKGROUND)


def test_N10_a_process_that_is_killed_gives_its_slots_back(other: Other) -> None:
    for _ in range(3):
        other.hold()
    with waiting(BACKGROUND) as got:
        assert not got.is_set()
        other.kill()
        assert got.wait(PATIENCE)


def test_N10_slots_stay_in_a_process_for_a_while_and_then_others_come_first(other: Other) -> None:
    now = 0.0
    slots = SharedSlots("background", lambda _: range(1), locks=SlotFile(_data), clock=lambda: now)
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(slots.hold(HOST, never_stop))
        other.hold()
        other.hold()
        other.want()
        _until(lambda: _is_next(slots))
        own = second.enter_context(waiting(slots))
        _until(lambda: slots._line(HOST)._waiting == 1)
        first.close()
        assert own.wait(PATIENCE), "within the span it goes to a thread of the same process"
        with waiting(slots) as last:
            _until(lambda: slots._line(HOST)._waiting == 1)
            now += HAND_ON_SECONDS
            second.close()
            other.has()
            assert not last.is_set(), "the other process was waiting before"
            for _ in range(3):
                other.give()
            assert last.wait(PATIENCE)


def test_N10_who_is_stopped_while_waiting_leaves_nothing_behind(other: Other) -> None:
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(BACKGROUND.hold(HOST, never_stop))
        assert not free(BACKGROUND)
        other.want()
    other.has()
    assert free(BACKGROUND)


def test_N10_a_forked_process_has_none_of_its_parents_slots(data: Path) -> None:
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(BACKGROUND.hold(HOST, never_stop))
        child = os.fork()
        if not child:
            os._exit(0 if not free(BACKGROUND) and free(BACKGROUND, OTHER) else 1)
        assert os.waitpid(child, 0)[1] == 0
        with Other(data) as other:
            other.want("AWAITED")
            other.has()
            other.want("AWAITED")
            held.close()
            other.has()


def test_N10_where_files_cannot_be_locked_each_process_counts_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refused)
    slots = SharedSlots("background", lambda _: range(2), locks=SlotFile(_data))
    with slots.hold(HOST, never_stop):
        assert free(slots)
        with slots.hold(HOST, never_stop):
            assert not free(slots)
    assert caplog.text.count("No locks available") == 1


@pytest.mark.django_db
def test_N10_the_servers_own_clients_share_them() -> None:
    origin = file_sources.get_or_create("https://repo.anaconda.com/pkgs/main/noarch")
    run, demand = file_sources.client_of(origin), leader._client(origin.pk, origin.key, ())
    assert run._session.settings.slots is BACKGROUND
    assert demand._session.settings.slots is AWAITED
    run.close()


def _data() -> Path:
    return Path(settings.DATA)


def _until(so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if so():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")


def _is_next(slots: SharedSlots) -> bool:
    """Whether another process stands in the turnstile."""
    line, locks = slots._line(HOST), slots._locks
    with locks.changed:
        if not locks.take(line._turnstile):
            return True
        locks.give(line._turnstile)
        return False
