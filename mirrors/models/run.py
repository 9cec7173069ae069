"""A run of a mirror: its states, steps, counts, log, and the files that it did not get."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from django.db import models
from django.db.models import Q
from django.utils import timezone

from channels.lease import Reserving
from channels.states import ACTIVE, JobState
from mirrors.models.mirror import Holds, Mirror


class RunOutcome(models.TextChoices):
    """How a completed run turned out."""

    OK = "ok", "Completed"
    ERRORS = "errors", "Completed with errors"
    HELD = "held", "Completed, with something held"


class Cause(models.TextChoices):
    """Why a run was asked for; the label goes on after the name of who asked."""

    MANUAL = "manual", ""
    SCHEDULE = "schedule", ""
    RESTART = "restart", ", as a restart"
    EDIT = "edit", ", with a change of the mirror"
    CREATE = "create", ", with the creation of the mirror"
    AGE = "age", ""
    RELEASE = "release", ", with the release of replaced files"


NamesByRule = dict[str, dict[str, list[str]]]
"""{"mirror_filtered" | "channel_filtered": {rule: [file names]}}"""


class StepTimes(TypedDict):
    """When a step of a run went on; both times in ISO 8601."""

    number: int
    """Of the step, from 1."""
    started: str
    ended: str | None
    """None for the step that goes on."""


class Run(Reserving):
    """One execution of a mirror.

    pending -> running -> completed | failed | stopped; `stopping` is a run that
    was asked to stop and has not ended yet.
    """

    STUCK_AFTER = timedelta(minutes=10)
    """A worker looks for a stop between chunks of a download and packages of an index; one that
    has not seen it after so long is lost or hangs."""
    STEPS = (
        "Fetch remote index",
        "Read remote packages",
        "Check against the last run",
        "Filter remote packages",
        "Compare with the channel",
        "Download packages",
        "Publish the channel",
        "Finish",
    )

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="runs")
    number = models.IntegerField()
    cause = models.CharField(max_length=16, default=Cause.MANUAL)
    """A `Cause`."""
    actor = models.CharField(max_length=200, blank=True)
    slot = models.DateTimeField(null=True)
    filters = models.JSONField(default=dict)
    """The filter as it was when the run began."""
    step = models.IntegerField(default=0)
    percent = models.IntegerField(default=0)
    steps: models.JSONField[list[StepTimes], list[StepTimes]] = models.JSONField(default=list)
    counts = models.JSONField(default=dict)
    bytes = models.BigIntegerField(default=0)
    snapshots: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(default=dict)
    """{section: snapshot id} it judged."""
    held: models.JSONField[Holds, Holds] = models.JSONField(default=dict)
    warnings: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """What it dropped, skipped, or kept from an earlier state, in words."""
    outcome = models.CharField(max_length=8, blank=True, choices=RunOutcome.choices)
    """Of a completed run; else empty."""
    requested_version = models.IntegerField(default=0)
    """The channel's `requested_version` that it raised last: the publication that reaches it has
    what this run brought."""
    stop_requested_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # It decides between two who ask for a run at once; a look before cannot.
            models.UniqueConstraint(
                fields=["mirror"],
                condition=Q(state__in=ACTIVE),
                name="one_run",
            ),
            # Beat or any dispatcher may start a slot. Runs by hand have none: NULLs never clash.
            models.UniqueConstraint(fields=["mirror", "slot"], name="one_run_a_slot"),
            models.UniqueConstraint(fields=["mirror", "number"], name="run_number"),
        ]

    def __str__(self) -> str:
        return f"run {self.number} of {self.mirror}"

    @property
    def asked_by(self) -> str:
        """Who asked for it and how, in words."""
        if self.cause == Cause.SCHEDULE:
            return "the schedule"
        if self.cause == Cause.AGE:
            return "files that became old enough"
        return f"{self.actor or 'an account that is gone'}{Cause(self.cause).label}"

    @property
    def result(self) -> str:
        """Its state; `errors` where it completed and files failed."""
        return str(RunOutcome.ERRORS) if self.outcome == RunOutcome.ERRORS else self.state

    @property
    def stuck(self) -> bool:
        """Whether it should have stopped long ago, so that people may say it has."""
        asked = self.stop_requested_at if self.state == JobState.STOPPING else None
        return asked is not None and asked + self.STUCK_AFTER <= timezone.now()

    def steps_until(self, now: datetime) -> list[StepTimes]:
        """The steps with their times; the one that goes on ends now."""
        steps = [*self.steps]
        if steps and steps[-1]["ended"] is None:
            steps[-1] = {**steps[-1], "ended": now.isoformat()}
        return steps

    def steps_with(self, number: int, now: datetime) -> list[StepTimes]:
        """The steps with their times, when step `number` begins now."""
        begun = StepTimes(number=number, started=now.isoformat(), ended=None)
        return [*self.steps_until(now), begun]


class ExcludedNames(models.Model):
    """The first names of the files that a run excluded, apart from it: runs are read often."""

    run = models.OneToOneField(
        Run, on_delete=models.CASCADE, primary_key=True, related_name="excluded_names"
    )
    names: models.JSONField[NamesByRule, NamesByRule] = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"what {self.run} excluded"


class Failure(models.Model):
    """A file that a run could not get, with the cause."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="failures")
    section = models.CharField(max_length=128)
    filename = models.CharField(max_length=255)
    message = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "section", "filename"], name="failure_once")
        ]

    def __str__(self) -> str:
        return self.filename


class LogLine(models.Model):
    """One line of a run's log."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(max_length=8, default="info")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text
