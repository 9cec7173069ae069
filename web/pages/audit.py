"""Pages for administrators: the audit log, filtered, page by page, and as CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from accounts.audit_query import COLUMNS, Asked, shape
from accounts.models import SecurityEvent, SecurityEventType
from web.pages.guards import administrators
from web.pages.history import cell
from web.pages.pagination import paginate
from web.pages.rendering import render

CHUNK = 2000


@administrators
def events(request: HttpRequest) -> HttpResponse:
    """What happened to accounts, newest first."""
    filters = Asked.of(request.GET)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "asked": filters,
        "page": paginate(request, filters.rows().order_by("-pk")),
        "types": SecurityEventType.choices,
        "query": query.urlencode(),
    }
    return render(request, "accounts/audit_log.html", context)


@administrators
def export(request: HttpRequest, form: str) -> HttpResponseBase:
    """All events that the filters let through."""
    if form not in ("csv", "json"):
        raise Http404("The audit log can be exported as csv or json.")
    rows = Asked.of(request.GET).rows().order_by("pk")
    lines, kind = (_csv(rows), "text/csv") if form == "csv" else (_json(rows), "application/json")
    response = StreamingHttpResponse(lines, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-log.{form}"'
    response["Cache-Control"] = "no-store"
    return response


class _Echo:
    """A file whose writes are given back, so that rows are sent as they are made."""

    def write(self, text: str) -> str:
        return text


def _csv(rows: QuerySet[SecurityEvent]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for event in rows.iterator(chunk_size=CHUNK):
        item = shape(event)
        for key in ("before", "after"):
            item[key] = json.dumps(item[key], ensure_ascii=False)
        yield writer.writerow([cell("" if item[key] is None else item[key]) for key in COLUMNS])


def _json(rows: QuerySet[SecurityEvent]) -> Iterator[str]:
    yield "["
    for at, event in enumerate(rows.iterator(chunk_size=CHUNK)):
        yield (",\n" if at else "\n") + json.dumps(shape(event), ensure_ascii=False)
    yield "\n]\n"
