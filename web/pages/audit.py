"""Pages for administrators: the audit log, filtered, page by page, and as CSV or JSON."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.audit_query import COLUMNS, EventFilters, EventItem, event_item
from accounts.models import SecurityEventType
from web.pages import exports
from web.pages.guards import administrators
from web.pages.pagination import paginate
from web.pages.rendering import render

# The log may have millions of rows: an export reads it in parts and never holds it whole.
ROWS_PER_READ = 2000


@administrators
def events(request: HttpRequest) -> HttpResponse:
    """What happened to accounts, newest first."""
    filters = EventFilters.from_query(request.GET)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "filters": filters,
        # By key, not by time: keys have an index, and events of one second keep their order.
        "page": paginate(request, filters.rows().order_by("-pk")),
        "types": SecurityEventType.choices,
        "query": query.urlencode(),
    }
    return render(request, "accounts/audit_log.html", context)


@administrators
def export(request: HttpRequest, form: str) -> HttpResponseBase:
    """All events that the filters let through."""
    exports.check_format(form)
    rows = EventFilters.from_query(request.GET).rows().order_by("pk")
    items = (event_item(event) for event in rows.iterator(chunk_size=ROWS_PER_READ))
    chunks = exports.json_lines(items)
    if form == "csv":
        chunks = exports.csv_lines(COLUMNS, map(_csv_row, items))
    return exports.download(chunks, form, "audit-log")


def _csv_row(item: EventItem) -> list[object]:
    # Settings are objects; a cell has them as JSON, so that scripts can read them back.
    before, after = (json.dumps(item[key], ensure_ascii=False) for key in ("before", "after"))
    cells = {**item, "before": before, "after": after}
    return ["" if cells[column] is None else cells[column] for column in COLUMNS]
