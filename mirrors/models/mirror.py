"""A mirror, the snapshots it publishes from, and what the guard holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from django.conf import settings
from django.db import models

from channels.models import Channel
from filters.models import Filter
from mirrors.cron import MONTHLY
from mirrors.models.upstream import Snapshot, Upstream


class Hold(TypedDict):
    """Why the guard keeps a section as it was."""

    snapshot: int | None
    """The id of the one that is held; None where the upstream no longer has the section."""
    reason: str


Holds = dict[str, Hold]
"""By section; empty when nothing is held."""


def hold_reasons(held: Mapping[str, Hold]) -> list[str]:
    """The reasons of holds, in the order of their sections."""
    return [hold["reason"] for _, hold in sorted(held.items())]


class WithheldRemovals(TypedDict, total=False):
    """Why files that the upstream dropped stay: too many of a run's new files failed."""

    failed: int
    planned: int
    names: list[str]
    """The first of those that failed."""


class Mirror(models.Model):
    """Upstream + mode + filter + frequency, in a channel."""

    class Mode(models.TextChoices):
        ACTIVE = "active", "Active"
        PASSIVE = "passive", "Passive"

    class ReplacedFiles(models.TextChoices):
        """What becomes of a listed file when the upstream has new bytes under its name."""

        FOLLOW = "follow", "Follow the upstream"
        HOLD = "hold", "Hold until released"

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="mirrors")
    name = models.CharField(max_length=255, unique=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.PASSIVE)
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    filter = models.OneToOneField(Filter, on_delete=models.PROTECT)
    cron = models.CharField(max_length=255, default=MONTHLY)
    cron_timezone = models.CharField(max_length=64)
    replaced_files = models.CharField(
        max_length=8, choices=ReplacedFiles.choices, default=ReplacedFiles.FOLLOW
    )
    next_run_at = models.DateTimeField(null=True, db_index=True)
    last_run_at = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    held: models.JSONField[Holds, Holds] = models.JSONField(default=dict)
    warnings: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """What its saved form will probably not do; `mirrors.warnings` has all there is to say."""
    incomplete = models.BooleanField(default=False)
    """Of an active mirror: the new index is accepted, and no run has brought all of its files yet.
    Publications only add: what the upstream dropped stays."""
    withheld_removals: models.JSONField[WithheldRemovals, WithheldRemovals] = models.JSONField(
        default=dict
    )
    """Set: what the upstream dropped stays until a complete run, or until it is released."""
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
