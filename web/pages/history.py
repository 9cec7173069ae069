"""Pages: what happened in a channel, one event, and all of it as CSV or JSON.

The rule: pages are found by the id they begin at, never by counting, so the last page of a
million events costs what the first one does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase

from accounts.access import can
from accounts.permissions import Attribute, Level
from channels.models import Channel
from ecosystems.kinds import Family
from history.models import Event, EventType
from web.api.history import event_item
from web.api.pagination import COUNT_LIMIT
from web.pages import exports
from web.pages.channel_frame import get_channel, render_tab
from web.pages.guards import signed_in
from web.pages.pagination import PAGE_SIZE, text_parameter

FAMILIES = tuple(map(str, Family))
COLUMNS = ("Event ID", "Type", "Artifact family", "Date/time (UTC)", "Actor", "Subject", "Metadata")
# What a bigint holds: no event has a larger id, and a database may refuse the number.
LARGEST_ID = 2**63 - 1
ROWS_PER_READ = 2000
"""Events that an export reads at once."""
RUN_ENDS = (EventType.MIRROR_COMPLETED, EventType.MIRROR_FAILED, EventType.MIRROR_STOPPED)
"""The events under which a run's package events stand."""


@dataclass(frozen=True)
class EventFilter:
    """Which events the address asks for."""

    type: str
    family: str
    actor: str
    first: date | None
    last: date | None
    run: int | None
    descending: bool

    @classmethod
    def of(cls, request: HttpRequest) -> EventFilter:
        get = request.GET
        return cls(
            type=get.get("type", "") if get.get("type", "") in EventType.values else "",
            family=get.get("family", "") if get.get("family", "") in FAMILIES else "",
            actor=text_parameter(request, "actor"),
            first=_day(get.get("from", "")),
            last=_day(get.get("to", "")),
            run=_id(get.get("run", "")),
            descending=get.get("order") == "desc",
        )

    @property
    def filtered(self) -> bool:
        return bool(self.type or self.family or self.actor or self.first or self.last or self.run)

    @property
    def folding(self) -> bool:
        """Whether the package events of runs stand under their run's own event."""
        # Whoever filters by type or run looks for these events themselves.
        return not (self.type or self.family or self.run)

    def rows(self, channel: Channel) -> QuerySet[Event]:
        """The events, in no order."""
        rows = Event.objects.filter(channel_id=channel.pk)
        # Events of a publication are written before it is visible, and appear with its revision.
        rows = rows.filter(Q(revision=None) | Q(revision__lte=channel.current))
        exact = {"type": self.type, "family": self.family, "run_id": self.run}
        rows = rows.filter(**{key: value for key, value in exact.items() if value})
        if self.actor:
            rows = rows.filter(actor__icontains=self.actor)
        if self.first:
            rows = rows.filter(created_at__gte=datetime.combine(self.first, time(), UTC))
        if self.last:
            # The whole day: up to, not including, the next midnight.
            end = datetime.combine(self.last, time(), UTC) + timedelta(days=1)
            rows = rows.filter(created_at__lt=end)
        return rows


@signed_in
def events(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """The channel's events, oldest first; turnable, filtered, page by page."""
    channel = get_channel(request, c, s)
    filters = EventFilter.of(request)
    rows = filters.rows(channel)
    if filters.folding:
        rows = rows.filter(folded=False)
    page_events, before, after = _event_page(request, rows, descending=filters.descending)
    context = {
        "events": page_events,
        "folded": _folded(page_events) if filters.folding else {},
        "filters": filters,
        "types": EventType.choices,
        "families": FAMILIES,
        "total": _total(request, rows, page_events) if page_events else 0,
        "counted": COUNT_LIMIT,
        "before": before,
        "after": after,
        "query": _query(request),
    }
    return render_tab(
        request, channel, "channel-history", template="history/events.html", context=context
    )


def _folded(page_events: list[Event]) -> dict[int, int]:
    """How many package events stand under each run that ended on this page, by event id."""
    ended = {
        event.run_id: event.pk for event in page_events if event.run_id and event.type in RUN_ENDS
    }
    rows = Event.objects.filter(run_id__in=ended, folded=True).order_by()
    counts = rows.values_list("run_id").annotate(count=Count("pk"))
    return {ended[run_id]: count for run_id, count in counts}


@signed_in
def event(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """One event and its metadata; its address stays."""
    channel = get_channel(request, c, s)
    rows = EventFilter("", "", "", None, None, None, descending=False).rows(channel)
    row = rows.filter(pk=min(pk, LARGEST_ID)).first()
    if row is None:
        raise Http404(f"There is no event {pk} in the channel {channel.path}.")
    context = {
        "event": row,
        "shape": event_item(row, settings=_may_see_settings(request)),
        "previous": rows.filter(pk__lt=row.pk).order_by("-pk").first(),
        "next": rows.filter(pk__gt=row.pk).order_by("pk").first(),
    }
    return render_tab(
        request, channel, "channel-history", template="history/event.html", context=context
    )


@signed_in
def export(request: HttpRequest, form: str, c: str, s: str | None = None) -> HttpResponseBase:
    """All events that the filters let through, as CSV or JSON."""
    channel = get_channel(request, c, s)
    filters = EventFilter.of(request)
    rows = filters.rows(channel).order_by("-pk" if filters.descending else "pk")
    exports.check_format(form)
    settings = _may_see_settings(request)
    matching = rows.iterator(chunk_size=ROWS_PER_READ)
    if form == "csv":
        lines = (_csv_row(event, settings=settings) for event in matching)
        chunks = exports.csv_lines(COLUMNS, lines)
    else:
        chunks = exports.json_lines(event_item(event, settings=settings) for event in matching)
    return exports.download(chunks, form, f"history-{channel.path.replace('/', '-')}")


def _may_see_settings(request: HttpRequest) -> bool:
    """Whether the user may see the settings of mirrors, as on the pages of mirrors."""
    return can(request.user, Attribute.MIRROR, Level.READ)


def _csv_row(event: Event, *, settings: bool) -> list[object]:
    return [
        event.pk,
        event.get_type_display(),
        event.family,
        f"{event.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        event.actor,
        subject(event),
        json.dumps(event_item(event, settings=settings)["meta"], ensure_ascii=False),
    ]


def subject(event: Event) -> str:
    """What the event is about, in a word or two."""
    data = event.data
    return str(data.get("name") or data.get("mirror") or data.get("channel") or "")


def _event_page(
    request: HttpRequest, rows: QuerySet[Event], *, descending: bool
) -> tuple[list[Event], int | None, int | None]:
    """The events of the page, and the ids that the pages before and after it begin at."""
    back, forward = _id(request.GET.get("before", "")), _id(request.GET.get("after", ""))
    last = request.GET.get("end") == "last"
    backwards = bool(back) or last
    # A page before an id is read backwards from it and turned round, so that it costs as little.
    key = "-pk" if descending != backwards else "pk"
    cursor = back or forward
    if cursor:
        rows = rows.filter(**{"pk__lt" if key == "-pk" else "pk__gt": cursor})
    # One more than a page shows: whether there is a next page, without counting.
    page_events = list(rows.order_by(key)[: PAGE_SIZE + 1])
    more, page_events = len(page_events) > PAGE_SIZE, page_events[:PAGE_SIZE]
    if backwards:
        page_events.reverse()
    if not page_events:
        return [], None, None
    has_before = more if backwards else bool(forward)
    has_after = bool(back) if backwards else more
    return (
        page_events,
        page_events[0].pk if has_before else None,
        page_events[-1].pk if has_after else None,
    )


def _total(request: HttpRequest, rows: QuerySet[Event], page_events: list[Event]) -> int:
    """How many events there are; a first page that is not full says so itself."""
    if len(page_events) < PAGE_SIZE and not {"before", "after", "end"} & set(request.GET):
        return len(page_events)
    return rows.order_by()[: COUNT_LIMIT + 1].count()


def _query(request: HttpRequest) -> str:
    """The filters and the order, without the place."""
    query = request.GET.copy()
    # A link adds its own place; two of them would contradict each other.
    for key in ("before", "after", "end"):
        query.pop(key, None)
    return query.urlencode()


def _id(text: str) -> int | None:
    # Fewer digits than LARGEST_ID, so that no number is too large for the database.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
