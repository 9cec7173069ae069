"""How many files this process fetches on demand at once, in all and from one upstream."""

from __future__ import annotations

import threading
from collections import Counter

from django.conf import settings

_fetches: Counter[str] = Counter()
"""The fetches of this process that are running, by the upstream's host."""
_lock = threading.Lock()


def has_free(host: str) -> bool:
    """Whether this process may begin one more fetch from `host`."""
    with _lock:
        return _is_free(host)


def acquire(host: str) -> bool:
    """Count one more fetch from `host`; False, and nothing counted, where all slots are taken."""
    with _lock:
        if not _is_free(host):
            return False
        _fetches[host] += 1
        return True


def release(host: str) -> None:
    """One fetch from `host` is over."""
    with _lock:
        _fetches[host] -= 1
        # A Counter keeps its zeros, and hosts come and go as long as the process lives.
        if not _fetches[host]:
            del _fetches[host]


def _is_free(host: str) -> bool:
    limit: int = settings.FETCH_THREADS
    # Half at most for one host: an upstream that accepts and then keeps silent must not take
    # the slots of all others.
    return _fetches.total() < limit and _fetches[host] < max(1, limit // 2)
