"""REST: what people decided about the files of a channel, as an OpenVEX document."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Path, Router

from publishing import vex
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.cves import may_view
from web.api.errors import ERRORS
from web.api.schemas import JsonObject

router = Router(tags=["cves"])


def get_vex(request: HttpRequest, ref: Path[ChannelRef]) -> JsonObject:
    """The decisions on advisories about what a channel lists, as OpenVEX 0.2.0."""
    may_view(request)
    # Its statements name what the channel lists, so it takes the right to see the packages.
    channel = get_channel(request, ref, "view-artifacts", "view")
    return vex.document(channel)


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    router.add_api_operation(
        base + "/vex",
        ["GET"],
        get_vex,
        # No shape of ours: `@context` names the specification that says what is in it.
        response={200: JsonObject, **ERRORS},
        operation_id=f"get_vex{suffix}",
    )
