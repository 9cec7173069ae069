"""Removes what accounts no longer need: expired sessions, old security events, spent counters."""

from __future__ import annotations

from django.core.cache import DEFAULT_CACHE_ALIAS, caches

from accounts import audit, jwt, sessions
from accounts.cache import SharedCache


def purge() -> None:
    """One round; the hourly clean-up calls it."""
    sessions.purge()
    jwt.purge()
    audit.retire()
    backend = caches[DEFAULT_CACHE_ALIAS]
    if isinstance(backend, SharedCache):  # Redis forgets by itself.
        backend.forget_expired()
