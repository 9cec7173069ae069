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
from accounts.redirects import local_url
from channels import access
from channels.models import Channel
from mirrors.models import Mirror, Run
from mirrors.services import NOT_READABLE, may_read_source
from web.pages.channel_frame import channel_url, get_channel
from web.pages.guards import require_level, user_of


def channel_for_mirrors(request: HttpRequest, c: str, s: str | None, *, level: Level) -> Channel:
    """The channel, if the user has `level` on its mirrors."""
    # First whether the user may know of the channel: 403 would tell that it exists.
    channel = get_channel(request, c, s)
    require_level(request, Attribute.MIRROR, level)
    return get_channel(request, c, s, level=level) if level != Level.READ else channel


def get_mirror(request: HttpRequest, c: str, s: str | None, pk: int, *, level: Level) -> Mirror:
    """The mirror with this id in the channel, if the user has `level` on it."""
    channel = channel_for_mirrors(request, c, s, level=level)
    rows = Mirror.objects.filter(pk=pk, channel=channel, deleted_at=None)
    mirror = rows.select_related("upstream__channel__parent", "filter", "owner").first()
    if mirror is None:
        raise Http404(f"The channel {channel.path} no longer has this mirror.")
    # The object that is loaded with its parent and filter: templates read them.
    mirror.channel = channel
    return mirror


def get_runnable_mirror(request: HttpRequest, c: str, s: str | None, pk: int) -> Mirror:
    """The mirror, if the user may change it and read what it reads: for all that makes it run."""
    mirror = get_mirror(request, c, s, pk, level=Level.WRITE)
    if not may_read_source(mirror, Caller(user_of(request))):
        raise PermissionDenied(NOT_READABLE)
    return mirror


def get_run(mirror: Mirror, number: int | None) -> Run | None:
    """The run of this number, or the last one where none is named; None before the first."""
    runs = mirror.runs.order_by("-number")
    if number is None:
        return runs.first()
    run = runs.filter(number=number).first()
    if run is None:
        raise Http404(f"The mirror {mirror.name} has no run {number}.")
    return run


def may_write(request: HttpRequest, channel: Channel) -> bool:
    """Whether the user may change the channel's mirrors."""
    return can(request.user, Attribute.MIRROR, Level.WRITE) and access.can(
        request.user, channel, Level.WRITE
    )


def return_url(request: HttpRequest, channel: Channel, *, mirror: Mirror | None = None) -> str:
    """The list that the user came from: the URL in `next`, else the channel's tab."""
    # `next` is whatever the address says: only a URL of this server is followed.
    list_url = local_url(request, request.GET.get("next"), channel_url(channel, "channel-mirrors"))
    return f"{list_url}#mirror-{mirror.pk}" if mirror else list_url
