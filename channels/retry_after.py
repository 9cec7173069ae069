"""Which upstreams asked for a pause: known to all processes of the server.

What one worker is told by `Retry-After` keeps all others back, too. The times stand in the
cache: Redis, or the table that stands for it; they expire there by themselves, so a process that
dies leaves nothing behind. Without the cache each process still keeps its own.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.core.cache import cache
from django.db import Error, connection
from redis.exceptions import RedisError

from ecosystems.upstream import Backoff

LOOK_SECONDS = 0.5
"""How old may be what this process knows: a look costs a query."""

log = logging.getLogger(__name__)


class SharedBackoff(Backoff):
    """The `Backoff` of the threads of all processes."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock, sleep)
        self._now = now
        self._looked: dict[str, float] = {}

    def hold_back(self, host: str, seconds: float) -> None:
        """See `Backoff`."""
        super().hold_back(host, seconds)
        with _cache():
            # Wall-clock time: each host's monotonic clock begins elsewhere.
            until = self._now() + seconds
            # The longest pause counts: a shorter one that is asked for later does not end it.
            if until > cache.get(_key(host), 0.0):
                cache.set(_key(host), until, timeout=math.ceil(seconds) + 1)

    def _left(self, host: str) -> float:
        left = super()._left(host)
        if self._clock() - self._looked.get(host, -math.inf) < LOOK_SECONDS:
            return left
        # Noted before the look, so that a cache that fails is not asked more often either.
        self._looked[host] = self._clock()
        with _cache():
            left = max(left, float(cache.get(_key(host), 0.0)) - self._now())
            if left > 0:
                super().hold_back(host, left)
        return left


@contextmanager
def _cache() -> Iterator[None]:
    """Go on without the cache where it fails, and leave no connection in a thread that had none."""
    had_one = connection.connection is not None
    try:
        yield
    except (Error, RedisError, OSError) as error:
        log.warning("pauses of upstreams cannot be shared now: %s", error)
    finally:
        if not had_one:
            connection.close()


def _key(host: str) -> str:
    return f"pause:{hashlib.sha256(host.encode()).hexdigest()}"


SHARED = SharedBackoff()
