"""REST: channels and subchannels."""

from __future__ import annotations

from typing import Literal, TypedDict

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Field, Path, Query, Router, Status

from accounts.caller import Caller, caller_of
from accounts.errors import ApiError
from accounts.permissions import Attribute, Level, Scope
from channels import filter_forms, services
from channels.models import Channel
from mirrors import form_warnings
from mirrors.services import delete_channel
from web.api import channel_access, channel_schemas
from web.api.channel_access import (
    CHANNEL,
    SUBCHANNEL,
    ChannelRef,
    etag,
    expected_version,
    is_visible,
    require_level,
    visible_channel,
    visible_channels,
)
from web.api.channel_schemas import ChannelItem
from web.api.errors import ERRORS, invalid
from web.api.mirror_access import channel_for_mirrors
from web.api.pagination import Paging, item_list, paginate
from web.api.schemas import ItemList, JsonObject, ListAnswer, RequestBody

router = Router(tags=["channels"])


class NewChannel(RequestBody):
    READ_ONLY = channel_schemas.CHANNEL_KEYS

    name: str
    description: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None
    indexing_behavior: Literal["default"] | None = None
    filters: JsonObject | None = None


class ChannelChange(RequestBody):
    """Absent keys keep their value; `filters` replaces the whole filter."""

    READ_ONLY = channel_schemas.CHANNEL_KEYS

    name: str | None = Field(None, description="never changes")
    description: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None
    indexing_behavior: Literal["frozen", "default"] | None = None
    filters: JsonObject | None = None


class ChannelPaging(Paging):
    include_subchannels: bool = False


class NewNamespaceChannel(RequestBody):
    """`namespace` is the parent; a channel without one has none."""

    channel_name: str
    namespace: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None


class NamespaceChannel(TypedDict):
    channel_path: str


class DeletedChannel(TypedDict):
    """`deleted` is the path that the channel had."""

    deleted: str


@router.get("/account/channels", tags=["account"], response={200: ItemList, **ERRORS})
def my_channels(request: HttpRequest, paging: Query[ChannelPaging]) -> ListAnswer:
    """The channels you own, and your subchannels where they are asked for."""
    caller = caller_of(request)
    caller.require_scope(Scope.CHANNEL_VIEW)
    # Whoever owns a channel owns its subchannels, whoever made them.
    own_channels = visible_channels(caller).filter(
        Q(owner=caller.user) | Q(parent__owner=caller.user)
    )
    if not paging.include_subchannels:
        own_channels = own_channels.filter(parent=None)
    items = _page(own_channels.order_by("name", "id"), paging)
    return item_list([{**item, "access": "owner"} for item in items], own_channels.count())


@router.get("/channels", response={200: ItemList, **ERRORS})
def list_channels(request: HttpRequest, paging: Query[ChannelPaging]) -> ListAnswer:
    """All channels you may know of."""
    caller = caller_of(request)
    caller.require_scope(Scope.CHANNEL_VIEW)
    channels = visible_channels(caller)
    if not paging.include_subchannels:
        channels = channels.filter(parent=None)
    return item_list(_page(channels.order_by("name", "id"), paging), channels.count())


@router.post("/channels", response={201: JsonObject, **ERRORS})
def create_channel(request: HttpRequest, body: NewChannel) -> Status[ChannelItem]:
    """Create a channel; you own it."""
    return Status(201, _create_top(caller_of(request), body))


@router.get(CHANNEL + "/subchannels", response={200: ItemList, **ERRORS})
def list_subchannels(
    request: HttpRequest, ref: Path[ChannelRef], paging: Query[Paging]
) -> ListAnswer:
    """The subchannels of a channel that you may know of."""
    parent = channel_access.get_channel(request, ref, "view")
    subchannels = visible_channels(caller_of(request)).filter(parent=parent)
    return item_list(_page(subchannels.order_by("name"), paging), subchannels.count())


@router.post(CHANNEL + "/subchannels", response={201: JsonObject, **ERRORS})
def create_subchannel(
    request: HttpRequest, ref: Path[ChannelRef], body: NewChannel
) -> Status[ChannelItem]:
    """Create a subchannel."""
    return Status(201, _create_below(caller_of(request), ref.channel, body))


@router.post("/namespace-channels", response={200: JsonObject, 201: JsonObject, **ERRORS})
def create_namespace_channel(
    request: HttpRequest, body: NewNamespaceChannel
) -> Status[NamespaceChannel]:
    """A channel, in a namespace if one is named; 200 where it exists and you may see it."""
    caller = caller_of(request)
    names = [name for name in (body.namespace, body.channel_name) if name]
    path: NamespaceChannel = {"channel_path": "/".join(names)}
    ref = ChannelRef(channel=names[0], sub=names[1] if body.namespace else None)
    if is_visible(caller, ref):
        caller.require_scope(Scope.CHANNEL_VIEW, Scope.SUBCHANNEL_VIEW)
        return Status(200, path)
    new = NewChannel(name=body.channel_name, privacy=body.privacy)
    if body.namespace:
        _create_below(caller, body.namespace, new)
    else:
        _create_top(caller, new)
    return Status(201, path)


def get_channel(request: HttpRequest, ref: Path[ChannelRef], response: HttpResponse) -> ChannelItem:
    """A channel; its ETag is what If-Match wants."""
    return _with_etag(channel_access.get_channel(request, ref, "view", "edit"), response)


def change_channel(
    request: HttpRequest, ref: Path[ChannelRef], body: ChannelChange, response: HttpResponse
) -> ChannelItem:
    """Change, freeze or unfreeze a channel."""
    channel = channel_access.get_channel(request, ref, "edit", level=Level.WRITE)
    if body.name not in (None, channel.name):
        raise invalid("name", "The name of a channel cannot be changed: clients use it in URLs.")
    if body.privacy:
        # Privacy decides who reads the channel, so it takes more than an edit does.
        require_level(caller_of(request), channel, Level.MANAGE)
    changed = _change(request, channel, body)
    return {**_with_etag(channel, response), "changed": changed}


def remove_channel(request: HttpRequest, ref: Path[ChannelRef]) -> Status[DeletedChannel]:
    """Delete a channel with its mirrors and packages."""
    channel = channel_access.get_channel(request, ref, "delete", level=Level.MANAGE)
    if channel.mirrors.filter(deleted_at=None).exists():
        # It deletes them, too, so it asks what that asks.
        channel_for_mirrors(request, ref, Level.WRITE)
    expected = expected_version(request, channel.pk)
    delete_channel(channel, actor=caller_of(request).name, expected=expected)
    return Status(202, {"deleted": channel.path})


def _create_top(caller: Caller, body: NewChannel) -> ChannelItem:
    caller.require_scope(Scope.CHANNEL_CREATE)
    caller.require_level(Attribute.CHANNEL, Level.WRITE)
    # Its resources do not name the new channel, so it could not change what it makes.
    if caller.token and caller.token.resources:
        raise ApiError(403, "A token that is limited to some channels cannot create another.")
    return _create(caller, body, None)


def _create_below(caller: Caller, name: str, body: NewChannel) -> ChannelItem:
    # Before scopes and levels: their 403 would say that the channel exists.
    parent = visible_channel(caller, ChannelRef(channel=name))
    caller.require_scope(Scope.SUBCHANNEL_CREATE, Scope.CHANNEL_EDIT)
    require_level(caller, parent, Level.WRITE)
    return _create(caller, body, parent)


def _create(caller: Caller, body: NewChannel, parent: Channel | None) -> ChannelItem:
    channel = services.create(
        body.name,
        caller.user,
        parent=parent,
        description=body.description or "",
        privacy=body.privacy or "",
        filters=body.filters,
    )
    return channel_schemas.channel_item(channel)


def _change(request: HttpRequest, channel: Channel, body: ChannelChange) -> bool:
    """Do all that a PUT asks for, or nothing of it; whether anything became different."""
    with filter_forms.parsing_once():
        # Before the transaction: a long list takes seconds to read.
        filter_forms.validated(body.filters or {}, "channel")
        with transaction.atomic():
            changed = _freeze_and_edit(request, channel, body)
    if body.model_fields_set & {"filters", "privacy"}:
        # The service saved rows of its own; the warnings are to judge by what is stored now.
        channel.filter.refresh_from_db()
        channel.refresh_from_db(fields=["privacy"])
        form_warnings.update_for_channel(channel)
    return changed


def _freeze_and_edit(request: HttpRequest, channel: Channel, body: ChannelChange) -> bool:
    actor, expected = caller_of(request).name, expected_version(request, channel.pk)
    sent = body.model_dump(exclude_unset=True)
    changes = services.Changes()
    if "description" in sent:
        changes["description"] = sent["description"] or ""
    if "privacy" in sent:
        changes["privacy"] = sent["privacy"] or ""
    if "filters" in sent:
        changes["filters"] = sent["filters"]
    if changes.get("privacy") == "":
        raise invalid("privacy", "The privacy of a channel is public, authenticated or private.")
    changed = False
    if body.indexing_behavior:
        frozen = body.indexing_behavior == "frozen"
        verb = services.freeze if frozen else services.unfreeze
        changed = verb(channel, actor=actor, expected=expected)
        # The verb compared the version and raised it; the edit must not compare again.
        expected = None
    if changes or not body.indexing_behavior:
        changed |= services.edit(channel, changes, actor=actor, expected=expected)
    return changed


def _with_etag(channel: Channel, response: HttpResponse) -> ChannelItem:
    # A change may have raised it since the row was read.
    channel.refresh_from_db(fields=["version"])
    response["ETag"] = etag(channel.pk, channel.version)
    return channel_schemas.channel_item(channel)


def _page(channels: QuerySet[Channel], paging: Paging) -> list[ChannelItem]:
    return channel_schemas.channel_items(paginate(channel_schemas.with_counts(channels), paging))


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", "", get_channel, 200, JsonObject),
        ("PUT", "", change_channel, 200, JsonObject),
        ("DELETE", "", remove_channel, 202, JsonObject),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
