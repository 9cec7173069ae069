"""So many requests at once to one upstream, whichever processes of the server send them.

Each slot is a byte of one file in `DATA`, and whoever sends a request has it locked. All processes
share that folder on every kind of installation, a lock costs microseconds and no write, and the
kernel frees what a process held when that dies.

Runs leave one slot to requests that somebody waits for, and those leave one to runs, so neither
starves. A process hands a slot on among its own threads for `HAND_ON_SECONDS`; then others come
first, one at a time, through a turnstile: else whoever gives a slot back would take it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from ecosystems.progress import Stop

HAND_ON_SECONDS = 2.0
POLL_SECONDS = 0.01
"""How often one who waits looks for slots of other processes; own ones come at once."""
STOP_SECONDS = 0.25
TURNSTILE = 1 << 10
"""Where the turnstiles of a host lie, behind its slots."""

log = logging.getLogger(__name__)


class SlotFile:
    """The file of the slots, as this process has it open.

    Record locks are the process's: between its threads `held` decides. They would all be lost if
    the process closed the file, so it stays open.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._open: tuple[Path, int] | None = None
        self._warned = False
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """A forked process has none of its parent's locks."""
        self.changed = threading.Condition()
        self._held: set[int] = set()
        self.lines: dict[tuple[str, str, int], ThreadQueue] = {}

    def take(self, place: int) -> bool:
        """Lock a byte unless somebody has it. With `changed` held, as all that follows."""
        if place in self._held:
            return False
        try:
            fcntl.lockf(self._file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        # fcntl(2): EAGAIN or EACCES, as the system likes, where another process has the lock.
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            # A file system without record locks: a count within the process beats no fetch at all.
            self._warn(error)
        self._held.add(place)
        return True

    def give(self, place: int) -> None:
        """Unlock a byte and wake who waits."""
        self._held.remove(place)
        try:
            fcntl.lockf(self._file(), fcntl.LOCK_UN, 1, place)
        except OSError as error:
            self._warn(error)
        self.changed.notify_all()

    def _file(self) -> int:
        path = self._folder() / "upstreams.lock"
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                os.close(self._open[1])
            self._open = path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._open[1]

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            log.warning("connections to upstreams are counted by each process alone: %s", error)


@dataclass(frozen=True, slots=True)
class Slot:
    """One that this process has."""

    place: int
    since: float


class ThreadQueue:
    """Those threads of this process that want slots of one host for one kind of request."""

    def __init__(
        self, locks: SlotFile, places: Sequence[int], turnstile: int, *, clock: Callable[[], float]
    ) -> None:
        self._locks, self._places, self._turnstile = locks, places, turnstile
        self._clock = clock
        self._first = threading.Lock()
        self._through = False
        self._waiting = 0
        self._handed: list[Slot] = []

    def take(self, stop: Stop) -> Slot:
        """Wait for a slot."""
        with self._locks.changed:
            self._waiting += 1
        try:
            # Only the first of the line looks at the file, so that not every thread polls it.
            while not self._first.acquire(timeout=STOP_SECONDS):
                stop()
            try:
                return self._await(stop)
            finally:
                self._first.release()
        finally:
            with self._locks.changed:
                self._leave()

    def give(self, slot: Slot) -> None:
        """Hand the slot on: within the process for a while, then to all."""
        with self._locks.changed:
            if self._waiting and self._clock() - slot.since < HAND_ON_SECONDS:
                self._handed.append(slot)
                self._locks.changed.notify_all()
            else:
                self._locks.give(slot.place)

    def _await(self, stop: Stop) -> Slot:
        with self._locks.changed:
            asked = time.monotonic()
            try:
                while (slot := self._find()) is None:
                    self._locks.changed.wait(POLL_SECONDS)
                    if time.monotonic() - asked >= STOP_SECONDS:
                        asked = time.monotonic()
                        self._ask(stop)
                return slot
            finally:
                if self._through:
                    self._through = False
                    self._locks.give(self._turnstile)

    def _ask(self, stop: Stop) -> None:
        """`stop` may take its time; nobody is to wait for it."""
        self._locks.changed.release()
        try:
            stop()
        finally:
            self._locks.changed.acquire()

    def _find(self) -> Slot | None:
        if self._handed:
            return self._handed.pop(0)
        self._through = self._through or self._locks.take(self._turnstile)
        if self._through:
            for place in self._places:
                if self._locks.take(place):
                    return Slot(place, self._clock())
        return None

    def _leave(self) -> None:
        self._waiting -= 1
        # Who was stopped while waiting leaves what was handed on; others must get it back.
        while self._handed and not self._waiting:
            self._locks.give(self._handed.pop().place)


SLOT_FILE = SlotFile(lambda: Path(settings.DATA))


class SharedSlots:
    """Implements `ecosystems.upstream.Slots` for the threads of all processes."""

    def __init__(
        self,
        kind: str,
        numbers: Callable[[int], Sequence[int]],
        *,
        locks: SlotFile = SLOT_FILE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kind, self._numbers, self._locks, self._clock = kind, numbers, locks, clock

    @contextmanager
    def hold(self, host: str, stop: Stop) -> Iterator[None]:
        """See `Slots`."""
        line = self._line(host)
        slot = line.take(stop)
        try:
            yield
        finally:
            line.give(slot)

    def _line(self, host: str) -> ThreadQueue:
        with self._locks.changed:
            count = settings.UPSTREAM_LIMITS.connections
            key = self._kind, host, count
            if key not in self._locks.lines:
                # Bytes behind the end of a file can be locked, so a name alone gives its host's
                # place: 40 bits of hash and 16 for its slots fit into the 63 of an offset.
                first = int.from_bytes(hashlib.sha256(host.encode()).digest()[:5]) << 16
                # One for each kind: what somebody waits for does not queue behind runs.
                turnstile = first + TURNSTILE + (self._kind == "awaited")
                places = [first + number for number in self._numbers(count)]
                self._locks.lines[key] = ThreadQueue(
                    self._locks, places, turnstile, clock=self._clock
                )
            return self._locks.lines[key]


def _of_runs(count: int) -> Sequence[int]:
    return range(max(1, count - 1))


def _of_awaited(count: int) -> Sequence[int]:
    """The last first, which runs do not take."""
    return range(count - 1, min(1, count - 1) - 1, -1)


BACKGROUND = SharedSlots("background", _of_runs)
"""For runs and previews."""
AWAITED = SharedSlots("awaited", _of_awaited)
"""For what a client or a person waits for: fetches on demand, connection tests."""
