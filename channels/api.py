"""REST: channels and subchannels, their packages and files, their revisions."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, Literal

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from ninja import Field, Path, Query, Router, Schema, Status

from accounts.answers import (
    ERRORS,
    LARGEST,
    ApiError,
    ItemList,
    Paging,
    invalid,
    listed,
    not_found,
    part,
)
from accounts.caller import Caller, caller
from channels import access, manage, packages, rollback, shapes
from channels.asking import (
    CHANNEL,
    SUBCHANNEL,
    Where,
    asked,
    etag,
    expected_version,
    need_level,
    visible,
)
from channels.models import Channel
from channels.revisions import difference
from ecosystems import registry
from mirrors import knock
from mirrors.manage import delete_channel, warn_again

router = Router(tags=["channels"])

Shape = dict[str, Any]
Filters = dict[str, Any]


class NewChannel(Schema):
    name: str
    description: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None
    filters: Filters | None = None


class ChannelChange(Schema):
    """Absent keys keep their value; `filters` replaces the whole filter."""

    description: str | None = None
    privacy: Literal["public", "authenticated", "private"] | None = None
    indexing_behavior: Literal["frozen", "default"] | None = None
    filters: Filters | None = None


class Search(Paging):
    q: str = Field("", max_length=200)
    sort: str = "name"


class Told(Schema):
    """How many file names of each kind are told."""

    limit: int = Field(1000, ge=0, le=LARGEST)


class Pinning(Schema):
    pinned: bool = True


@router.get("/account/channels", tags=["account"], response={200: ItemList, **ERRORS})
def my_channels(request: HttpRequest, paging: Query[Paging]) -> Shape:
    """The channels and subchannels you own."""
    who = caller(request)
    who.need("channel:view")
    mine = _seen(who).filter(Q(owner=who.user) | Q(parent__owner=who.user))
    return _list(mine.order_by("name", "id"), paging)


@router.get("/channels", response={200: ItemList, **ERRORS})
def list_channels(request: HttpRequest, paging: Query[Paging]) -> Shape:
    """All channels you may know of."""
    who = caller(request)
    who.need("channel:view")
    return _list(_seen(who).filter(parent=None).order_by("name"), paging)


@router.post("/channels", response={201: Shape, **ERRORS})
def create_channel(request: HttpRequest, body: NewChannel) -> Status[Shape]:
    """Create a channel; you own it."""
    who = caller(request)
    who.need("channel:create")
    who.need_level("channel", "write")
    if who.token and who.token.resources:
        raise ApiError(403, "A token that is limited to some channels cannot create another.")
    return Status(201, _create(who, body, None))


@router.get(CHANNEL + "/subchannels", response={200: ItemList, **ERRORS})
def list_subchannels(request: HttpRequest, where: Path[Where], paging: Query[Paging]) -> Shape:
    """The subchannels of a channel that you may know of."""
    parent = asked(request, where, "view")
    return _list(_seen(caller(request)).filter(parent=parent).order_by("name"), paging)


@router.post(CHANNEL + "/subchannels", response={201: Shape, **ERRORS})
def create_subchannel(request: HttpRequest, where: Path[Where], body: NewChannel) -> Status[Shape]:
    """Create a subchannel."""
    who = caller(request)
    parent = visible(who, where)
    who.need("subchannel:create", "channel:edit")
    need_level(who, parent, "write")
    return Status(201, _create(who, body, parent))


def get_channel(request: HttpRequest, where: Path[Where], response: HttpResponse) -> Shape:
    """A channel; its ETag is what If-Match wants."""
    return _shown(asked(request, where, "view", "edit"), response)


def change_channel(
    request: HttpRequest, where: Path[Where], body: ChannelChange, response: HttpResponse
) -> Shape:
    """Change, freeze or unfreeze a channel."""
    channel = asked(request, where, "edit", level="write")
    sent = body.model_dump(exclude_unset=True)
    if sent.get("privacy"):
        need_level(caller(request), channel, "manage")
    return _shown(channel, response, changed=_change(request, channel, sent))


def remove_channel(request: HttpRequest, where: Path[Where]) -> Status[Shape]:
    """Delete a channel with its mirrors and packages."""
    channel = asked(request, where, "delete", level="manage")
    expected = expected_version(request, channel.pk)
    delete_channel(channel, actor=caller(request).name, expected=expected)
    return Status(202, {"deleted": channel.path})


def list_artifacts(request: HttpRequest, where: Path[Where], search: Query[Search]) -> Shape:
    """The packages a channel lists now; at most 1,000 at once, 100 where no limit is given."""
    channel = asked(request, where, "view-artifacts", "view")
    rows = packages.listed([channel], query=search.q)
    return listed(*packages.page(rows, sort=_sort(search.sort), paging=search))


def get_artifact(request: HttpRequest, where: Path[Where], family: str, name: str) -> Shape:
    """One package."""
    channel = asked(request, where, "view-artifacts", "view")
    rows = packages.listed([channel]).filter(family=family, name=_normal(family, name))
    found, _ = packages.page(rows, sort="name", paging=Paging(offset=0, limit=1))
    if not found:
        raise not_found("package")
    return found[0]


def list_files(
    request: HttpRequest, where: Path[Where], family: str, name: str, paging: Query[Paging]
) -> Shape:
    """The files of a package."""
    channel = asked(request, where, "view-artifacts", "view")
    found = packages.files(channel, family, name=_normal(family, name), paging=paging)
    if found is None:
        raise not_found("package")
    return listed(*found)


@router.get("/artifacts", tags=["packages"], response={200: ItemList, **ERRORS})
def search_artifacts(request: HttpRequest, search: Query[Search]) -> Shape:
    """Packages over all channels you may know of."""
    who = caller(request)
    who.need("artifact:view", "channel:view-artifacts", "channel:view")
    rows = packages.listed(_seen(who).values("pk"), query=search.q)
    return listed(*packages.page(rows, sort=_sort(search.sort), paging=search))


def list_revisions(request: HttpRequest, where: Path[Where], paging: Query[Paging]) -> Shape:
    """The kept revisions, newest first."""
    channel = asked(request, where, "history", "view")
    rows = channel.revisions.filter(number__lte=channel.current).order_by("-number")
    items = [shapes.revision(row, channel.current) for row in part(rows, paging)]
    return listed(items, rows.count())


def compare_revisions(
    request: HttpRequest, where: Path[Where], span: str, told: Query[Told]
) -> Shape:
    """What changed between two revisions, written `<a>..<b>`: counts and the first files."""
    channel = asked(request, where, "history", "view")
    match = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", span, re.ASCII)
    if not match:
        raise not_found("such difference (write it as two numbers, like 3..5)")
    first, last = (_revision(channel, int(number)) for number in match.groups())
    found = asdict(difference(channel, first, last))
    lists = {key: found[key] for key in ("added", "replaced", "removed")}
    return {
        "from_revision": first,
        "to_revision": last,
        "count": {key: len(files) for key, files in lists.items()},
        **{key: files[: told.limit] for key, files in lists.items()},
    }


def roll_back(request: HttpRequest, where: Path[Where], number: int) -> Shape:
    """Show clients the content of an older revision again, and freeze the channel there."""
    channel = asked(request, where, "edit", level="write")
    _revision(channel, number)
    row = rollback.roll_back(channel, number, actor=caller(request).name)
    return shapes.revision(row, row.number)


def pin_revision(
    request: HttpRequest, where: Path[Where], number: int, body: Pinning | None = None
) -> Shape:
    """Keep a revision for ever; `{"pinned": false}` lets it go again."""
    channel = asked(request, where, "edit", level="write")
    _revision(channel, number)
    pinned = body.pinned if body else True
    row = manage.pin(channel, number, pinned=pinned, actor=caller(request).name)
    return shapes.revision(row, channel.current)


def _create(who: Caller, body: NewChannel, parent: Channel | None) -> Shape:
    channel = manage.create(
        body.name,
        who.user,
        parent=parent,
        description=body.description or "",
        privacy=body.privacy or "",
        filters=body.filters,
    )
    return shapes.one_channel(channel)


@transaction.atomic
def _change(request: HttpRequest, channel: Channel, sent: Shape) -> bool:
    """The verbs that a PUT stands for, all or none of them."""
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
        verb = manage.freeze if wish == "frozen" else manage.unfreeze
        changed = verb(channel, actor=actor, expected=expected)
        expected = None
    else:
        changed = False
    if changes or not wish:
        changed |= manage.edit(channel, changes, actor=actor, expected=expected)
    if "filters" in changes:
        warn_again(channel)
    if changed:
        transaction.on_commit(lambda: knock.channel(channel.pk))
    return changed


def _shown(channel: Channel, response: HttpResponse, **extra: Any) -> Shape:
    channel.refresh_from_db(fields=["version"])
    response["ETag"] = etag(channel.pk, channel.version)
    return {**shapes.one_channel(channel), **extra}


def _seen(who: Caller) -> Any:
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


def _list(channels: Any, paging: Paging) -> Shape:
    rows = part(shapes.counted(channels), paging)
    return listed(shapes.channel_list(rows), channels.count())


def _revision(channel: Channel, number: int) -> int:
    kept = 0 < number <= min(channel.current, LARGEST)
    if not kept or not channel.revisions.filter(number=number).exists():
        raise not_found(f"revision {number}")
    return number


def _sort(sort: str) -> str:
    if sort.removeprefix("-") not in packages.SORTS:
        raise invalid(
            "sort", f"Packages are sorted by {', '.join(packages.SORTS)}, - for downwards."
        )
    return sort


def _normal(family: str, name: str) -> str:
    try:
        return registry.of_family(family).normalize(name)
    except KeyError:
        raise not_found("package") from None


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", "", get_channel, 200, Shape),
        ("PUT", "", change_channel, 200, Shape),
        ("DELETE", "", remove_channel, 202, Shape),
        ("GET", "/artifacts", list_artifacts, 200, ItemList),
        ("GET", "/artifacts/{family}/{name}", get_artifact, 200, Shape),
        ("GET", "/artifacts/{family}/{name}/files", list_files, 200, ItemList),
        ("GET", "/revisions", list_revisions, 200, ItemList),
        ("GET", "/revisions/{span}", compare_revisions, 200, Shape),
        ("POST", "/revisions/{number}/rollback", roll_back, 200, Shape),
        ("POST", "/revisions/{number}/pin", pin_revision, 200, Shape),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
