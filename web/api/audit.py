"""REST: the audit log, for roles with roles = manage."""

from __future__ import annotations

from datetime import date
from typing import Literal

from django.http import HttpRequest
from ninja import Field, Query, Router

from accounts.audit_query import EventFilters, event_item
from accounts.caller import caller_of
from accounts.models import SecurityEventType
from accounts.permissions import Attribute, Level
from web.api.errors import ERRORS, invalid
from web.api.pagination import EventPaging, counted_list, paginate_events
from web.api.schemas import CountedAnswer, CountedList

router = Router(tags=["audit"])


class AuditFilters(EventPaging):
    order: Literal["asc", "desc"] = "desc"
    type: str = Field("", max_length=200)
    actor: str = Field("", max_length=200)
    object: str = Field("", max_length=200)
    address: str = Field("", max_length=64)
    first: date | None = Field(None, alias="from")
    last: date | None = Field(None, alias="to")


@router.get("/audit-log", response={200: CountedList, **ERRORS})
def audit_log(request: HttpRequest, filters: Query[AuditFilters]) -> CountedAnswer:
    """Sign-ins, refusals, and changes of users, roles, passwords, tokens and sessions.

    They are counted up to 10,000: beyond it `count_exact` is false. `after` names the event to go
    on behind.
    """
    caller = caller_of(request)
    # The log tells of all users, which no limited token is for.
    caller.require_unlimited()
    caller.require_level(Attribute.ROLES, Level.MANAGE)
    if filters.type and filters.type not in SecurityEventType.values:
        raise invalid("type", f"There is no event type {filters.type!r}.")
    query = EventFilters(
        type=filters.type,
        actor=filters.actor,
        object=filters.object,
        address=filters.address,
        first=filters.first,
        last=filters.last,
    )
    rows = query.rows()
    events = paginate_events(rows, filters, descending=filters.order == "desc")
    return counted_list([event_item(event) for event in events], rows)
