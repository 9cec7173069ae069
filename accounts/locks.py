"""How long a request waits for what somebody else holds locked in the database.

The rule: once. After a wait in vain (`settings.LOCK_SECONDS`) a request asks the database nothing
more; and for as long again, the other requests of this process wait a moment only. So a lock that
lasts costs whoever came first one wait, and nobody several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.db import Error, OperationalError, connection
from django.http import HttpRequest, HttpResponseBase

BRIEF_SECONDS = 1.0
"""So long a request waits while the last wait in vain is not long ago."""
_ENDINGS = ("ROLLBACK", "RELEASE")
_BUSY = "SQLITE_BUSY"
_NOT_AVAILABLE = "55P03"

_brief_until = 0.0

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


class Locked(OperationalError):
    """Somebody else holds the lock; from within `wait_at_most`."""


def is_locked(error: Error) -> bool:
    """Whether a statement waited for a lock in vain."""
    name, code = (getattr(error.__cause__, key, None) for key in ("sqlite_errorname", "pgcode"))
    return str(name).startswith(_BUSY) or code == _NOT_AVAILABLE


@contextmanager
def once() -> Iterator[None]:
    """A request on this thread: what it waits for in vain, it does not wait for again."""
    # By hand: this is around every request.
    wrappers: list[Any] = connection.execute_wrappers
    if any(type(one) is _Once for one in wrappers):
        yield
        return
    once = _Once()
    wrappers.append(once)
    try:
        if time.monotonic() < _brief_until:
            with _limited(BRIEF_SECONDS):
                yield
        else:
            yield
    finally:
        wrappers.remove(once)


@contextmanager
def wait_at_most(seconds: float) -> Iterator[None]:
    """Raise `Locked` where the block would wait longer; the request may go on after that."""
    with _limited(seconds), connection.execute_wrapper(_told):
        yield


def patience(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: `once` around a request."""

    def answered(request: HttpRequest) -> HttpResponseBase:
        with once():
            return get_response(request)

    return answered


class _Once:
    """Lets no statement follow one that waited in vain, but those that end a transaction."""

    def __init__(self) -> None:
        self._waited: OperationalError | None = None

    def __call__(
        self, execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        global _brief_until
        if self._waited is not None and not sql.startswith(_ENDINGS):
            raise OperationalError(*self._waited.args) from self._waited
        try:
            return execute(sql, params, many, context)
        except Locked:
            raise
        except OperationalError as error:
            if is_locked(error):
                self._waited = error
                _brief_until = time.monotonic() + settings.LOCK_SECONDS
            raise


def _told(execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    try:
        return execute(sql, params, many, context)
    except OperationalError as error:
        if is_locked(error):
            raise Locked(*error.args) from error
        raise


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """The database's own limit for this connection, which Django neither sees nor rolls back."""
    connection.ensure_connection()
    before = limit()
    _set(max(1, round(seconds * 1000)))
    try:
        yield
    finally:
        # A connection that broke, or whose transaction failed, takes the limit with it.
        with suppress(Error), connection.wrap_database_errors:
            _set(before)


def limit() -> int:
    """For how many milliseconds this thread's connection waits for a lock."""
    if connection.vendor == "sqlite":
        return int(_ask("PRAGMA busy_timeout"))
    return int(_ask("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'"))


def _set(milliseconds: int) -> None:
    if connection.connection is None:
        return
    if connection.vendor == "sqlite":
        _ask(f"PRAGMA busy_timeout = {milliseconds}")
    else:
        _ask(f"SELECT set_config('lock_timeout', '{milliseconds}', false)")


def _ask(sql: str) -> Any:
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone()[0]
    finally:
        cursor.close()
