"""What workers do when they are knocked for: load by id, call one function."""

from __future__ import annotations

import logging

from celery import shared_task, signals
from kombu.exceptions import OperationalError

from channels import notify
from channels.errors import Interrupted
from channels.models import Channel
from mirrors import periodic_tasks
from publishing import publish
from runs import execute, preview
from workers import dispatch, retention, shutdown

log = logging.getLogger(__name__)


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
def make_preview(pk: int) -> None:
    """Work out a preview."""
    preview.execute(pk, interrupted=shutdown.requested)


@shared_task
def start_slot(pk: int) -> None:
    """Begin the run of a mirror whose time has come: what each mirror's periodic task calls."""
    dispatch.start_slot(pk)


@shared_task
def dispatch_round() -> None:
    """One look at all rows that are not final."""
    dispatch.dispatch_round()


@shared_task
def clean_up() -> None:
    """Remove what no kept revision, run or snapshot needs."""
    retention.clean_up()


@signals.beat_init.connect
def begin_clocks(**_: object) -> None:
    """When beat starts."""
    periodic_tasks.begin_clocks()


def _stop() -> None:
    if shutdown.requested():
        raise ShuttingDown


def _send(task: object, pk: int) -> None:
    """A broker that is down loses nothing: the dispatcher knocks again."""
    try:
        task.delay(pk)  # type: ignore[attr-defined]
    except (OperationalError, OSError) as error:
        log.warning("the broker does not answer (%s); the dispatcher tries again", error)


def hang_bells() -> None:
    """Let changes of rows be told to the workers at once."""
    notify.run = lambda pk: _send(execute_run, pk)
    notify.channel = lambda pk: _send(publish_channel, pk)
    notify.preview = lambda pk: _send(make_preview, pk)
