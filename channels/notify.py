"""Wakes workers: a row is ready for them.

The row is the truth. A message that is lost or comes twice changes nothing: the dispatcher of
every worker looks for such rows, too.
"""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def run(pk: int) -> None:
    """A run of a mirror is pending."""
    _send("execute_run", pk)


def publication(channel_pk: int) -> None:
    """A channel waits for a publication."""
    _send("publish_channel", channel_pk)


def preview(pk: int) -> None:
    """A preview is pending."""
    _send("make_preview", pk)


def advisory_index(channel_pk: int) -> None:
    """The rows about a channel's advisories are behind its listing, or behind the advisories."""
    _send("index_advisories", channel_pk)


def advisory_refresh() -> bool:
    """Somebody wants the advisory feeds to be fetched before their time.

    There is no row for it: False where nobody was told.
    """
    return _send("refresh_advisories")


def _send(task: str, *args: int) -> bool:
    # By name: tasks stand above this package.
    try:
        current_app.send_task(f"workers.tasks.{task}", args=args)
    except (OperationalError, OSError) as error:
        logger.warning("The broker does not answer (%s). The dispatcher tries again.", error)
        return False
    return True
