"""Pages: all channels, create a channel, a channel's overview and subchannels."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.access import can as role_can
from accounts.permissions import Attribute, Level
from channels import access, services
from channels.errors import WrongState
from channels.models import Channel
from history.models import Event
from web.api import channel_schemas
from web.pages import mirror_rows
from web.pages.channel_forms import ChannelForm, add_errors
from web.pages.channel_frame import channel_url, get_channel, render_tab
from web.pages.guards import require_level, signed_in, user_of
from web.pages.mirror_access import may_write
from web.pages.pagination import paginate, text_parameter
from web.pages.rendering import render
from web.pages.snippets import TOKEN, snippets

# What an address may sort by: no other column, and no column of another table.
SORTS = {"name": "name", "updated": "updated_at", "downloads": "download_count"}


@signed_in
def channels(request: HttpRequest) -> HttpResponse:
    """All channels that the user may read."""
    query = text_parameter(request, "q")
    privacy = request.GET.get("privacy", "")
    sort = request.GET.get("sort", "name")
    if sort.removeprefix("-") not in SORTS:
        sort = "name"
    rows = access.visible_channels(request.user).filter(parent=None)
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(description__icontains=query))
    if privacy in Channel.Privacy.values:
        rows = rows.filter(privacy=privacy)
    order = ("-" if sort.startswith("-") else "") + SORTS[sort.removeprefix("-")]
    page = paginate(request, rows.order_by(order, "pk"))
    context = {
        "page": page,
        "items": _channel_items(page.rows),
        "query": query,
        "privacy": privacy,
        "privacies": Channel.Privacy.choices,
        "sort": sort,
        "may_create": role_can(request.user, Attribute.CHANNEL, Level.WRITE),
    }
    return render(request, "channels/list.html", context)


@signed_in
def create(request: HttpRequest) -> HttpResponse:
    """A new channel, which belongs to its creator."""
    require_level(request, Attribute.CHANNEL, Level.WRITE)
    return _create(request, None)


@signed_in
def create_subchannel(request: HttpRequest, c: str) -> HttpResponse:
    """A new subchannel."""
    return _create(request, get_channel(request, c, level=Level.WRITE))


def _create(request: HttpRequest, parent: Channel | None) -> HttpResponse:
    initial = {"privacy": parent.privacy} if parent else {"privacy": "authenticated"}
    form = ChannelForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            channel = services.create(
                data["name"],
                user_of(request),
                parent=parent,
                description=data["description"],
                privacy=data["privacy"],
                filters={"types": data["types"]},
            )
        except ValidationError as error:
            add_errors(form, error)
        except WrongState as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Channel {channel.path} created.")
            return redirect(channel_url(channel))
    context = {"form": form, "parent": parent}
    return render(request, "channels/create.html", context)


@signed_in
def overview(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """What the channel is, what fills it, how clients use it."""
    channel = get_channel(request, c, s)
    context = {
        "snippets": snippets(channel),
        "token": TOKEN,
        "needs_token": access.effective_privacy(channel) != Channel.Privacy.PUBLIC,
        "mirrors": _mirrors(request, channel),
        "next": request.path,
        # Only what happened to the channel: the packages of one publication would fill the list.
        "events": Event.objects.filter(channel_id=channel.pk, revision=None).order_by("-id")[:6],
    }
    return render_tab(
        request, channel, "channel", template="channels/overview.html", context=context
    )


@signed_in
def subchannels(request: HttpRequest, c: str) -> HttpResponse:
    """The subchannels of a channel."""
    channel = get_channel(request, c)
    rows = access.visible_channels(request.user).filter(parent=channel).order_by("name")
    page = paginate(request, rows)
    return render_tab(
        request,
        channel,
        "channel-subchannels",
        template="channels/subchannels.html",
        context={"page": page, "items": _channel_items(page.rows)},
    )


def _channel_items(rows: Sequence[Channel]) -> list[dict[str, object]]:
    """These channels as the API has them, in the same order."""
    # Counted for this page only: counts over all channels would read every revision.
    order = [row.pk for row in rows]
    items = channel_schemas.channel_items(
        channel_schemas.with_counts(Channel.objects.filter(pk__in=order))
    )
    by_id = {item["id"]: item for item in items}
    paths = {row.pk: row.path for row in rows}
    return [{**by_id[pk], "path": paths[pk]} for pk in order]


def _mirrors(request: HttpRequest, channel: Channel) -> list[mirror_rows.MirrorRow]:
    if not role_can(request.user, Attribute.MIRROR, Level.READ) and not access.is_owner(
        request.user, channel
    ):
        return []
    # The tab has all of them, page by page.
    mirrors = mirror_rows.all_mirrors().filter(channel=channel).order_by("name")[:10]
    return mirror_rows.build_rows(mirrors, may_write=may_write(request, channel))
