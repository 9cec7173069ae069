"""Which channel a request is about, and whether its caller may.

The rule: 404 for what the caller may not know of, 403 for what they may see but not do.
"""

from __future__ import annotations

import re

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Schema

from accounts.caller import Caller, caller
from accounts.errors import ApiError
from accounts.models import Token
from accounts.permissions import Level, Scope
from channels import access
from channels.models import Channel
from web.api.errors import not_found

CHANNEL = "/channels/{channel}"
SUBCHANNEL = CHANNEL + "/subchannels/{sub}"


class Where(Schema):
    """The path parameters that name a channel or subchannel."""

    channel: str
    sub: str | None = None


def visible(who: Caller, where: Where) -> Channel:
    """The channel at this address, or 404 where the caller may not know of it."""
    found = _find(who, where)
    if found is None:
        raise not_found("subchannel" if where.sub else "channel")
    return found


def is_visible(who: Caller, where: Where) -> bool:
    """Whether there is a channel at this address that the caller may know of."""
    return _find(who, where) is not None


def knows(who: Caller, channel: Channel) -> bool:
    """Whether the caller may know of this channel."""
    public = access.privacy(channel) == Channel.Privacy.PUBLIC
    covered = public or not who.token or access.covers(who.token, channel)
    return covered and access.can(who.user, channel, Level.READ)


def _find(who: Caller, where: Where) -> Channel | None:
    name = where.sub or where.channel
    rows = Channel.objects.filter(deleted_at=None, name=name)
    rows = rows.filter(parent__name=where.channel) if where.sub else rows.filter(parent=None)
    found = rows.select_related("parent__filter", "parent__owner", "filter", "owner").first()
    return found if found and knows(who, found) else None


def seen(who: Caller) -> QuerySet[Channel]:
    """The channels the caller may know of; with a limited token, those it is for."""
    channels = access.visible_channels(who.user)
    if who.token and who.token.resources:
        paths = [resource["channel"] for resource in who.token.resources]
        tops = [path for path in paths if "/" not in path]
        reach = Q(parent=None, name__in=tops) | Q(parent__name__in=tops)
        for path in paths:
            top, _, sub = path.partition("/")
            if sub:
                reach |= Q(parent__name=top, name=sub)
        channels = channels.filter(reach)
    return channels


def asked(request: HttpRequest, where: Where, *verbs: str, level: Level = Level.READ) -> Channel:
    """The visible channel, if the caller has `level` on it and a scope for one of `verbs`."""
    who = caller(request)
    channel = visible(who, where)
    thing = "subchannel" if channel.parent_id else "channel"
    who.need(*(Scope(f"{thing}:{verb}") for verb in verbs))
    need_level(who, channel, level)
    return channel


def need_level(who: Caller, channel: Channel, level: Level) -> None:
    """Raise 403 unless user and token may do `level` on the channel."""
    if not access.can(who.user, channel, level):
        raise ApiError(403, f"You may see the channel {channel.path}, but not change it this way.")
    if level != Level.READ and who.token and not access.reaches(who.token, channel, level):
        raise ApiError(403, f"This token does not have {level} for the channel {channel.path}.")


def writes_somewhere(token: Token) -> bool:
    """Whether the token may change any channel; without resources it may what its user may."""
    levels = [Level(resource["level"]) for resource in token.resources]
    return not levels or any(level.includes(Level.WRITE) for level in levels)


def expected_version(request: HttpRequest, pk: int) -> int | None:
    """The version that `If-Match` names; None where it names none; -1 where it cannot be ours."""
    text = request.headers.get("If-Match", "").strip()
    if not text or text == "*":
        return None
    match = re.fullmatch(r'(?:W/)?"(\d{1,12})\.(\d{1,9})"', text)
    return int(match[2]) if match and int(match[1]) == pk else -1


def etag(pk: int, version: int) -> str:
    return f'"{pk}.{version}"'
