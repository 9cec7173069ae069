"""What a run carries through its steps: its row, its heart, progress and log."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from channels.errors import Interrupted
from channels.lease import Heartbeat
from channels.models import Channel
from channels.states import JobState
from channels.texts import storable
from mirrors.models import LogLine, Mirror, Run

CHECK_SECONDS = 0.5
"""How often the row is read for a stop, and progress written."""

# Every page that shows the mirror reads them with the run's row; the log has all.
MOST_WARNINGS = 200


class Stopped(Interrupted):
    """Somebody asked the run to stop."""


class HandBack(Interrupted):
    """This worker shuts down; another goes on with the run."""


class RunContext:
    """One run at work. `check` is called between chunks in every step and loop."""

    def __init__(self, run: Run, heart: Heartbeat, *, interrupted: Callable[[], bool]) -> None:
        self.run = run
        self.heart = heart
        self._interrupted = interrupted
        self._checked = 0.0
        self._written = 0.0
        self.bytes = 0

    def check(self) -> None:
        """Raise `Stopped`, `HandBack` or `Fenced` where the run must not go on."""
        self.heart.check()
        now = time.monotonic()
        # Called for every chunk and package: the database is asked now and then only.
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        if self._interrupted():
            raise HandBack
        state = Run.objects.filter(pk=self.run.pk).values_list("state", flat=True).first()
        # None where the row is gone: the mirror was deleted meanwhile.
        if state != JobState.RUNNING:
            raise Stopped

    def step(self, number: int) -> None:
        """Begin step `number` (1-8)."""
        steps = self.run.steps_with(number, timezone.now())
        self.run.write(step=number, percent=0, steps=steps)
        # A stop that was asked for acts before the step, however short the last one was.
        self._checked = 0.0
        self.check()

    def progress(self, done: float, total: float) -> None:
        """Show how far the step is; written at most every `CHECK_SECONDS`."""
        now = time.monotonic()
        if now - self._written >= CHECK_SECONDS:
            self._written = now
            # An upstream may send more than it announced.
            percent = int(100 * min(done / total, 1)) if total else 0
            self.run.write(percent=percent, bytes=self.bytes)

    def log(self, text: str, *, level: str = "info") -> None:
        """Add a line to the run's log."""
        with transaction.atomic():
            self.run.write(owner=self.run.owner)
            # The write changes nothing; it raises `Fenced` where another owner has the run by now.
            LogLine.objects.create(run=self.run, level=level, text=storable(text)[:2000])

    def warn(self, text: str) -> None:
        """Log what the run dropped, skipped or kept, and show it on the mirror."""
        text = storable(text)
        self.log(text, level="warning")
        if text not in self.run.warnings and len(self.run.warnings) < MOST_WARNINGS:
            # Cut, because upstreams choose the length of some texts.
            self.run.write(warnings=[*self.run.warnings, text[:2000]])

    def request_publication(self) -> None:
        """Have the channel published, as this run's; call in the transaction of the change."""
        self.run.write(requested_version=self.run.mirror.channel.request_publication())

    def channel(self) -> Channel:
        """The mirror's channel as it is saved now, with its filters."""
        channels = Channel.objects.select_related("filter", "parent__filter")
        return channels.get(pk=self.run.mirror.channel_id)


def lock_mirror(run: Run) -> None:
    """Mirror before run, as all who lock both do; the other way round two would block each other.

    Nothing to do on SQLite, whose transactions lock everything.
    """
    Mirror.objects.select_for_update(of=("self",)).filter(pk=run.mirror_id).first()
