"""How long a request waits for what somebody else holds locked in the database.

The rule: once. After a wait in vain (`settings.LOCK_SECONDS`) a request asks the database nothing
more; and for as long again, the other requests of this process wait a moment only. So a lock that
lasts costs whoever came first one wait, and nobody several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import Error, OperationalError, connection
from django.http import HttpRequest, HttpResponseBase

BRIEF_SECONDS = 1.0
"""So long a request waits while the last wait in vain is not long ago."""
_TRANSACTION_ENDS = ("ROLLBACK", "RELEASE")
# The extended codes, such as SQLITE_BUSY_SNAPSHOT, begin with it.
_SQLITE_BUSY = "SQLITE_BUSY"
# PostgreSQL's lock_not_available (its Appendix A): `lock_timeout` is over.
_LOCK_NOT_AVAILABLE = "55P03"

_brief_until = 0.0

Execute = Callable[[str, object, bool, dict[str, object]], object]
"""What Django hands to an execute wrapper: SQL, parameters, whether many, context."""


class Locked(OperationalError):
    """Somebody else holds the lock; from within `wait_at_most`."""


def is_locked(error: Error) -> bool:
    """Whether a statement waited for a lock in vain."""
    # Of the driver's own error: Django gives both databases' the same class.
    name, code = (getattr(error.__cause__, key, None) for key in ("sqlite_errorname", "pgcode"))
    return str(name).startswith(_SQLITE_BUSY) or code == _LOCK_NOT_AVAILABLE


@contextmanager
def fail_fast() -> Iterator[None]:
    """A request on this thread: what it waits for in vain, it does not wait for again."""
    # Not with `execute_wrapper`, a context manager more: this is around every request.
    wrappers = connection.execute_wrappers
    # A job of the embedded server's pool runs the middleware, too; the outer one has the memory.
    if any(isinstance(wrapper, _FailFast) for wrapper in wrappers):
        yield
        return
    fail_fast_wrapper = _FailFast()
    wrappers.append(fail_fast_wrapper)
    try:
        if time.monotonic() < _brief_until:
            with _lock_timeout(BRIEF_SECONDS):
                yield
        else:
            yield
    finally:
        wrappers.remove(fail_fast_wrapper)


@contextmanager
def wait_at_most(seconds: float) -> Iterator[None]:
    """Raise `Locked` where the block would wait longer; the request may go on after that."""
    with _lock_timeout(seconds), connection.execute_wrapper(_raise_locked):
        yield


def fail_fast_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: `fail_fast` around a request."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with fail_fast():
            return get_response(request)

    return middleware


class _FailFast:
    """Lets no statement follow one that waited in vain, but those that end a transaction."""

    def __init__(self) -> None:
        self._timed_out: OperationalError | None = None

    def __call__(
        self, execute: Execute, sql: str, params: object, many: bool, context: dict[str, object]
    ) -> object:
        global _brief_until
        if self._timed_out is not None and not sql.startswith(_TRANSACTION_ENDS):
            raise OperationalError(*self._timed_out.args) from self._timed_out
        try:
            return execute(sql, params, many, context)
        except Locked:
            # A wait that its caller limited and expects: the request goes on.
            raise
        except OperationalError as error:
            if is_locked(error):
                self._timed_out = error
                _brief_until = time.monotonic() + settings.LOCK_SECONDS
            raise


def _raise_locked(
    execute: Execute, sql: str, params: object, many: bool, context: dict[str, object]
) -> object:
    try:
        return execute(sql, params, many, context)
    except OperationalError as error:
        if is_locked(error):
            raise Locked(*error.args) from error
        raise


@contextmanager
def _lock_timeout(seconds: float) -> Iterator[None]:
    """The database's own limit for this connection, which Django neither sees nor rolls back."""
    connection.ensure_connection()
    before = lock_timeout_ms()
    # 0 would switch PostgreSQL's limit off, and mean to wait for ever.
    _set_lock_timeout(max(1, round(seconds * 1000)))
    try:
        yield
    finally:
        # A connection that broke, or whose transaction failed, takes the limit with it.
        with suppress(Error), connection.wrap_database_errors:
            _set_lock_timeout(before)


def lock_timeout_ms() -> int:
    """For how many milliseconds this thread's connection waits for a lock."""
    if connection.vendor == "sqlite":
        return int(_query_value("PRAGMA busy_timeout"))
    return int(_query_value("SELECT setting FROM pg_settings WHERE name = 'lock_timeout'"))


def _set_lock_timeout(milliseconds: int) -> None:
    # Closed within the block: the next connection starts with the settings' limit.
    if connection.connection is None:
        return
    if connection.vendor == "sqlite":
        _query_value(f"PRAGMA busy_timeout = {milliseconds}")
    else:
        _query_value(f"SELECT set_config('lock_timeout', '{milliseconds}', false)")


def _query_value(sql: str) -> str | int:
    # A cursor of the driver: Django's would pass the wrappers, which may refuse the statement.
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        value: str | int = cursor.fetchone()[0]
        return value
    finally:
        cursor.close()
