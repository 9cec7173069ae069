"""Which security events somebody asks for, and how they are shown; page, export and API use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TypedDict

from django.db.models import QuerySet

from accounts.models import SecurityEvent, SecurityEventType

# Outside the class, whose field `object` hides the type of this name.
Query = Mapping[str, object]

MAX_TEXT = 200
COLUMNS = (
    "event_id", "event_type", "created", "actor", "address",
    "object_type", "object_id", "object_name", "before", "after", "detail",
)  # fmt: skip


class EventItem(TypedDict):
    """One event as export and API show it."""

    event_id: int
    event_type: str
    title: str
    created: str
    actor: str
    actor_id: int | None
    address: str
    object_type: str
    object_id: int | None
    object_name: str
    before: dict[str, object]
    after: dict[str, object]
    detail: str


@dataclass(frozen=True)
class EventFilters:
    """What events must have; an empty filter lets all through. Days are in UTC."""

    type: str = ""
    actor: str = ""
    object: str = ""
    address: str = ""
    first: date | None = None
    last: date | None = None

    @classmethod
    def from_query(cls, query: Query) -> EventFilters:
        """The filters in a page's address; a value that makes no sense filters nothing."""
        event_type = str(query.get("type") or "")
        return cls(
            type=event_type if event_type in SecurityEventType.values else "",
            actor=_text(query, "actor"),
            object=_text(query, "object"),
            address=_text(query, "address"),
            first=_day(query.get("from")),
            last=_day(query.get("to")),
        )

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return self != EventFilters()

    def rows(self) -> QuerySet[SecurityEvent]:
        """The events that pass, in no order."""
        rows = SecurityEvent.objects.all()
        exact = {"type": self.type, "address": self.address}
        rows = rows.filter(**{key: value for key, value in exact.items() if value})
        # Parts of names: the log also has what was typed at a sign-in, which may be no user.
        if self.actor:
            rows = rows.filter(actor__icontains=self.actor)
        if self.object:
            rows = rows.filter(object_name__icontains=self.object)
        # Moments, not `created_at__date`: that is an expression, and no index serves it.
        if self.first:
            rows = rows.filter(created_at__gte=datetime.combine(self.first, time(), UTC))
        if self.last:
            # Not the day after: the last day of all has none.
            end = datetime.combine(self.last, time.max, UTC)
            rows = rows.filter(created_at__lte=end)
        return rows


def event_item(event: SecurityEvent) -> EventItem:
    """One event as export and API show it."""
    return {
        "event_id": event.pk,
        "event_type": event.type,
        "title": event.get_type_display(),
        "created": event.created_at.isoformat(),
        "actor": event.actor,
        "actor_id": event.actor_id,
        "address": event.address,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_name": event.object_name,
        "before": event.before,
        "after": event.after,
        "detail": event.detail,
    }


def _text(query: Query, key: str) -> str:
    # PostgreSQL refuses a NUL in a parameter.
    return str(query.get(key) or "").replace("\x00", "").strip()[:MAX_TEXT]


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and value else None
    except ValueError:
        return None
