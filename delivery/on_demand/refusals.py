"""Files that could not be fetched: remembered for a while, so that clients do not ask in a loop."""

from __future__ import annotations

import random
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from channels import internal_errors, pins
from channels.errors import NoSpace
from channels.models import Channel, Refusal
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.request import FetchRequest
from ecosystems.upstream import DigestMismatch, EgressRefused, NotFound, TooSlow, UpstreamError

STORAGE_FAILED = 503
"""The status where this server is the cause, not the upstream."""
TEMPORARY = frozenset({502, STORAGE_FAILED, 504})
"""The statuses after which another try makes sense."""


def check(request: FetchRequest) -> None:
    """Raise `Unavailable` where this file was refused not long ago."""
    refusal = Refusal.objects.filter(key=request.refusal_key, until__gt=timezone.now()).first()
    if refusal is not None:
        seconds = (refusal.until - timezone.now()).total_seconds()
        again = seconds if refusal.status in TEMPORARY else 0.0
        raise Unavailable(refusal.status, refusal.message, again=again)


def remember(request: FetchRequest, error: Exception) -> None:
    """Refuse this file from now on, for about `REFUSAL_SECONDS`."""
    status, message = describe(request, error)
    # Spread over time: an upstream that comes back does not get every client's request at once.
    seconds = settings.REFUSAL_SECONDS * random.uniform(0.75, 1.25)
    Refusal.objects.update_or_create(
        key=request.refusal_key,
        defaults={
            "status": status,
            "message": message,
            "until": timezone.now() + timedelta(seconds=seconds),
            "channel": request.listed.channel,
            "file_source": request.file_source,
        },
    )


def forget(channel: Channel, url: str) -> None:
    """Forget what was refused to this channel or by this source: a run has just read its index."""
    Refusal.objects.filter(Q(channel=channel) | Q(file_source__base_url__startswith=url)).delete()


def forget_storage_failures() -> None:
    """Forget what was refused because the disk had no room: it has some again."""
    Refusal.objects.filter(status=STORAGE_FAILED).delete()


def delete_expired() -> None:
    """Delete the refusals that are over."""
    expired = Refusal.objects.filter(until__lt=timezone.now())
    # Asked every few seconds: a DELETE takes SQLite's one write lock even where nothing matches.
    if expired.exists():
        expired.delete()


def is_held(request: FetchRequest, error: Exception) -> bool:
    """Whether the upstream has other bytes now than when the file first came."""
    return isinstance(error, DigestMismatch) and request.listed.pinned


def describe(request: FetchRequest, error: Exception) -> tuple[int, str]:
    """Status and sentence for clients."""
    # No host and no URL is in them: clients need not know the network behind this server. What
    # the upstream did stands in the log.
    name = request.listed.filename
    if is_held(request, error):
        return 502, pins.HELD_BACK.format(name=name)
    if isinstance(error, NotFound):
        return 404, f"The upstream lists {name} but no longer has it."
    if isinstance(error, TooSlow):
        return 504, f"{name} could not be fetched: the upstream is too slow."
    if isinstance(error, DigestMismatch):
        algorithm = request.listed.checksum.partition("=")[0]
        checksum = "sha256" if request.listed.sha256 else algorithm or "hash"
        return 502, (
            f"{name} could not be fetched from the upstream: the bytes that it sends do not have "
            f"the {checksum} or the size that its index promises."
        )
    if isinstance(error, EgressRefused):
        return 502, (
            f"This server may not fetch {name} from its upstream. An administrator can allow the "
            "host by naming it in UPSTREAM_ALLOW."
        )
    if isinstance(error, UpstreamError):
        return 502, f"{name} could not be fetched from the upstream. The server's log says why."
    if isinstance(error, NoSpace):
        detail = "could not be stored: the server's disk has no room for it now."
        return STORAGE_FAILED, f"{name} {detail}"
    if not isinstance(error, OSError):
        reason = internal_errors.report(error, f"the fetch of {name}")
        return STORAGE_FAILED, f"{name} could not be fetched. {reason}"
    return STORAGE_FAILED, f"{name} could not be stored: the server's disk is full or fails."
