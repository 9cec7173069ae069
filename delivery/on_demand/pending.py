"""A file on its way, as those see it who wait for it; and the fetches that nobody leads any more.

Single flight over all processes: the `Fetch` row elects one leader (`leader`), everybody else
polls the row and reads along in the leader's part file. When a leader dies, one of those who wait
takes over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from channels.lease import LivenessMonitor
from channels.models import Blob, Fetch
from channels.states import JobState
from delivery import listed_files
from delivery.on_demand import refusals, slots
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.leader import part_path, try_to_lead
from delivery.on_demand.request import FetchRequest

VERIFY_SECONDS = 5.0
"""So long a client waits for verified bytes; then it gets what has come so far."""
HELD_BACK = 64 * 1024
"""Bytes at the end of a file that nobody gets before the whole is verified."""
LIVENESS_SECONDS = 1.0
"""How often one who waits looks whether the leader lives, which opens the leader's lock file."""


class PendingFetch:
    """A file on its way, shared by all who wait for it in one process.

    `blob` once it is stored; `error` once it is sure that it does not come.
    """

    def __init__(self, request: FetchRequest) -> None:
        self.request = request
        self.blob: Blob | None = None
        self.error: Unavailable | None = None
        self.part: Path | None = None
        """Where its bytes arrive."""
        self._monitor = LivenessMonitor()
        self._liveness_checked = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.blob is not None or self.error is not None

    @property
    def streamable(self) -> bool:
        """Whether a stream could send something at once."""
        try:
            part, size = self.part, self.request.listed.size
            return part is not None and size > HELD_BACK and part.stat().st_size > 0
        except FileNotFoundError:
            return False

    def update(self, row: Fetch | None) -> None:
        """Take in the state of the row (None: the fetch is over, or was never begun).

        Begins the fetch where nobody has, and takes over from a leader that died.
        """
        try:
            if row is None:
                self._begin()
            elif row.state == JobState.PENDING:
                self._try_to_lead(row, JobState.PENDING)
            else:
                self.part = part_path(row)
                self._replace_dead_leader(row)
        except Unavailable as error:
            self.error = error

    def _begin(self) -> None:
        # In this order: a leader stores the file, or its refusal, in the transaction that deletes
        # the row. Whoever sees no row sees one of them here, or it really was never fetched.
        self.blob = listed_files.stored_blob(self.request.listed)
        if self.blob is None:
            refusals.check(self.request)
            # Without a slot no row: it would stand unclaimed while this process is busy.
            if slots.has_free(self.request.upstream_host):
                row, _ = Fetch.objects.get_or_create(key=self.request.key)
                self._try_to_lead(row, JobState.PENDING)

    def _replace_dead_leader(self, row: Fetch) -> None:
        now = time.monotonic()
        if now - self._liveness_checked >= LIVENESS_SECONDS:
            self._liveness_checked = now
            if self._monitor.is_dead(row):
                self._try_to_lead(row, JobState.RUNNING)

    def _try_to_lead(self, row: Fetch, from_state: JobState) -> None:
        if try_to_lead(self.request, row, from_state):
            self.part = part_path(row)


def poll(fetches: Sequence[PendingFetch]) -> None:
    """Update each of these, with one query for all that are on their way."""
    keys = {fetch.request.key for fetch in fetches}
    rows = {row.key: row for row in Fetch.objects.filter(key__in=keys)}
    for fetch in fetches:
        fetch.update(rows.get(fetch.request.key))


def reap(monitor: LivenessMonitor) -> None:
    """Delete fetches whose leader died with nobody waiting, and refusals that are over."""
    for row in Fetch.objects.filter(state=JobState.RUNNING):
        # With the fence: somebody may have taken over since the row was read.
        if monitor.is_dead(row) and Fetch.objects.filter(pk=row.pk, fence=row.fence).delete()[0]:
            part_path(row).unlink(missing_ok=True)
    refusals.delete_expired()
