"""The database or Redis is busy or away: which errors say so, and what is answered."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError
from redis import RedisError

DATABASE_BUSY = "The database of this server is busy or does not answer now. Try again."
REDIS_BUSY = "The Redis of this server is busy, full or does not answer now. Try again."
RETRY_SECONDS = 5
UNAVAILABLE = (OperationalError, InterfaceError, RedisError)
"""Errors of the services that this server needs. They pass, so the status is 503, not 500."""


def unavailable_message(error: Exception) -> str:
    """The sentence for one of the errors in `UNAVAILABLE`."""
    return REDIS_BUSY if isinstance(error, RedisError) else DATABASE_BUSY
