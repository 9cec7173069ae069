"""Which mirror a request is about, whether its caller may, and what its form says.

The rule: 404 for what the caller may not know of, 403 for what they may see but not do.
"""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Field

from accounts.caller import caller_of
from accounts.errors import ApiError
from accounts.permissions import Attribute, Level, Scope
from channels.models import Channel
from mirrors.models import Mirror
from mirrors.services import NOT_READABLE, may_read_source
from web.api.channel_access import ChannelRef, require_level, visible_channel
from web.api.errors import not_found
from web.api.mirror_schemas import MIRROR_KEYS
from web.api.schemas import JsonObject, RequestBody

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
    filters: JsonObject | None = Field(None, description="replaces the whole filter")
    minimum_age_days: int | None = Field(
        None, description="only files that have been public for so many days; 0 for any age"
    )
    age_exceptions: list[JsonObject] | None = Field(
        None, description='[{"spec": "numpy==2.1.0", "expires_at": "2026-12-31" or null}]'
    )
    replaced_files: str | None = Field(
        None, description="follow or hold new bytes under a listed file name; Python always holds"
    )
    run_now: bool | None = None
    publish_to_more_readers: bool | None = Field(
        None,
        description="the source is a channel of this server that has fewer readers than this one: "
        "publish it all the same; needs manage on the source",
    )
    proxy: str | None = Field(None, description="http://[user:password@]host[:port]; '' for none")


class MirrorRef(ChannelRef):
    """The path parameters that name a mirror: its channel, and its id or name."""

    mirror: str


def channel_for_mirrors(request: HttpRequest, ref: ChannelRef, level: Level) -> Channel:
    """The channel, if the caller has `level` on its mirrors; reading them is enough to read."""
    caller = caller_of(request)
    # First, so that who may not see the channel gets 404 and not 403.
    channel = visible_channel(caller, ref)
    thing = "subchannel" if channel.parent_id else "channel"
    edit = Scope(f"{thing}.mirror:edit")
    # Who may edit mirrors may read them.
    caller.require_scope(
        *((edit, Scope(f"{thing}.mirror:view")) if level == Level.READ else (edit,))
    )
    caller.require_level(Attribute.MIRROR, level)
    require_level(caller, channel, level)
    return channel


def requested_mirror(request: HttpRequest, ref: MirrorRef, level: Level) -> Mirror:
    """The mirror that the address names, if the caller has `level` on its channel's mirrors."""
    return find_mirror(channel_for_mirrors(request, ref, level), ref.mirror)


def runnable_mirror(request: HttpRequest, ref: MirrorRef) -> Mirror:
    """The mirror, if the caller may change it and read what it reads: for all that makes it run."""
    mirror = requested_mirror(request, ref, Level.WRITE)
    if not may_read_source(mirror, caller_of(request)):
        raise ApiError(403, NOT_READABLE)
    return mirror


def find_mirror(channel: Channel, id_or_name: str) -> Mirror:
    """A channel's mirror by its id or its name (which never looks like an id)."""
    rows = Mirror.objects.filter(channel=channel, deleted_at=None)
    rows = rows.select_related("channel__parent", "upstream__channel__parent", "filter", "owner")
    if id_or_name.isascii() and id_or_name.isdecimal():
        # More than 18 digits may not fit into 64 bits, which databases refuse.
        mirror = rows.filter(pk=int(id_or_name)).first() if len(id_or_name) < 19 else None
    else:
        mirror = rows.filter(name=id_or_name).first()
    if mirror is None:
        raise not_found("mirror")
    return mirror


def sent_fields(body: MirrorBody) -> JsonObject:
    """The keys that stand in the body, null or not."""
    # An absent key keeps its value, so it must stay distinct from null.
    return body.model_dump(exclude_unset=True)
