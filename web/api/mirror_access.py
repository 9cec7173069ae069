"""Which mirror a request is about, whether its caller may, and what its form says.

The rule: 404 for what the caller may not know of, 403 for what they may see but not do.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Field

from accounts.caller import caller
from accounts.errors import ApiError
from accounts.permissions import Attribute, Level, Scope
from channels.models import Channel
from mirrors.models import Mirror
from mirrors.services import NOT_READABLE, may_read_source
from web.api.channel_access import Where, need_level, visible
from web.api.errors import not_found
from web.api.mirror_schemas import MIRROR_KEYS
from web.api.schemas import RequestBody

MIRROR = "/mirrors/{mirror}"


class MirrorBody(RequestBody):
    """A mirror's form. Absent keys keep their value (or get their default, when created)."""

    READ_ONLY = MIRROR_KEYS

    mirror_name: str | None = None
    source_root: str | None = None
    mirror_mode: str | None = Field(None, description="active or passive; never changes")
    mirror_type: str | None = Field(None, description="conda; never changes")
    cron: str | None = Field(None, description="five fields; monthly where absent")
    cron_timezone: str | None = None
    filters: dict[str, Any] | None = Field(None, description="replaces the whole filter")
    run_now: bool | None = None
    publish_to_more_readers: bool | None = Field(
        None,
        description="the source is a channel of this server that has fewer readers than this one: "
        "publish it all the same; needs manage on the source",
    )
    proxy: str | None = Field(None, description="http://[user:password@]host[:port]; '' for none")


class OfMirror(Where):
    """The path parameters that name a mirror: its channel, and its id or name."""

    mirror: str


def mirrors_of(request: HttpRequest, where: Where, level: Level) -> Channel:
    """The channel, if the caller has `level` on its mirrors; reading them is enough to read."""
    who = caller(request)
    channel = visible(who, where)
    thing = "subchannel" if channel.parent_id else "channel"
    edit = Scope(f"{thing}.mirror:edit")
    who.need(*((edit, Scope(f"{thing}.mirror:view")) if level == Level.READ else (edit,)))
    who.need_level(Attribute.MIRROR, level)
    need_level(who, channel, level)
    return channel


def of_request(request: HttpRequest, where: OfMirror, level: Level) -> Mirror:
    """The mirror that the address names, if the caller has `level` on its channel's mirrors."""
    return find(mirrors_of(request, where, level), where.mirror)


def with_source(request: HttpRequest, where: OfMirror) -> Mirror:
    """The mirror, if the caller may change it and read what it reads: for all that makes it run."""
    mirror = of_request(request, where, Level.WRITE)
    if not may_read_source(mirror, caller(request)):
        raise ApiError(403, NOT_READABLE)
    return mirror


def find(channel: Channel, text: str) -> Mirror:
    """A channel's mirror by its id or its name (which never looks like an id)."""
    rows = Mirror.objects.filter(channel=channel, deleted_at=None)
    rows = rows.select_related("channel__parent", "upstream__channel__parent", "filter", "owner")
    if text.isascii() and text.isdecimal():
        found = rows.filter(pk=int(text)).first() if len(text) < 19 else None
    else:
        found = rows.filter(name=text).first()
    if found is None:
        raise not_found("mirror")
    return found


def sent_keys(body: MirrorBody) -> dict[str, Any]:
    """The keys that stand in the body, null or not."""
    return body.model_dump(exclude_unset=True)
