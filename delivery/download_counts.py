"""Counts downloads: in memory at once, in the database every few seconds.

A crash loses the counts of these seconds; a client never waits for one.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import F

from channels.models import Channel, Download
from delivery.responses import Item

logger = logging.getLogger(__name__)

BATCH = 100
"""Rows of seven values: no database has a limit below that."""
UNIQUE = ("day", "channel_id", "section", "filename", "user")

Key = tuple[date, Item, str]

_counts: Counter[Key] = Counter()
_lock = threading.Lock()
_flusher: threading.Thread | None = None


def note(item: Item, user: str) -> None:
    """One more download of `item` by `user` ("" for nobody known)."""
    key = (datetime.now(UTC).date(), item, user)
    with _lock:
        _counts[key] += 1
        if _flusher is None:
            _start()


def flush() -> None:
    """Write what has been counted; what cannot be written now waits for the next time."""
    try:
        _write_pending()
    except Error:
        logger.exception("Downloads could not be counted now; they are tried again.")


def _write_pending() -> None:
    """Whatever ends it, nothing that is not written is forgotten."""
    with _lock:
        pending = list(_counts.items())
        _counts.clear()
    try:
        while pending:
            _write(pending[:BATCH])
            pending = pending[BATCH:]
    finally:
        with _lock:
            _counts.update(dict(pending))


def _write(batch: Sequence[tuple[Key, int]]) -> None:
    totals: Counter[int] = Counter()
    for (_, item, _), count in batch:
        totals[item.channel_id] += count
    # A channel may have been deleted since: its rows would break a foreign key, and the batch.
    alive = set(Channel.objects.filter(pk__in=totals).values_list("pk", flat=True))
    batch = [(key, count) for key, count in batch if key[1].channel_id in alive]
    with transaction.atomic():
        if batch:
            _add(batch)
        for pk in alive:
            Channel.objects.filter(pk=pk).update(download_count=F("download_count") + totals[pk])


def _add(batch: Sequence[tuple[Key, int]]) -> None:
    """One statement for all: an UPDATE each costs more than to answer the downloads."""
    counts: Counter[tuple[date, int, str, str, str]] = Counter()
    names = {}
    for (day, item, user), count in batch:
        key = (day, item.channel_id, item.section, item.filename, user)
        counts[key] += count
        names[key] = item.name
    values: list[Any] = []
    # In one order, so that two processes do not block each other.
    for key in sorted(counts):
        values += [connection.ops.adapt_datefield_value(key[0]), *key[1:], names[key], counts[key]]
    quote = connection.ops.quote_name
    table, total = quote(Download._meta.db_table), quote("count")
    unique = ", ".join(map(quote, UNIQUE))
    rows = ", ".join([f"({', '.join(['%s'] * (len(UNIQUE) + 2))})"] * len(counts))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({unique}, {quote('name')}, {total}) VALUES {rows}"
            f" ON CONFLICT ({unique}) DO UPDATE SET {total} = {table}.{total} + excluded.{total}",
            values,
        )


def _start() -> None:
    global _flusher
    _flusher = threading.Thread(target=_run, daemon=True, name="download counts")
    _flusher.start()
    atexit.register(_last)


def _run() -> None:
    pause = threading.Event()
    while True:
        pause.wait(settings.FLUSH_SECONDS)
        try:
            flush()
        finally:
            connection.close()


def _last() -> None:
    """At the end of the process, where nobody tries again: what is lost is counted in the log."""
    try:
        _write_pending()
        connection.close()
    except Exception as error:  # noqa: BLE001 - the database may be gone in any way
        lost = sum(_counts.values())
        logger.warning("%s downloads were not counted, since the server ends: %s", lost, error)
