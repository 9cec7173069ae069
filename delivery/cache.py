"""What a web process remembers, for exactly as long as no answer can have changed.

One number in the database rises with every change of what clients get. It is read once a
request, by hand, because the whole answer may take no longer than Django's way to a row.
"""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from accounts import locks
from channels.models import Channel, Generation
from delivery.name_filters import NameFilters
from ecosystems.memo import Sized

READ = f"SELECT number FROM {Generation._meta.db_table} WHERE id = 1"
MEMORY = 64 * 1024 * 1024
REFUSED_MEMORY = 8 * 1024 * 1024
ROW_BYTES = 4096
"""What an answer, a caller or a channel weighs, beside its body or words."""


class Caches:
    """Everything remembered under one number, and `name_filters`, which outlive it."""

    def __init__(self, number: int, name_filters: NameFilters | None = None) -> None:
        self.number = number
        self.name_filters = name_filters or NameFilters()
        self.answers: Sized[Any] = Sized(MEMORY)
        # Apart: a storm of misses must not push the answers to real files out.
        self.refusals: Sized[Any] = Sized(REFUSED_MEMORY)
        self.callers: Sized[Any] = Sized(REFUSED_MEMORY)
        self.channels: Sized[Channel] = Sized(REFUSED_MEMORY)


_current = Caches(-1)
_changing = threading.Lock()


def key(*parts: str | None) -> bytes:
    """What a request is remembered by: credentials and long addresses are in it by hash only."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        # Each with its length, or -1: no two requests have the same bytes in another division.
        text = b"" if part is None else part.encode(errors="surrogatepass")
        digest.update(b"%d:" % (-1 if part is None else len(text)) + text)
    return digest.digest()


def current() -> Caches:
    """The caches of the number that stands in the database now.

    What is looked up after this call is at least as new as the number, so it may be kept there.
    """
    global _current
    number = read()
    if (caches := at(number)) is not None:
        return caches
    with _changing:
        if _current.number < number:
            _current = Caches(number, _current.name_filters)
        elif _current.number > number:
            # Another thread has seen a newer one; or the database was replaced.
            _current = Caches(read())
        return _current


def at(number: int) -> Caches | None:
    """The caches of this number, if they are the ones that are remembered now."""
    caches = _current
    return caches if caches.number == number else None


def read() -> int:
    """The number that stands in the database now, by this thread's connection."""
    # What Django does at the start of each of its requests, which these are not (CONN_MAX_AGE).
    wrapper = connections[DEFAULT_DB_ALIAS]
    due = wrapper.close_at is not None and time.monotonic() >= wrapper.close_at
    if wrapper.errors_occurred or due:
        wrapper.close_if_unusable_or_obsolete()
    connected = wrapper.connection is not None
    try:
        return _read(wrapper)
    except Error as error:
        # The server may have gone and come back since the last request of this thread. One that
        # was not there just now, or that let us wait for a lock, is not asked again.
        if not connected or wrapper.in_atomic_block or locks.is_locked(error):
            raise
        wrapper.close()
    return _read(wrapper)


def _read(wrapper: BaseDatabaseWrapper) -> int:
    wrapper.ensure_connection()
    with wrapper.wrap_database_errors:
        cursor = wrapper.connection.cursor()
        cursor.execute(READ)
        # All of them: SQLite keeps a read transaction open until it has said that there is no more.
        rows = cursor.fetchall()
        cursor.close()
    return int(rows[0][0]) if rows else 0
