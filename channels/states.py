"""The states of rows that workers claim: runs, publications, previews, fetches."""

from __future__ import annotations

from django.db import models


class JobState(models.TextChoices):
    """pending -> running -> one of the final states; the API and the pages show these words.

    `stopping` is a run that was asked to stop and has not ended yet. Publications alone can be
    `lost` (their worker died, and another publication follows), previews alone `cancelled`.
    """

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Lost"


OWNED = (JobState.RUNNING, JobState.STOPPING)
"""States in which a row has an owner, who beats for it."""
ACTIVE = (JobState.PENDING, *OWNED)
"""States that are not final."""
STOPPABLE = (JobState.PENDING, JobState.RUNNING)
"""States in which a run can still be asked to stop."""
RUN_STATES = tuple(state for state in JobState if state not in (JobState.CANCELLED, JobState.LOST))
"""States that a run can have."""
