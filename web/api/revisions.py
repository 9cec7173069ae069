"""REST: the revisions of a channel, what differs between two, rollback and pins."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from ninja import Field, Path, Query, Router, Schema

from accounts.caller import caller_of
from accounts.permissions import Level
from channels import rollback, services
from channels.models import Channel
from channels.revisions import KINDS, difference
from web.api import channel_schemas
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.errors import ERRORS, invalid, not_found
from web.api.pagination import MAX_NUMBER, Paging, item_list, paginate
from web.api.schemas import ItemList, RequestBody

router = Router(tags=["channels"])

Shape = dict[str, Any]
MAX_FILES = 10_000


class FilePaging(Schema):
    """How many file names are told, and from where on: `next` of the answer before."""

    limit: int = Field(1000, ge=0, le=MAX_FILES)
    after: str = Field("", max_length=200)


class Pinning(RequestBody):
    pinned: bool = True


def list_revisions(request: HttpRequest, ref: Path[ChannelRef], paging: Query[Paging]) -> Shape:
    """The kept revisions, newest first."""
    channel = get_channel(request, ref, "history", "view")
    rows = channel.revisions.filter(number__lte=channel.current).order_by("-number")
    items = [channel_schemas.revision_item(row, channel.current) for row in paginate(rows, paging)]
    return item_list(items, rows.count())


def compare_revisions(
    request: HttpRequest, ref: Path[ChannelRef], span: str, paging: Query[FilePaging]
) -> Shape:
    """What changed between two revisions, written `<a>..<b>`: counts, and files by their names.

    `next` is null behind the last file, else what to send as `after` to go on; a part may have
    fewer files than `limit`. Where `count_exact` is false, there are at least so many.
    """
    channel = get_channel(request, ref, "history", "view")
    match = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", span, re.ASCII)
    if not match:
        raise not_found("such difference (write it as two numbers, like 3..5)")
    first, last = (_revision(channel, int(number)) for number in match.groups())
    try:
        changes = difference(channel, first, last, limit=paging.limit, after=paging.after)
    except ValueError as error:
        raise invalid("after", f"{error}.") from error
    return {
        "from_revision": first,
        "to_revision": last,
        "count": changes.counts,
        "count_exact": changes.exact,
        **{kind: getattr(changes, kind) for kind in KINDS},
        "next": changes.following or None,
    }


def roll_back(request: HttpRequest, ref: Path[ChannelRef], number: int) -> Shape:
    """Show clients the content of an older revision again, and freeze the channel there."""
    channel = get_channel(request, ref, "edit", level=Level.WRITE)
    _revision(channel, number)
    row = rollback.roll_back(channel, number, actor=caller_of(request).name)
    return channel_schemas.revision_item(row, row.number)


def pin_revision(
    request: HttpRequest, ref: Path[ChannelRef], number: int, body: Pinning | None = None
) -> Shape:
    """Keep a revision for ever; `{"pinned": false}` lets it go again."""
    channel = get_channel(request, ref, "edit", level=Level.WRITE)
    _revision(channel, number)
    pinned = body.pinned if body else True
    row = services.pin(channel, number, pinned=pinned, actor=caller_of(request).name)
    return channel_schemas.revision_item(row, channel.current)


def _revision(channel: Channel, number: int) -> int:
    possible = 0 < number <= min(channel.current, MAX_NUMBER)
    if not possible or not channel.revisions.filter(number=number).exists():
        raise not_found(f"revision {number}")
    return number


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, answer in (
        ("GET", "/revisions", list_revisions, ItemList),
        ("GET", "/revisions/{span}", compare_revisions, Shape),
        ("POST", "/revisions/{number}/rollback", roll_back, Shape),
        ("POST", "/revisions/{number}/pin", pin_revision, Shape),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={200: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
