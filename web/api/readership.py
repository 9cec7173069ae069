"""REST: which channels mirror a channel, and whether they publish it to more readers."""

from __future__ import annotations

from typing import TypedDict

from django.http import HttpRequest
from ninja import Field, Path, Router, Status

from accounts.caller import caller_of
from accounts.permissions import Level
from channels import readership
from channels.models import SourceLink
from mirrors import form_warnings
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.errors import ERRORS, not_found
from web.api.pagination import MAX_NUMBER, item_list
from web.api.schemas import ItemList, ListAnswer, timestamp

router = Router(tags=["channels"])


class SourceLinkRef(ChannelRef):
    link: int = Field(ge=1, le=MAX_NUMBER)


class ReaderItem(TypedDict):
    """A channel that mirrors this one."""

    id: int
    channel: str
    mirror_id: int
    publish_to_more_readers: bool
    granted_by: str | None
    granted_at: str | None
    created_at: str | None


def list_readers(request: HttpRequest, ref: Path[ChannelRef]) -> ListAnswer:
    """The channels of this server that mirror this one; for who manages it."""
    source = get_channel(request, ref, "view", "edit", level=Level.MANAGE)
    links = readership.links_to(source)
    return item_list([_reader_item(link) for link in links], len(links))


def revoke_readers(request: HttpRequest, ref: Path[SourceLinkRef]) -> Status[None]:
    """Take back that a channel publishes this one to more readers than this one has."""
    source = get_channel(request, ref, "edit", level=Level.MANAGE)
    # Of this channel's links only: an id of another channel's link gives the same 404.
    link = next(
        (candidate for candidate in readership.links_to(source) if candidate.pk == ref.link), None
    )
    if link is None:
        raise not_found("mirror of this channel")
    readership.revoke(link, actor=caller_of(request).name)
    # The mirror's form warns of wider readers, which has just changed.
    form_warnings.update_for_channel(link.channel)
    return Status(204, None)


def _reader_item(link: SourceLink) -> ReaderItem:
    return {
        "id": link.pk,
        "channel": link.channel.path,
        "mirror_id": link.mirror,
        "publish_to_more_readers": link.more_readers,
        "granted_by": link.granted_by or None,
        "granted_at": timestamp(link.granted_at),
        "created_at": timestamp(link.created_at),
    }


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    router.add_api_operation(
        base + "/mirrored-by",
        ["GET"],
        list_readers,
        response={200: ItemList, **ERRORS},
        operation_id=f"list_readers{suffix}",
    )
    router.add_api_operation(
        base + "/mirrored-by/{link}",
        ["DELETE"],
        revoke_readers,
        response={204: None, **ERRORS},
        operation_id=f"revoke_readers{suffix}",
    )
