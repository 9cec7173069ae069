"""REST: which channels mirror a channel, and whether they publish it to more readers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Field, Path, Router, Status

from accounts.caller import caller
from accounts.permissions import Level
from channels import readership
from channels.models import SourceLink
from mirrors import form_warnings
from web.api.channel_access import CHANNEL, SUBCHANNEL, Where, asked
from web.api.errors import ERRORS, not_found
from web.api.pagination import MAX_NUMBER, item_list
from web.api.schemas import ItemList, timestamp

router = Router(tags=["channels"])

Shape = dict[str, Any]


class OfLink(Where):
    link: int = Field(ge=1, le=MAX_NUMBER)


def list_readers(request: HttpRequest, where: Path[Where]) -> Shape:
    """The channels of this server that mirror this one; for who manages it."""
    source = asked(request, where, "view", "edit", level=Level.MANAGE)
    found = readership.links_to(source)
    return item_list([_shape(link) for link in found], len(found))


def revoke_readers(request: HttpRequest, where: Path[OfLink]) -> Status[None]:
    """Take back that a channel publishes this one to more readers than this one has."""
    source = asked(request, where, "edit", level=Level.MANAGE)
    found = next((one for one in readership.links_to(source) if one.pk == where.link), None)
    if found is None:
        raise not_found("mirror of this channel")
    readership.revoke(found, actor=caller(request).name)
    form_warnings.again(found.channel)
    return Status(204, None)


def _shape(link: SourceLink) -> Shape:
    return {
        "id": link.pk,
        "channel": link.channel.path,
        "mirror_id": link.mirror,
        readership.FIELD: link.more_readers,
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
