"""Leases: rows that one process works on at a time, claimed, fenced and kept by a heartbeat.

The row is the truth. `claim` is one conditional UPDATE that raises `fence`; every later write of
the owner carries its fence, so a stale owner writes nothing. A dead owner is noticed at once on
the same host (the kernel frees its lock file) and on others when `beats` has not moved for a lease.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, models
from django.db.models import F

from channels.states import JobState

HOST = socket.gethostname()
MAX_WATCHED_ROWS = 1000
"""Rows that a monitor remembers before it drops those that have ended."""


class Fenced(Exception):
    """This process no longer owns the row it was writing for."""


class Leased(models.Model):
    """A row that workers claim. Its states are those of `JobState`."""

    state = models.CharField(
        max_length=12, choices=JobState.choices, default=JobState.PENDING, db_index=True
    )
    fence = models.IntegerField(default=0)
    attempt = models.IntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True)
    beats = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        abstract = True

    @property
    def lock_path(self) -> Path:
        """The file that the owner locks while it lives; the fence gives each owner its own."""
        folder = Path(settings.DATA) / "locks"
        return folder / f"{self._meta.model_name}-{self.pk}-{self.fence}.lock"

    def write(self, **fields: Any) -> None:
        """Update the row if this process still owns it, else raise `Fenced`."""
        model = type(self)
        # One statement: between a look at the fence and a write another process could take the row.
        changed = model._default_manager.filter(pk=self.pk, fence=self.fence).update(**fields)
        if not changed:
            raise Fenced(f"{self._meta.model_name} {self.pk} has another owner")
        for name, value in fields.items():
            setattr(self, name, value)

    def claim(self, *, from_states: tuple[str, ...] = (JobState.PENDING,), **fields: Any) -> bool:
        """Become the owner: True for exactly one of any number of claimants."""
        model = type(self)
        # With the host in front: lock files tell only of processes of the same host.
        owner = f"{HOST}:{os.getpid()}:{threading.get_ident()}"
        # The fence is compared too: who read the row before an earlier claim must not win again.
        changed = model._default_manager.filter(
            pk=self.pk, fence=self.fence, state__in=from_states
        ).update(fence=F("fence") + 1, attempt=F("attempt") + 1, owner=owner, **fields)
        if changed:
            self.refresh_from_db()
        return bool(changed)


class Reserving(Leased):
    """A row whose owner writes files; see `channels.disk_space`."""

    reserved = models.BigIntegerField(default=0)
    """How many bytes its owner is still going to write to the disk."""

    class Meta:
        abstract = True

    def claim(self, *, from_states: tuple[str, ...] = (JobState.PENDING,), **fields: Any) -> bool:
        """As `Leased.claim`; what the previous owner had reserved is free again."""
        return super().claim(from_states=from_states, reserved=0, **fields)


class Heartbeat:
    """Raises a claimed row's `beats` from a thread, and holds its lock file.

    Use as a context manager around the work. `lost` becomes True when the row
    has another owner; the work looks at it between chunks.
    """

    def __init__(self, row: Leased) -> None:
        self.row = row
        self.lost = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._path = row.lock_path
        self._lock = -1

    def __enter__(self) -> Self:
        self._lock = _create_locked(self._path)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        # Removed while it is locked: an unlocked file would mean that the owner died.
        self._path.unlink(missing_ok=True)
        os.close(self._lock)

    def check(self) -> None:
        """Raise `Fenced` once the row has another owner."""
        if self.lost:
            raise Fenced(f"{self.row._meta.model_name} {self.row.pk} has another owner")

    def _beat(self) -> None:
        try:
            while not self.lost and not self._end.wait(settings.HEARTBEAT_SECONDS):
                self._beat_once()
        finally:
            # Django opens a connection for each thread; nobody else closes the one of this thread.
            connection.close()

    def _beat_once(self) -> None:
        owned = type(self.row)._default_manager.filter(pk=self.row.pk, fence=self.row.fence)
        try:
            self.lost = not owned.update(beats=F("beats") + 1)
        except (OperationalError, InterfaceError):
            # A database that is away for a moment costs a beat, not the row.
            connection.close()


def _create_locked(path: Path) -> int:
    """Create the lock file `path` and lock it until this process ends or closes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Locked under another name first: an unlocked file at `path` would mean that the owner died.
    new = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    # O_CLOEXEC: a program that this process starts would inherit the lock and outlive the owner.
    handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    new.rename(path)
    return handle


def is_locked(path: Path) -> bool | None:
    """Whether somebody holds the lock file `path`; None where there is no such file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def owner_died(row: Leased) -> bool:
    """Whether its owner died on this host, as far as the kernel knows: its lock is free."""
    on_this_host = row.owner.split(":", 1)[0] == HOST
    # A file that is not there proves nothing: the owner may not have made it yet.
    return on_this_host and is_locked(row.lock_path) is False


class LivenessMonitor:
    """Tells which running rows have lost their owner. One per dispatcher, kept between rounds.

    Time is this process's own monotonic clock: those of other hosts may be wrong.
    """

    def __init__(self) -> None:
        self._last_beats: dict[tuple[str, int, int], tuple[int, float]] = {}

    def is_dead(self, row: Leased) -> bool:
        """True when the owner is gone: its lock is free, or `beats` stood still for a lease."""
        return owner_died(row) or self._has_stopped(row)

    def _has_stopped(self, row: Leased) -> bool:
        key = (str(row._meta.label), row.pk, row.fence)
        beats, since = self._last_beats.get(key, (-1, 0.0))
        now = time.monotonic()
        if beats != row.beats:
            if len(self._last_beats) >= MAX_WATCHED_ROWS:
                # Far behind a lease: a row that is about to count as dead must not be forgotten.
                self._forget(now - 10 * settings.LEASE_SECONDS)
            self._last_beats[key] = (row.beats, now)
            return False
        return now - since > settings.LEASE_SECONDS

    def _forget(self, before: float) -> None:
        """Drop rows that have not beaten since: they have ended, or are gone."""
        self._last_beats = {
            key: (beats, since)
            for key, (beats, since) in self._last_beats.items()
            if since > before
        }
