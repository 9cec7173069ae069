"""Pages: past runs of a mirror, the lists behind a run's numbers, exports and the log."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from accounts.permissions import Level
from channels.errors import WrongState
from mirrors.models import LogLine, Mirror, Run
from publishing import file_lists
from publishing.file_lists import Line
from web.pages.channel_frame import render_tab
from web.pages.guards import signed_in
from web.pages.mirror_access import get_mirror, get_run
from web.pages.pagination import number_parameter, paginate
from web.pages.run_counts import RULE_LABELS

SIZE = 100
MOST_PAGES = 100_000
COLUMNS = ("section", "file", "outcome", "detail", "size")
OUTCOMES = {
    "active": "Downloaded",
    "passive": "On demand",
    "missing": "Not downloaded yet",
    "failed": "Failed to mirror",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@signed_in
def past(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """All runs of a mirror, newest first."""
    mirror = get_mirror(request, c, s, pk, level=Level.READ)
    rows = mirror.runs.order_by("-number").defer("terms", "steps")
    return render_tab(
        request,
        mirror.channel,
        "channel-mirrors",
        template="mirrors/runs.html",
        context={"mirror": mirror, "page": paginate(request, rows)},
    )


@signed_in
def files(request: HttpRequest, pk: int, number: int, c: str, s: str | None = None) -> HttpResponse:
    """The files behind one of a run's numbers."""
    mirror, run = _run(request, pk, number, c=c, s=s)
    reason = request.GET.get("reason", "")
    page = number_parameter(request, "page", maximum=MOST_PAGES)
    context: dict[str, Any] = {"mirror": mirror, "run": run, "reason": reason, "number": page}
    context["title"] = words(reason)
    start = (page - 1) * SIZE
    try:
        lines = list(islice(_lines(run, reason), start, start + SIZE + 1))
    except WrongState as error:
        context["gone"] = str(error)
        lines = []
    context |= {"lines": [(line, words(line.reason)) for line in lines[:SIZE]]}
    context |= {"first": start + 1, "more": len(lines) > SIZE}
    return render_tab(
        request,
        mirror.channel,
        "channel-mirrors",
        template="mirrors/files.html",
        context=context,
    )


@signed_in
def export(
    request: HttpRequest, pk: int, number: int, form: str, c: str, s: str | None = None
) -> HttpResponseBase:
    """The same list as a file: CSV, or JSON with one object a line between brackets."""
    _, run = _run(request, pk, number, c=c, s=s)
    if form not in ("csv", "json"):
        raise Http404("Lists are exported as CSV or JSON.")
    lines = _lines(run, request.GET.get("reason", ""))
    try:
        first = next(lines, None)
    except WrongState as error:
        raise Http404(str(error)) from error
    all_lines = chain([first], lines) if first else lines
    chunks = _csv(all_lines) if form == "csv" else _json(all_lines)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    response = StreamingHttpResponse(chunks, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="mirror-{pk}-run-{number}.{form}"'
    response["Cache-Control"] = "no-store"
    return response


@signed_in
def log(
    request: HttpRequest, pk: int, number: int, c: str, s: str | None = None
) -> HttpResponseBase:
    """The whole log of a run as text."""
    _, run = _run(request, pk, number, c=c, s=s)
    rows = LogLine.objects.filter(run=run).order_by("id")
    lines = (
        f"{row.at:%Y-%m-%dT%H:%M:%SZ} {row.level} {plain(row.text)}\n" for row in rows.iterator()
    )
    response = StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="mirror-{pk}-run-{number}.log"'
    return response


def words(reason: str) -> str:
    """A reason of `publishing.file_lists` as people read it."""
    by, _, rule = reason.partition(".")
    if by in ("mirror", "channel"):
        whose = f"Left out by the {by}'s filter"
        return f"{whose}: {RULE_LABELS.get(rule, rule)}" if rule else whose
    return OUTCOMES.get(reason, "All files that the source lists")


def cell(value: object) -> str:
    """A value that no spreadsheet takes for a formula."""
    text = plain(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def plain(text: str) -> str:
    """Text without control characters, which terminals would obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _lines(run: Run, reason: str) -> Iterator[Line]:
    """The run's files of one reason; a reason that ends in a dot stands for all that it begins."""
    if reason.endswith("."):
        return (line for line in file_lists.files(run) if line.reason.startswith(reason))
    return file_lists.files(run, reason or None)


class _Echo:
    def write(self, text: str) -> str:
        return text


def _csv(lines: Iterator[Line]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for line in lines:
        size = line.size if line.size >= 0 else ""
        yield writer.writerow([*map(cell, line[:4]), size])


def _json(lines: Iterator[Line]) -> Iterator[str]:
    before = "[\n"
    for line in lines:
        values = dict(zip(COLUMNS, line, strict=True))
        yield before + json.dumps({**values, "size": line.size if line.size >= 0 else None})
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _run(
    request: HttpRequest, pk: int, number: int, *, c: str, s: str | None
) -> tuple[Mirror, Run]:
    mirror = get_mirror(request, c, s, pk, level=Level.READ)
    run = get_run(mirror, number)
    assert run is not None
    run.mirror = mirror
    return mirror, run
