"""Who is asked to come back later makes all other requests to that server wait too.

Rule: one `Backoff` per process; a subclass may share it over processes.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from ecosystems.progress import Stop

SLICE = 0.25
"""Seconds after which one who waits calls `stop`."""


class Backoff:
    """Keeps requests to a server (`host` is `scheme://host[:port]`) back; shared by threads."""

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
        """Return when requests to `host` may go; calls `stop` while waiting."""
        delay = self._left(host)
        if delay <= 0:
            return
        # Each waiter adds up to a tenth, so that they do not all go at once.
        spread = self._chance() * min(delay * 0.1, 5.0)
        while (left := self._left(host) + spread) > 0:
            stop()
            self._sleep(min(left, SLICE))

    def hold_back(self, host: str, seconds: float) -> None:
        """Let no request through for `seconds` from now."""
        with self._lock:
            # The longest pause counts: several threads may be told different ones.
            self._until[host] = max(self._until.get(host, 0.0), self._clock() + seconds)

    def _left(self, host: str) -> float:
        with self._lock:
            until = self._until.get(host)
        return 0.0 if until is None else until - self._clock()


PROCESS_BACKOFF = Backoff()
