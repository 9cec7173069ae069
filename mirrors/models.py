"""Mirrors, what they read (upstreams, snapshots) and their runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from channels.lease import Leased, Reserving
from channels.models import Blob, Channel, FileSource
from channels.states import ACTIVE, JobState
from ecosystems.kinds import Kind
from filters.models import Filter


class MirrorType(models.TextChoices):
    """The types that a mirror can have, with the words of the screen."""

    CONDA = Kind.CONDA.value, "conda"
    PYTHON = Kind.PYTHON.value, "standard python"
    CRAN = Kind.CRAN.value, "standard R"


class Upstream(models.Model):
    """A server mirrored from: type, address, credential, proxy. Mirrors of one source share it."""

    kind = models.CharField(max_length=16, choices=MirrorType.choices)
    url = models.TextField()
    credential = models.BinaryField(default=b"")
    """Encrypted; see `channels.secrets`."""
    proxy = models.BinaryField(default=b"")
    channel = models.ForeignKey(Channel, on_delete=models.SET_NULL, null=True)
    """Set when the source is a channel of this server."""
    key = models.CharField(max_length=64, unique=True)
    """SHA-256 over type, address, credential and proxy."""
    extras = models.JSONField(default=dict)
    """{file name: SHA-256 of the blob}: what lies beside the sections (`channeldata.json`)."""
    missed = models.JSONField(default=list)
    """Names of those that could not be had or read: the next run asks again."""
    warnings = models.JSONField(default=list)
    """What is odd about the extras, in sentences; see `mirrors.warnings`."""

    def __str__(self) -> str:
        return self.url


class Snapshot(models.Model):
    """An upstream's index of one section as fetched, grouped by name into a pack."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    scope = models.CharField(max_length=64, blank=True)
    """What part of the index was fetched, by the ecosystem's key; "" = all of it."""
    address = models.TextField()
    """Of the index file that was read."""
    sha256 = models.CharField(max_length=64)
    """Of the index file as it came."""
    etag = models.TextField(blank=True)
    last_modified = models.CharField(max_length=64, blank=True)
    pack = models.ForeignKey(Blob, on_delete=models.PROTECT)
    file_source = models.ForeignKey(FileSource, on_delete=models.PROTECT)
    listed = models.IntegerField()
    newest = models.BigIntegerField(default=0)
    """The newest build time in it, milliseconds since 1970."""
    invalid = models.IntegerField(default=0)
    """How many of `listed` are in no shard, because not even their name can be read."""
    invalid_names = models.JSONField(default=list)
    extras = models.JSONField(default=dict)
    """{file name: SHA-256 of the blob}: what goes with the index (`run_exports.json`)."""
    warnings = models.JSONField(default=list)
    """As `ecosystems.base.Read.warnings`; see `mirrors.warnings`."""
    extras_warnings = models.JSONField(default=list)
    """As `ecosystems.base.Extras.warnings`."""
    missed = models.JSONField(default=list)
    """Names of optional files that could not be had or read: the next run asks again."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["upstream", "section", "-id"])]

    def __str__(self) -> str:
        return f"{self.upstream} {self.section} {self.sha256[:8]}"


class FetchedPackage(models.Model):
    """Records of a package fetched because a client asked, until a snapshot has them."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    body = models.BinaryField()
    """As in a pack, zstd."""
    count = models.IntegerField()
    created_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upstream", "section", "name"], name="one_page_a_name")
        ]

    def __str__(self) -> str:
        return f"{self.upstream} {self.section}/{self.name}"


class Mirror(models.Model):
    """Upstream + mode + filter + frequency, in a channel."""

    class Mode(models.TextChoices):
        ACTIVE = "active", "Active"
        PASSIVE = "passive", "Passive"

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="mirrors")
    name = models.CharField(max_length=255, unique=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.PASSIVE)
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    filter = models.OneToOneField(Filter, on_delete=models.PROTECT)
    cron = models.CharField(max_length=255, default="0 0 1 * *")
    cron_timezone = models.CharField(max_length=64)
    next_run_at = models.DateTimeField(null=True, db_index=True)
    last_run_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    held = models.JSONField(default=dict)
    """{section: {"snapshot": id or None, "reason": text}}; empty when nothing is held."""
    warnings = models.JSONField(default=list)
    """What its saved form will probably not do; `mirrors.warnings` has all there is to say."""
    incomplete = models.BooleanField(default=False)
    """Of an active mirror: the new index is accepted, and no run has brought all of its files yet.
    Publications only add: what the upstream dropped stays."""
    waiting = models.JSONField(default=dict)
    """{"failed", "planned", "names"}: too many of a run's new files failed, so what the upstream
    dropped stays until a complete run, or until it is released."""
    counts = models.JSONField(default=dict)
    """What became of the files that the upstream lists, as the last publication judged them."""
    run_again = models.BooleanField(default=False)
    """Saved with Run Now while a run was going: one more run follows."""
    skip_guard = models.BooleanField(default=False)
    """The source was changed: the next snapshot has nothing to be compared with."""
    version = models.IntegerField(default=1)
    """Raised by every edit; the ETag of the API's mirror object."""
    deleted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> str:
        return self.upstream.kind

    @property
    def active(self) -> bool:
        return self.mode == self.Mode.ACTIVE


class AcceptedSnapshot(models.Model):
    """The snapshot a mirror publishes a section from."""

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="accepted")
    section = models.CharField(max_length=128)
    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="accepted")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mirror", "section"], name="one_snapshot_a_section")
        ]

    def __str__(self) -> str:
        return f"{self.mirror} {self.section}"


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


def reasons(held: dict[str, Any]) -> list[str]:
    """Why the guard holds what it holds, each sentence with its section."""
    return [str(one["reason"]) for _, one in sorted(held.items())]


class Run(Reserving):
    """One execution of a mirror.

    pending -> running -> completed | failed | stopped; `stopping` is a run that
    was asked to stop and has not ended yet.
    """

    STUCK = timedelta(minutes=10)
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
    terms = models.JSONField(default=dict)
    """The filter as it was when the run began."""
    step = models.IntegerField(default=0)
    percent = models.IntegerField(default=0)
    steps = models.JSONField(default=list)
    """[[step, started ISO, ended ISO], ...]"""
    counts = models.JSONField(default=dict)
    bytes = models.BigIntegerField(default=0)
    snapshots = models.JSONField(default=dict)
    """{section: snapshot id} it judged."""
    held = models.JSONField(default=dict)
    warnings = models.JSONField(default=list)
    """What it dropped, skipped, or kept from an earlier state, in words."""
    outcome = models.CharField(max_length=8, blank=True, choices=RunOutcome.choices)
    """Of a completed run; else empty."""
    requested_version = models.IntegerField(default=0)
    """The channel's `wanted` that it raised last: the publication that covers it is this run's."""
    stop_requested_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["mirror"],
                condition=Q(state__in=ACTIVE),
                name="one_run",
            ),
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
        return f"{self.actor or 'an account that is gone'}{Cause(self.cause).label}"

    @property
    def result(self) -> str:
        """Its state; `errors` where it completed and files failed."""
        return str(RunOutcome.ERRORS) if self.outcome == RunOutcome.ERRORS else self.state

    @property
    def stuck(self) -> bool:
        """Whether it should have stopped long ago, so that people may say it has."""
        asked = self.stop_requested_at if self.state == JobState.STOPPING else None
        return asked is not None and asked + self.STUCK <= timezone.now()

    def steps_until(self, now: datetime) -> list[list[Any]]:
        """The steps with their times; the one that goes on ends now."""
        steps = [*self.steps]
        if steps and steps[-1][2] is None:
            steps[-1] = [steps[-1][0], steps[-1][1], now.isoformat()]
        return steps


class LeftOut(models.Model):
    """The first names of the files a run left out, apart from it: runs are read often."""

    run = models.OneToOneField(
        Run, on_delete=models.CASCADE, primary_key=True, related_name="left_out"
    )
    names = models.JSONField(default=dict)
    """{"mirror_filtered" | "channel_filtered": {rule: [file names]}}"""

    def __str__(self) -> str:
        return f"what {self.run} left out"


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


class Preview(Leased):
    """A judgement nobody sees the effect of: how a mirror body would turn out."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, null=True)
    asker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    body = models.JSONField(default=dict)
    percent = models.IntegerField(default=0)
    activity = models.CharField(max_length=200, blank=True)
    result = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"preview {self.pk}"
