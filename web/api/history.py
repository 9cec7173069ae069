"""REST: what happened in a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict

from django.db.models import Q
from django.http import HttpRequest
from ninja import Path, Query, Router

from accounts.access import can
from accounts.caller import caller_of
from accounts.permissions import Attribute, Level, Scope
from history.models import Event, EventType
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.errors import ERRORS, invalid
from web.api.pagination import EventPaging, counted_list, paginate_events
from web.api.schemas import CountedAnswer, CountedList, JsonObject, timestamp

router = Router(tags=["history"])

HIDDEN = {"hidden": "You need a role whose attribute “mirror” is “read”."}


class EventFilters(EventPaging):
    order: Literal["asc", "desc"] = "asc"
    type: str = ""
    family: str = ""


class EventItem(TypedDict):
    """One event, as the vendor's client reads it."""

    event_id: int
    event_type: str
    title: str
    created: str | None
    actor: str
    data: JsonObject
    meta: JsonObject


def history(
    request: HttpRequest, ref: Path[ChannelRef], filters: Query[EventFilters]
) -> CountedAnswer:
    """The channel's events, oldest first; `type` and `family` may be lists with commas.

    Those of chosen types or families are counted up to 10,000: beyond it `count_exact` is false.
    `after` names the event to go on behind.
    """
    channel = get_channel(request, ref, "history")
    caller = caller_of(request)
    scopes = (Scope.CHANNEL_MIRROR_VIEW, Scope.CHANNEL_MIRROR_EDIT)
    # A token may have fewer rights than its user, so both are asked.
    settings = can(caller.user, Attribute.MIRROR, Level.READ) and caller.has_scope(*scopes)
    rows = Event.objects.filter(channel_id=channel.pk)
    # Events are written ahead of the revision that they belong to.
    rows = rows.filter(Q(revision=None) | Q(revision__lte=channel.current))
    if filters.type:
        types = filters.type.split(",")
        unknown = sorted(set(types) - set(EventType.values))
        if unknown:
            raise invalid("type", f"Unknown event type {unknown[0]!r}.")
        rows = rows.filter(type__in=types)
    if filters.family:
        rows = rows.filter(family__in=filters.family.split(","))
    events = paginate_events(rows, filters, descending=filters.order == "desc")
    # Clients go through the whole history by its count, which an index gives.
    count_all = not filters.type and not filters.family
    return counted_list(
        [event_item(event, settings=settings) for event in events], rows, count_all=count_all
    )


def event_item(event: Event, *, settings: bool) -> EventItem:
    """One event, as the vendor's client reads it.

    `settings`: whether the reader may see those of mirrors; without, what an event tells of
    sources, filters and errors is left out, and `meta` says so.
    """
    return {
        "event_id": event.pk,
        "event_type": event.type,
        "title": event.get_type_display(),
        "created": timestamp(event.created_at),
        "actor": event.actor,
        "data": _without_null({"ckey": "", "artifact_family": event.family, **event.data}),
        "meta": _without_null(event.meta) if settings or not about_mirrors(event) else dict(HIDDEN),
    }


def about_mirrors(event: Event) -> bool:
    """Whether an event's metadata has settings of mirrors, sources of channels among them."""
    # What a mirror reads may be an inner address, or a channel that the reader may not see.
    return event.type.startswith("mirror_") or "mirrored_by" in event.meta


def _without_null(values: Mapping[str, object]) -> JsonObject:
    """The vendor's client prints values as they are, and would print None."""
    return {key: _blank_for_null(value) for key, value in values.items()}


def _blank_for_null(value: object) -> object:
    if isinstance(value, dict):
        return _without_null(value)
    if isinstance(value, list):
        return [_blank_for_null(member) for member in value]
    return "" if value is None else value


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    router.add_api_operation(
        base + "/history",
        ["GET"],
        history,
        response={200: CountedList, **ERRORS},
        operation_id=f"history{suffix}",
    )
