"""How many requests one server gets at once.

Rule: one budget a process; what shares it over processes implements `Slots`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from ecosystems.progress import Stop

TICK = 0.25
"""Seconds after which one who waits lets `stop` be asked."""


class Slots(Protocol):
    """Bounds the requests to a server (`host` is `scheme://host[:port]`)."""

    def hold(self, host: str, stop: Stop) -> AbstractContextManager[None]:
        """Wait for a slot and keep it; calls `stop` while waiting."""
        ...


class ProcessSlots:
    """Slots shared by the threads of one process."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._slots: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, host: str, stop: Stop) -> Iterator[None]:
        """See `Slots`."""
        with self._lock:
            # Never removed: only servers that the policy allows come here.
            slot = self._slots.setdefault(host, threading.BoundedSemaphore(self._count))
        # Not for ever: a stopped run must not wait for a slot.
        while not slot.acquire(timeout=TICK):
            stop()
        try:
            yield
        finally:
            slot.release()
