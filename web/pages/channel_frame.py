"""The frame of every page about a channel: header, banner, actions, tabs.

The rule: a page gets its channel only from `get_channel` (404 for what a user may not know of, 403
for what a user may see but not do) and leaves only through `render_tab`; the pages about mirrors
and history do so, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from accounts.access import can as role_can
from accounts.permissions import Attribute, Level
from channels import access
from channels.models import Channel, Revision
from mirrors.models import Mirror
from web.pages.rendering import Context, render

TABS = (
    ("channel", "Overview"),
    ("channel-packages", "Packages"),
    ("channel-subchannels", "Subchannels"),
    ("channel-mirrors", "Mirrors"),
    ("channel-cves", "CVEs"),
    ("channel-history", "History"),
    ("channel-revisions", "Revisions"),
    ("channel-settings", "Settings"),
)
"""The URL name and the label of each tab; `render_tab` takes the URL name of the active one."""


@dataclass(frozen=True)
class Tab:
    label: str
    url: str
    current: bool
    count: int | None = None


def get_channel(
    request: HttpRequest, c: str, s: str | None = None, *, level: Level = Level.READ
) -> Channel:
    """The channel at `/channels/<c>/[<s>/]`, if the user has this level on it."""
    path = f"{c}/{s}" if s else c
    rows = Channel.objects.at(path)
    channel_row = rows.select_related("parent__filter", "filter", "owner").first()
    # 404 and not 403: whoever may not read a channel must not learn that it exists.
    if channel_row is None or not access.can(request.user, channel_row, Level.READ):
        raise Http404(f"Channel {path} does not exist, or you don't have access to it.")
    channel: Channel = channel_row
    if not access.can(request.user, channel, level):
        raise PermissionDenied(
            f"You can see the channel {path}, but you can't change it this way. You must be its "
            f"owner or have a role whose attribute “channel” is “{level}”."
        )
    return channel


def channel_url(channel: Channel | str, page: str = "channel", /, **more: object) -> str:
    """The URL of one of the channel's pages; `page` is its URL name."""
    path = channel.path if isinstance(channel, Channel) else channel
    top, _, sub = path.partition("/")
    url_kwargs = {"c": top, "s": sub} if sub else {"c": top}
    return reverse(page, kwargs={**url_kwargs, **more})


def render_tab(
    request: HttpRequest,
    channel: Channel,
    active_tab: str,
    *,
    template: str,
    context: Context | None = None,
    status: int = 200,
) -> HttpResponse:
    """A page in the frame of its channel; `template` extends `channels/frame.html`."""
    # Also in a dialog, which shows no frame: the pages themselves read some of it.
    frame = _frame(request, channel, active_tab)
    return render(request, template, {**frame, **(context or {})}, status=status)


def _frame(request: HttpRequest, channel: Channel, active_tab: str) -> Context:
    may_write = access.can(request.user, channel, Level.WRITE)
    revision = Revision.objects.filter(channel=channel, number=channel.current).first()
    counts = {
        "channel-packages": revision.packages if revision else 0,
        "channel-mirrors": Mirror.objects.filter(channel=channel, deleted_at=None).count(),
        "channel-subchannels": channel.subchannels.filter(deleted_at=None).count(),
    }
    return {
        "channel": channel,
        "privacy": access.effective_privacy(channel),
        "revision": revision,
        "counts": counts,
        "may_write": may_write,
        "may_manage": access.can(request.user, channel, Level.MANAGE),
        "create_mirror": may_write
        and role_can(request.user, Attribute.MIRROR, Level.WRITE)
        and channel_url(channel, "mirror-create"),
        # Nothing is published while a channel is frozen, however much waits.
        "publishing": channel.requested_version > channel.published_version
        and not channel.frozen_at,
        "tabs": [
            Tab(label, channel_url(channel, name), name == active_tab, counts.get(name))
            for name, label in TABS
            # Channels nest one level.
            if not (channel.parent_id and name == "channel-subchannels")
        ],
    }
