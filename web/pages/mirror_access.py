"""Which mirror a page is about, and whether the user may see or change it.

The rule is the API's: the role's attribute “mirror” has the level, and so has the user on the
channel. 404 for what one may not know of, 403 for what one may see but not do.
"""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from accounts.access import can
from accounts.caller import Caller
from accounts.permissions import Attribute, Level
from accounts.redirects import inside
from channels import access
from channels.models import Channel
from mirrors.models import Mirror, Run
from mirrors.services import NOT_READABLE, may_read_source
from web.pages.channel_frame import address, shown
from web.pages.guards import require_level, user_of


def channel_of(request: HttpRequest, c: str, s: str | None, *, level: Level) -> Channel:
    """The channel, if the user has `level` on its mirrors."""
    channel = shown(request, c, s)
    require_level(request, Attribute.MIRROR, level)
    return shown(request, c, s, level=level) if level != Level.READ else channel


def mirror_of(request: HttpRequest, c: str, s: str | None, pk: int, *, level: Level) -> Mirror:
    """The mirror with this id in the channel, if the user has `level` on it."""
    channel = channel_of(request, c, s, level=level)
    rows = Mirror.objects.filter(pk=pk, channel=channel, deleted_at=None)
    found = rows.select_related("upstream__channel__parent", "filter", "owner").first()
    if found is None:
        raise Http404(f"The channel {channel.path} has no such mirror any more.")
    found.channel = channel
    return found


def runnable(request: HttpRequest, c: str, s: str | None, pk: int) -> Mirror:
    """The mirror, if the user may change it and read what it reads: for all that makes it run."""
    mirror = mirror_of(request, c, s, pk, level=Level.WRITE)
    if not may_read_source(mirror, Caller(user_of(request))):
        raise PermissionDenied(NOT_READABLE)
    return mirror


def run_of(mirror: Mirror, number: int | None) -> Run | None:
    """The run of this number, or the last one where none is named; None before the first."""
    runs = mirror.runs.order_by("-number")
    if number is None:
        return runs.first()
    found = runs.filter(number=number).first()
    if found is None:
        raise Http404(f"The mirror {mirror.name} has no run {number}.")
    return found


def may_write(request: HttpRequest, channel: Channel) -> bool:
    """Whether the user may change the channel's mirrors."""
    return can(request.user, Attribute.MIRROR, Level.WRITE) and access.can(
        request.user, channel, Level.WRITE
    )


def back(request: HttpRequest, channel: Channel, *, mirror: Mirror | None = None) -> str:
    """The list the user came from: an address of this server in `next`, else the channel's tab."""
    where = inside(request, request.GET.get("next"), address(channel, "channel-mirrors"))
    return f"{where}#mirror-{mirror.pk}" if mirror else where
