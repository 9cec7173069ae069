"""History: one line per thing that happened in a channel.

An event names its objects by kind, id and name and has no foreign key, so it
outlives them. It is written in the transaction of the change it tells about.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models


class EventType(models.TextChoices):
    """The API's event types with the words the screen shows for them."""

    MIRROR_CREATED = "mirror_created", "Mirror created"
    MIRROR_UPDATED = "mirror_updated", "Mirror updated"
    MIRROR_STARTED = "mirror_started", "Mirror started"
    MIRROR_COMPLETED = "mirror_completed", "Mirror completed"
    MIRROR_FAILED = "mirror_failed", "Mirror failed"
    MIRROR_STOPPED = "mirror_stopped", "Mirror stopped"
    MIRROR_RESTARTED = "mirror_restarted", "Mirror restarted"
    MIRROR_DELETED = "mirror_deleted", "Mirror deleted"
    MIRROR_HELD = "mirror_held", "Mirror held"
    MIRROR_RELEASED = "mirror_released", "Mirror released"
    MIRROR_SKIPPED = "mirror_skipped", "Mirror skipped"
    ARTIFACT_REGISTERED = "artifact_registered", "Artifact registered"
    ARTIFACT_GENERATED = "artifact_generated", "Artifact generated"
    ARTIFACT_REMOVED = "artifact_removed", "Artifact removed"
    ARTIFACT_METADATA_UPDATED = "artifact_metadata_updated", "Artifact metadata updated"
    ARTIFACT_HELD = "artifact_held", "Artifact held"
    CHANNEL_CREATED = "channel_created", "Channel created"
    CHANNEL_UPDATED = "channel_updated", "Channel updated"
    CHANNEL_FROZEN = "channel_frozen", "Channel frozen"
    CHANNEL_UNFROZEN = "channel_unfrozen", "Channel unfrozen"
    CHANNEL_ROLLED_BACK = "channel_rolled_back", "Channel rolled back"
    CHANNEL_DELETED = "channel_deleted", "Channel deleted"
    TOKEN_CREATED = "token_created", "Token created"
    TOKEN_REVOKED = "token_revoked", "Token revoked"
    CVE_UPDATED = "cve_updated", "CVE updated"


class Event(models.Model):
    """One line of a channel's history. `id` is the event ID."""

    type = models.CharField(max_length=32, choices=EventType.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    # Names and plain ids: an account, a mirror or a run may be deleted, and its events stay.
    actor = models.CharField(max_length=200, blank=True)
    family = models.CharField(max_length=16, blank=True)
    channel_id = models.BigIntegerField(null=True)
    mirror_id = models.BigIntegerField(null=True)
    run_id = models.BigIntegerField(null=True)
    revision = models.IntegerField(null=True)
    """Set on events written ahead of a revision: seen once the channel has reached it."""
    folded = models.BooleanField(default=False)
    """One of many package events of a run: the page shows it under the run's own."""
    data = models.JSONField(default=dict)
    meta = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["channel_id", "id"]),
            # A channel's page, which leaves out the package events of its runs.
            models.Index(fields=["channel_id", "folded", "id"]),
            models.Index(fields=["channel_id", "type", "id"]),
            # How many of them stand under each run.
            models.Index(fields=["run_id", "folded"]),
            models.Index(fields=["mirror_id", "id"]),
            # What an abandoned publication wrote ahead is deleted by its revision.
            models.Index(fields=["channel_id", "revision"]),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.get_type_display()}"


def record(
    event: EventType,
    *,
    actor: str = "",
    channel_id: int | None = None,
    mirror_id: int | None = None,
    run_id: int | None = None,
    family: str = "",
    data: Mapping[str, object] | None = None,
    meta: Mapping[str, object] | None = None,
) -> Event:
    """Write one event; call it inside the transaction of the change itself."""
    return Event.objects.create(
        type=event,
        actor=actor,
        channel_id=channel_id,
        mirror_id=mirror_id,
        run_id=run_id,
        family=family,
        data=dict(data or {}),
        meta=dict(meta or {}),
    )
