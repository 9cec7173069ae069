"""Reservations of disk space: no two downloads count on the same free bytes.

Whoever downloads owns a row that says how many bytes are still to come (`Reserving.reserved`).
What another may use is what the disk has free, less the reservations of all live rows. Check and
reservation are one short transaction, one at a time over all processes. What has been written
leaves the reservation afterwards: for a moment bytes count twice, never not at all.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

from channels.errors import NoSpace
from channels.lease import Reserving, owner_died
from channels.states import OWNED

WRITE_SECONDS = 1.0
"""How often a reservation shrinks in the database as its bytes arrive."""
STEP = 16 << 20
"""Bytes that are reserved at a time for a file whose size nobody states."""
_LOCK = 0x5370616365
"""The key of PostgreSQL's advisory lock around check and reservation: "Space" in ASCII."""


def require_space(need: int = 0, *, exclude: Reserving | None = None) -> None:
    """Raise `NoSpace` unless `need` bytes fit, beside what is reserved and what stays free.

    `exclude`: the row that the bytes are for; what it has reserved already is part of `need`.
    """
    others = sum(row.reserved for row in _live_reservations() if row != exclude)
    _check(need, others)


def reserve(row: Reserving, need: int) -> None:
    """Let the row's owner write `need` more bytes.

    Raises `NoSpace`, and `Fenced` where the row has another owner.
    """
    # The outermost one: locks of rows taken before this one would let two block each other.
    with transaction.atomic(durable=True):
        # On SQLite the transaction itself is the lock: it begins IMMEDIATE.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        require_space(need, exclude=row)
        row.write(reserved=need)


def _live_reservations() -> Iterator[Reserving]:
    """The rows that have bytes reserved and a live owner, as far as this host can tell.

    The dispatcher ends the rows of processes that died on other hosts.
    """
    # All models: runs, which reserve too, are defined in a package above this one.
    for model in apps.get_models():
        if issubclass(model, Reserving):
            for row in model._default_manager.filter(state__in=OWNED, reserved__gt=0):
                if not owner_died(row):
                    yield row


def _check(need: int, others: int) -> None:
    free = shutil.disk_usage(settings.DATA).free
    if free - others < need + settings.MIN_FREE_BYTES:
        taken = f", of which {others:,} are reserved for other downloads" if others else ""
        raise NoSpace(
            f"The disk has no room: this needs {need:,} bytes beside a reserve of "
            f"{settings.MIN_FREE_BYTES:,} that stays free; the disk has {free:,}{taken}."
        )


class DiskReservation:
    """What the files of one row still need, while any number of threads write them.

    The row's owner calls `settle`; nothing else of it uses the database.
    """

    def __init__(self, row: Reserving) -> None:
        self._row = row
        self._left = 0
        self._grown = False
        self._written = 0.0
        self._lock = threading.Lock()

    def expect(self, need: int) -> None:
        """So many more bytes will come."""
        self.change(need, grown=need > 0)

    def change(self, by: int, *, grown: bool) -> None:
        """`by` more bytes (or fewer) are still to come; `grown`: some of them were not expected."""
        with self._lock:
            self._left += by
            self._grown = self._grown or grown

    def settle(self) -> None:
        """Reserve what was not expected, and give back what has come, or will not.

        Raises `NoSpace` also where less is free than has to stay so, whoever has taken it.
        """
        with self._lock:
            left, grown, self._grown = self._left, self._grown, False
        if grown:
            reserve(self._row, left)
            self._written = time.monotonic()
            return
        # A look at the disk alone: no query for each chunk that comes.
        _check(0, others=0)
        if left < self._row.reserved and time.monotonic() - self._written >= WRITE_SECONDS:
            self._row.write(reserved=left)
            self._written = time.monotonic()

    def close(self) -> None:
        """Nothing more comes."""
        if self._row.reserved:
            self._row.write(reserved=0)


class FileReservation:
    """One file's share of a reservation.

    When the context ends, the file needs nothing any more: its bytes are stored, or will not come.
    """

    def __init__(self, reservation: DiskReservation, size: int) -> None:
        """`size`: as it was passed to `reservation.expect`; -1: nobody knows it yet."""
        self._reservation = reservation
        self._size = size
        self._whole = max(size, 0)
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._update(0, 0)

    def progress(self, done: int, total: int) -> None:
        """As `ecosystems.progress.ByteProgress`: `done` bytes are written."""
        # Upstreams misstate sizes; one that the bytes already exceed is no estimate.
        plausible = (size for size in (self._size, total) if size >= done)
        self._update(done, next(plausible, (done // STEP + 1) * STEP))

    def _update(self, done: int, whole: int) -> None:
        by = (whole - done) - (self._whole - self._done)
        # A download that starts again has given back bytes that others may have reserved since.
        self._reservation.change(by, grown=whole > self._whole or (done < self._done and whole > 0))
        self._done, self._whole = done, whole
