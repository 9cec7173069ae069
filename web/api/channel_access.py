"""Which channel a request is about, and whether its caller may.

The rule: 404 for what the caller may not know of, 403 for what they may see but not do.
"""

from __future__ import annotations

import re

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Schema

from accounts.caller import Caller, caller_of
from accounts.errors import ApiError
from accounts.models import Token
from accounts.permissions import Level, Scope
from channels import access
from channels.models import Channel
from web.api.errors import not_found

CHANNEL = "/channels/{channel}"
SUBCHANNEL = CHANNEL + "/subchannels/{sub}"


class ChannelRef(Schema):
    """The path parameters that name a channel or subchannel."""

    channel: str
    sub: str | None = None


def visible_channel(caller: Caller, ref: ChannelRef) -> Channel:
    """The channel at this address, or 404 where the caller may not know of it."""
    channel = _find(caller, ref)
    if channel is None:
        raise not_found("subchannel" if ref.sub else "channel")
    return channel


def is_visible(caller: Caller, ref: ChannelRef) -> bool:
    """Whether there is a channel at this address that the caller may know of."""
    return _find(caller, ref) is not None


def can_see(caller: Caller, channel: Channel) -> bool:
    """Whether the caller may know of this channel."""
    public = access.effective_privacy(channel) == Channel.Privacy.PUBLIC
    covered = public or not caller.token or access.token_covers(caller.token, channel)
    return covered and access.can(caller.user, channel, Level.READ)


def _find(caller: Caller, ref: ChannelRef) -> Channel | None:
    name = ref.sub or ref.channel
    # Names are unique among channels that are not deleted.
    rows = Channel.objects.filter(deleted_at=None, name=name)
    rows = rows.filter(parent__name=ref.channel) if ref.sub else rows.filter(parent=None)
    channel = rows.select_related("parent__filter", "parent__owner", "filter", "owner").first()
    return channel if channel and can_see(caller, channel) else None


def visible_channels(caller: Caller) -> QuerySet[Channel]:
    """The channels the caller may know of; with a limited token, those it is for."""
    channels = access.visible_channels(caller.user)
    if caller.token and caller.token.resources:
        paths = [resource["channel"] for resource in caller.token.resources]
        # A token for a channel covers its subchannels, too.
        names = [path for path in paths if "/" not in path]
        covered = Q(parent=None, name__in=names) | Q(parent__name__in=names)
        for path in paths:
            top, _, sub = path.partition("/")
            if sub:
                covered |= Q(parent__name=top, name=sub)
        channels = channels.filter(covered)
    return channels


def get_channel(
    request: HttpRequest, ref: ChannelRef, *verbs: str, level: Level = Level.READ
) -> Channel:
    """The visible channel, if the caller has `level` on it and a scope for one of `verbs`."""
    caller = caller_of(request)
    # Before scopes and levels: their 403 would say that the channel exists.
    channel = visible_channel(caller, ref)
    thing = "subchannel" if channel.parent_id else "channel"
    caller.require_scope(*(Scope(f"{thing}:{verb}") for verb in verbs))
    require_level(caller, channel, level)
    return channel


def require_level(caller: Caller, channel: Channel, level: Level) -> None:
    """Raise 403 unless user and token may do `level` on the channel."""
    if not access.can(caller.user, channel, level):
        raise ApiError(
            403, f"You can see the channel {channel.path}, but you can't change it this way."
        )
    # For reading, `can_see` has judged the token already.
    if (
        level != Level.READ
        and caller.token
        and not access.token_reaches(caller.token, channel, level)
    ):
        raise ApiError(403, f"This token does not have {level} for the channel {channel.path}.")


def may_write_somewhere(token: Token) -> bool:
    """Whether the token may change any channel; without resources it may what its user may."""
    levels = [Level(resource["level"]) for resource in token.resources]
    return not levels or any(level.includes(Level.WRITE) for level in levels)


def expected_version(request: HttpRequest, pk: int) -> int | None:
    """The version that `If-Match` names; None where it names none; -1 where it cannot be ours."""
    text = request.headers.get("If-Match", "").strip()
    # RFC 9110, 13.1.1: "*" asks only that there is something to change.
    if not text or text == "*":
        return None
    match = re.fullmatch(r'(?:W/)?"(\d{1,12})\.(\d{1,9})"', text)
    # No row has the version -1, so the edit is refused with 412.
    return int(match[2]) if match and int(match[1]) == pk else -1


def etag(pk: int, version: int) -> str:
    # With the id: what is deleted and created again starts at version 1 again.
    return f'"{pk}.{version}"'
