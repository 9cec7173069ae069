"""REST: the revisions of a channel, what differs between two, rollback and pins."""

from __future__ import annotations

import re
from typing import TypedDict

from django.http import HttpRequest
from ninja import Field, Path, Query, Router, Schema

from accounts.caller import caller_of
from accounts.permissions import Level
from channels import rollback, services
from channels.models import Channel
from channels.revision_difference import difference
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.channel_schemas import RevisionItem, revision_item
from web.api.errors import ERRORS, invalid, not_found
from web.api.pagination import MAX_NUMBER, Paging, item_list, paginate
from web.api.schemas import ItemList, JsonObject, ListAnswer, RequestBody

router = Router(tags=["channels"])

# A revision may change a million files; clients go on with `after`.
MAX_FILES = 10_000


class FilePaging(Schema):
    """How many file names the answer has, and from where on: `next` of the answer before."""

    limit: int = Field(1000, ge=0, le=MAX_FILES)
    after: str = Field("", max_length=200)


class Pinning(RequestBody):
    pinned: bool = True


class Comparison(TypedDict):
    """What differs between two revisions; files as `section/filename`."""

    from_revision: int
    to_revision: int
    count: dict[str, int]
    count_exact: bool
    added: list[str]
    replaced: list[str]
    removed: list[str]
    next: str | None


def list_revisions(
    request: HttpRequest, ref: Path[ChannelRef], paging: Query[Paging]
) -> ListAnswer:
    """The kept revisions, newest first."""
    channel = get_channel(request, ref, "history", "view")
    # A higher number belongs to a publication that has not been committed.
    rows = channel.revisions.filter(number__lte=channel.current).order_by("-number")
    items = [revision_item(row, channel.current) for row in paginate(rows, paging)]
    return item_list(items, rows.count())


def compare_revisions(
    request: HttpRequest, ref: Path[ChannelRef], span: str, paging: Query[FilePaging]
) -> Comparison:
    """What changed between two revisions, written `<a>..<b>`: counts, and files by their names.

    `next` is null behind the last file, else what to send as `after` to go on; a part may have
    fewer files than `limit`. Where `count_exact` is false, there are at least so many.
    """
    channel = get_channel(request, ref, "history", "view")
    # ASCII: \d alone takes the digits of every script. Nine of them fit into 32 bits.
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
        "added": changes.added,
        "replaced": changes.replaced,
        "removed": changes.removed,
        "next": changes.following or None,
    }


def roll_back(request: HttpRequest, ref: Path[ChannelRef], number: int) -> RevisionItem:
    """Show clients the content of an older revision again, and freeze the channel there."""
    channel = get_channel(request, ref, "edit", level=Level.WRITE)
    _revision(channel, number)
    row = rollback.roll_back(channel, number, actor=caller_of(request).name)
    return revision_item(row, row.number)


def pin_revision(
    request: HttpRequest, ref: Path[ChannelRef], number: int, body: Pinning | None = None
) -> RevisionItem:
    """Keep a revision for ever; `{"pinned": false}` lets it go again."""
    channel = get_channel(request, ref, "edit", level=Level.WRITE)
    _revision(channel, number)
    pinned = body.pinned if body else True
    row = services.pin(channel, number, pinned=pinned, actor=caller_of(request).name)
    return revision_item(row, channel.current)


def _revision(channel: Channel, number: int) -> int:
    # A revision that is being built has a number, and clients do not see it yet.
    possible = 0 < number <= min(channel.current, MAX_NUMBER)
    if not possible or not channel.revisions.filter(number=number).exists():
        raise not_found(f"revision {number}")
    return number


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, answer in (
        ("GET", "/revisions", list_revisions, ItemList),
        ("GET", "/revisions/{span}", compare_revisions, JsonObject),
        ("POST", "/revisions/{number}/rollback", roll_back, JsonObject),
        ("POST", "/revisions/{number}/pin", pin_revision, JsonObject),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={200: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
