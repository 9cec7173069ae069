"""Celery tasks: each loads a row by its id and calls one function."""

from __future__ import annotations

from contextlib import suppress

from celery import shared_task, signals

from advisories import feeds
from channels.errors import Interrupted
from channels.models import Channel
from mirrors import periodic_tasks
from publishing import advisory_changes, advisory_index, publish
from runs import execute, preview
from workers import dispatch, retention, shutdown


class ShuttingDown(Interrupted):
    """The worker ends; the publication is done again by another."""


@shared_task
def execute_run(pk: int) -> None:
    """Do a pending run."""
    execute.execute(pk, interrupted=shutdown.requested)


@shared_task
def publish_channel(pk: int) -> None:
    """Publish a channel as long as it wants it."""
    channel = Channel.objects.filter(pk=pk).first()
    try:
        while channel is not None and publish.wants(channel):
            if not publish.publish(channel, stop=_stop):
                return
    except ShuttingDown:
        return


@shared_task
def index_advisories(pk: int) -> None:
    """Bring the rows up to date that say which advisories are about what a channel lists."""
    channel = Channel.objects.alive().filter(pk=pk).first()
    if channel is not None:
        with suppress(ShuttingDown):
            advisory_index.update(channel, stop=_stop)


@shared_task
def make_preview(pk: int) -> None:
    """Work out a preview."""
    preview.execute(pk, interrupted=shutdown.requested)


@shared_task
def start_slot(pk: int) -> None:
    """Begin the run of a mirror whose time has come: what each mirror's periodic task calls."""
    dispatch.start_slot(pk)


@shared_task
def dispatch_round() -> None:
    """Look once at all rows that are not final."""
    dispatch.dispatch_round()


@shared_task
def clean_up() -> None:
    """Remove what no kept revision, run or snapshot needs."""
    retention.clean_up()


@shared_task
def refresh_advisories() -> None:
    """Fetch the advisory feeds that are configured, and import what changed."""
    with suppress(ShuttingDown):
        feeds.refresh(stop=_stop)
    # Also what was imported before a worker that shuts down stopped it.
    advisory_changes.request()


@signals.beat_init.connect
def start_countdowns(**_: object) -> None:
    """When beat starts."""
    periodic_tasks.start_countdowns()


def _stop() -> None:
    if shutdown.requested():
        raise ShuttingDown
