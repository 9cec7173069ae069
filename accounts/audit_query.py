"""Which security events somebody asks for, and their shape; page, export and API use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import QuerySet

from accounts.models import SecurityEvent, SecurityEventType

LONGEST = 200
COLUMNS = (
    "event_id", "event_type", "created", "actor", "address",
    "object_type", "object_id", "object_name", "before", "after", "detail",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """The filters; what makes no sense filters nothing."""

    type: str = ""
    actor: str = ""
    object: str = ""
    address: str = ""
    first: date | None = None
    last: date | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Asked:
        kind = str(query.get("type") or "")
        return cls(
            type=kind if kind in SecurityEventType.values else "",
            actor=_text(query, "actor"),
            object=_text(query, "object"),
            address=_text(query, "address"),
            first=_day(query.get("from")),
            last=_day(query.get("to")),
        )

    @property
    def filtered(self) -> bool:
        return self != Asked()

    def rows(self) -> QuerySet[SecurityEvent]:
        """The events, in no order."""
        rows = SecurityEvent.objects.all()
        exact = {"type": self.type, "address": self.address}
        rows = rows.filter(**{key: value for key, value in exact.items() if value})
        if self.actor:
            rows = rows.filter(actor__icontains=self.actor)
        if self.object:
            rows = rows.filter(object_name__icontains=self.object)
        if self.first:
            rows = rows.filter(created_at__gte=datetime.combine(self.first, time(), UTC))
        if self.last:
            # Not the day after: the last day of all has none.
            end = datetime.combine(self.last, time.max, UTC)
            rows = rows.filter(created_at__lte=end)
        return rows


def shape(event: SecurityEvent) -> dict[str, Any]:
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


def _text(query: Mapping[str, Any], key: str) -> str:
    return str(query.get(key) or "").replace("\x00", "").strip()[:LONGEST]


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except (TypeError, ValueError):
        return None
