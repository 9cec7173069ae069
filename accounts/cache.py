"""The cache of a server without Redis: a table that all its processes share.

Django's own `incr` reads and then writes, so two processes could count one request instead of
two. Here it is one transaction that holds the row.
"""

from __future__ import annotations

import base64
import pickle

from django.core.cache.backends.db import DatabaseCache
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone


class SharedCache(DatabaseCache):
    """Django's database cache with an atomic `incr` that keeps the time of expiry."""

    _table: str  # Set by DatabaseCache; its stubs leave it out.

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Add `delta`; ValueError when the key is absent or expired."""
        stored_key = self.make_and_validate_key(key, version=version)
        database = router.db_for_write(self.cache_model_class)
        connection = connections[database]
        table = connection.ops.quote_name(self._table)
        # SQLite has no row locks; its transaction, which is immediate, keeps others out.
        lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
        with transaction.atomic(using=database), connection.cursor() as cursor:
            # Without microseconds, as DatabaseCache stores the time of expiry.
            now = connection.ops.adapt_datetimefield_value(timezone.now().replace(microsecond=0))
            cursor.execute(
                f"SELECT value FROM {table} WHERE cache_key = %s AND expires > %s{lock}",
                [stored_key, now],
            )
            row = cursor.fetchone()
            if row is None:
                raise ValueError(f"Key {key!r} not found")
            value = _decode(connection, row[0]) + delta
            cursor.execute(
                f"UPDATE {table} SET value = %s WHERE cache_key = %s",
                [_encode(value), stored_key],
            )
        return value

    def forget_expired(self) -> int:
        """Delete the rows that have expired; how many these were."""
        database = router.db_for_write(self.cache_model_class)
        connection = connections[database]
        table = connection.ops.quote_name(self._table)
        now = connection.ops.adapt_datetimefield_value(timezone.now().replace(microsecond=0))
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE expires < %s", [now])
            # A driver that does not count says -1 (PEP 249).
            return max(0, int(cursor.rowcount))


def _encode(value: int) -> str:
    # As DatabaseCache itself writes values: Django reads them back.
    return base64.b64encode(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)).decode("latin1")


def _decode(connection: BaseDatabaseWrapper, value: str) -> int:
    # Oracle hands out a locator here, every other database the text.
    text = connection.ops.process_clob(value)
    return int(pickle.loads(base64.b64decode(text.encode())))
