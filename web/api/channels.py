"""REST: channels and subchannels."""

from __future__ import annotations

from typing import Any, Literal

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Field, Path, Query, Router, Status

from accounts.caller import Caller, caller
from accounts.errors import ApiError
from accounts.permissions import Attribute, Level, Scope
from channels import filter_forms, services
from channels.models import Channel
from mirrors import form_warnings
from mirrors.services import delete_channel
from web.api import channel_schemas
from web.api.channel_access import (
    CHANNEL,
    SUBCHANNEL,
    Where,
    asked,
    etag,
    expected_version,
    is_visible,
    need_level,
    seen,
    visible,
)
from web.api.errors import ERRORS, invalid
from web.api.mirror_access import mirrors_of
from web.api.pagination import Paging, item_list, paginate
from web.api.schemas import ItemList, RequestBody

router = Router(tags=["channels"])

Shape = dict[str, Any]
Filters = dict[str, Any]


class NewChannel(RequestBody):
    READ_ONLY = channel_schemas.CHANNEL_KEYS

    name: str
    description: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None
    indexing_behavior: Literal["default"] | None = None
    filters: Filters | None = None


class ChannelChange(RequestBody):
    """Absent keys keep their value; `filters` replaces the whole filter."""

    READ_ONLY = channel_schemas.CHANNEL_KEYS

    name: str | None = Field(None, description="never changes")
    description: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None
    indexing_behavior: Literal["frozen", "default"] | None = None
    filters: Filters | None = None


class Listed(Paging):
    include_subchannels: bool = False


class NewNamespaceChannel(RequestBody):
    """`namespace` is the parent; a channel without one has none."""

    channel_name: str
    namespace: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None


@router.get("/account/channels", tags=["account"], response={200: ItemList, **ERRORS})
def my_channels(request: HttpRequest, paging: Query[Listed]) -> Shape:
    """The channels you own, and your subchannels where they are asked for."""
    who = caller(request)
    who.need(Scope.CHANNEL_VIEW)
    mine = seen(who).filter(Q(owner=who.user) | Q(parent__owner=who.user))
    if not paging.include_subchannels:
        mine = mine.filter(parent=None)
    return _list(mine.order_by("name", "id"), paging, access="owner")


@router.get("/channels", response={200: ItemList, **ERRORS})
def list_channels(request: HttpRequest, paging: Query[Listed]) -> Shape:
    """All channels you may know of."""
    who = caller(request)
    who.need(Scope.CHANNEL_VIEW)
    found = seen(who)
    if not paging.include_subchannels:
        found = found.filter(parent=None)
    return _list(found.order_by("name", "id"), paging)


@router.post("/channels", response={201: Shape, **ERRORS})
def create_channel(request: HttpRequest, body: NewChannel) -> Status[Shape]:
    """Create a channel; you own it."""
    return Status(201, _create_top(caller(request), body))


@router.get(CHANNEL + "/subchannels", response={200: ItemList, **ERRORS})
def list_subchannels(request: HttpRequest, where: Path[Where], paging: Query[Paging]) -> Shape:
    """The subchannels of a channel that you may know of."""
    parent = asked(request, where, "view")
    return _list(seen(caller(request)).filter(parent=parent).order_by("name"), paging)


@router.post(CHANNEL + "/subchannels", response={201: Shape, **ERRORS})
def create_subchannel(request: HttpRequest, where: Path[Where], body: NewChannel) -> Status[Shape]:
    """Create a subchannel."""
    return Status(201, _create_below(caller(request), where.channel, body))


@router.post("/namespace-channels", response={200: Shape, 201: Shape, **ERRORS})
def create_namespace_channel(request: HttpRequest, body: NewNamespaceChannel) -> Status[Shape]:
    """A channel, in a namespace if one is named; 200 where it exists and you may see it."""
    who = caller(request)
    names = [name for name in (body.namespace, body.channel_name) if name]
    path = {"channel_path": "/".join(names)}
    where = Where(channel=names[0], sub=names[1] if body.namespace else None)
    if is_visible(who, where):
        who.need(Scope.CHANNEL_VIEW, Scope.SUBCHANNEL_VIEW)
        return Status(200, path)
    new = NewChannel(name=body.channel_name, privacy=body.privacy)
    if body.namespace:
        _create_below(who, body.namespace, new)
    else:
        _create_top(who, new)
    return Status(201, path)


def get_channel(request: HttpRequest, where: Path[Where], response: HttpResponse) -> Shape:
    """A channel; its ETag is what If-Match wants."""
    return _shown(asked(request, where, "view", "edit"), response)


def change_channel(
    request: HttpRequest, where: Path[Where], body: ChannelChange, response: HttpResponse
) -> Shape:
    """Change, freeze or unfreeze a channel."""
    channel = asked(request, where, "edit", level=Level.WRITE)
    sent = body.model_dump(exclude_unset=True)
    if body.name not in (None, channel.name):
        raise invalid("name", "The name of a channel never changes; clients have it in addresses.")
    if sent.get("privacy"):
        need_level(caller(request), channel, Level.MANAGE)
    return _shown(channel, response, changed=_change(request, channel, sent))


def remove_channel(request: HttpRequest, where: Path[Where]) -> Status[Shape]:
    """Delete a channel with its mirrors and packages."""
    channel = asked(request, where, "delete", level=Level.MANAGE)
    if channel.mirrors.filter(deleted_at=None).exists():
        # It deletes them, too, so it asks what that asks.
        mirrors_of(request, where, Level.WRITE)
    expected = expected_version(request, channel.pk)
    delete_channel(channel, actor=caller(request).name, expected=expected)
    return Status(202, {"deleted": channel.path})


def _create_top(who: Caller, body: NewChannel) -> Shape:
    who.need(Scope.CHANNEL_CREATE)
    who.need_level(Attribute.CHANNEL, Level.WRITE)
    if who.token and who.token.resources:
        raise ApiError(403, "A token that is limited to some channels cannot create another.")
    return _create(who, body, None)


def _create_below(who: Caller, name: str, body: NewChannel) -> Shape:
    parent = visible(who, Where(channel=name))
    who.need(Scope.SUBCHANNEL_CREATE, Scope.CHANNEL_EDIT)
    need_level(who, parent, Level.WRITE)
    return _create(who, body, parent)


def _create(who: Caller, body: NewChannel, parent: Channel | None) -> Shape:
    channel = services.create(
        body.name,
        who.user,
        parent=parent,
        description=body.description or "",
        privacy=body.privacy or "",
        filters=body.filters,
    )
    return channel_schemas.one_channel(channel)


def _change(request: HttpRequest, channel: Channel, sent: Shape) -> bool:
    """The verbs that a PUT stands for, all or none of them."""
    with filter_forms.keeping():
        # Before the transaction: a long list takes seconds to read.
        filter_forms.checked(sent.get("filters") or {}, "channel")
        with transaction.atomic():
            changed = _changed(request, channel, sent)
    if sent.keys() & {"filters", "privacy"}:
        channel.filter.refresh_from_db()
        channel.refresh_from_db(fields=["privacy"])
        form_warnings.again(channel)
    return changed


def _changed(request: HttpRequest, channel: Channel, sent: Shape) -> bool:
    actor, expected = caller(request).name, expected_version(request, channel.pk)
    changes: Shape = {
        key: sent[key] if key == "filters" else sent[key] or ""
        for key in ("description", "privacy", "filters")
        if key in sent
    }
    if changes.get("privacy") == "":
        raise invalid("privacy", "A channel is public, authenticated or private.")
    wish = sent.get("indexing_behavior")
    if wish:
        verb = services.freeze if wish == "frozen" else services.unfreeze
        changed = verb(channel, actor=actor, expected=expected)
        expected = None
    else:
        changed = False
    if changes or not wish:
        changed |= services.edit(channel, changes, actor=actor, expected=expected)
    return changed


def _shown(channel: Channel, response: HttpResponse, **extra: Any) -> Shape:
    channel.refresh_from_db(fields=["version"])
    response["ETag"] = etag(channel.pk, channel.version)
    return {**channel_schemas.one_channel(channel), **extra}


def _list(channels: Any, paging: Paging, **extra: Any) -> Shape:
    rows = paginate(channel_schemas.counted(channels), paging)
    items = [{**shape, **extra} for shape in channel_schemas.channel_list(rows)]
    return item_list(items, channels.count())


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", "", get_channel, 200, Shape),
        ("PUT", "", change_channel, 200, Shape),
        ("DELETE", "", remove_channel, 202, Shape),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
