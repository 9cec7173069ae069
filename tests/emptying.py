"""How the database is emptied after a test whose transactions were committed.

Django flushes: on PostgreSQL that gives every table and index a new file, and on both databases
it makes all content types and permissions anew. That was a good part of such a test's time. Here
the rows are deleted, and what `migrate` made stays.
"""

from __future__ import annotations

import functools

from django.db import connection, transaction
from django.test import TransactionTestCase

MADE_BY_MIGRATE = {"django_content_type", "auth_permission"}


def teardown(_: TransactionTestCase) -> None:
    """Delete every row of every model, except those that `migrate` makes."""
    tables = [connection.ops.quote_name(name) for name in _tables()]
    statements = [f"DELETE FROM {table}" for table in tables]
    if connection.vendor == "postgresql":
        # Whoever still writes is waited for, as SQLite does anyway.
        statements.insert(0, f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE")
        statements = [";".join(statements)]
    # Keys are compared at the end of the transaction, when there is no row that has one.
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@functools.cache
def _tables() -> tuple[str, ...]:
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return tuple(sorted(set(names) - MADE_BY_MIGRATE))
