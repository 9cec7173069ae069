"""The gate in front of each server: whoever is told to wait makes all others wait too.

Rule: one gate per process; what shares it over processes implements `Gate`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from ecosystems.base import Stop

SLICE = 0.25


class Gate(Protocol):
    """Keeps requests to a server (`host` is `scheme://host[:port]`) back."""

    def wait(self, host: str, stop: Stop) -> None:
        """Return when requests to `host` may go; calls `stop` while waiting."""
        ...

    def penalise(self, host: str, seconds: float) -> None:
        """Let nobody through for `seconds` from now."""
        ...


class ProcessGate:
    """A gate shared by the threads of one process."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, host: str, stop: Stop) -> None:
        """See `Gate`. Each waiter adds up to a tenth, so that they do not all go at once."""
        delay = self._left(host)
        if delay <= 0:
            return
        spread = self._chance() * min(delay * 0.1, 5.0)
        while (left := self._left(host) + spread) > 0:
            stop()
            self._sleep(min(left, SLICE))

    def penalise(self, host: str, seconds: float) -> None:
        """See `Gate`."""
        with self._lock:
            self._until[host] = max(self._until.get(host, 0.0), self._clock() + seconds)

    def _left(self, host: str) -> float:
        with self._lock:
            until = self._until.get(host)
        return 0.0 if until is None else until - self._clock()


SHARED_GATE = ProcessGate()
