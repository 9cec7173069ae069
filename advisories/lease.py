"""Who may import: one process at a time, and each of its writes proves that it still is the one.

The lease is one row. Taking it is a conditional UPDATE that raises its fence; every batch renews
it inside its own transaction, so an importer that was slow and lost it writes nothing more.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from advisories.models import ImportLease

ROW = 1


class ImportBusy(Exception):
    """Another import is going on."""


class LeaseLost(Exception):
    """This import was too slow to renew its lease, and another one has begun."""


class Lease:
    """The right to write, as long as `renew` does not raise."""

    def __init__(self, fence: int) -> None:
        self._fence = fence

    def renew(self) -> None:
        """Call it inside the transaction of each write."""
        if not self._mine.update(renewed_at=timezone.now()):
            raise LeaseLost("another import of advisories has begun")

    def release(self) -> None:
        """Let others import."""
        self._mine.update(owner="", renewed_at=None)

    @property
    def _mine(self) -> models.QuerySet[ImportLease]:
        return ImportLease.objects.filter(pk=ROW, fence=self._fence)


@contextmanager
def hold() -> Iterator[Lease]:
    """The lease; `ImportBusy` while another process has it."""
    row, _ = ImportLease.objects.get_or_create(pk=ROW)
    expired = timezone.now() - dt.timedelta(seconds=settings.LEASE_SECONDS)
    free = Q(owner="") | Q(renewed_at__lt=expired)
    owner = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    # The fence is part of the condition: of two that read the same row only the first gets it.
    claimed = ImportLease.objects.filter(free, pk=ROW, fence=row.fence).update(
        fence=F("fence") + 1, owner=owner, renewed_at=timezone.now()
    )
    if not claimed:
        raise ImportBusy("Advisories are being imported; try again when that has ended.")
    lease = Lease(row.fence + 1)
    try:
        yield lease
    finally:
        # Harmless where the lease was lost: the fence has risen, so the new owner's row does not
        # match.
        lease.release()
