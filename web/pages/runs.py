"""Pages: past runs of a mirror, the lists behind a run's numbers, exports and the log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from accounts.permissions import Level
from channels.errors import WrongState
from mirrors.models import LogLine, Mirror, Run
from publishing import file_lists
from publishing.file_lists import Line
from web.labels import outcome_label
from web.pages import exports
from web.pages.channel_frame import render_tab
from web.pages.guards import signed_in
from web.pages.mirror_access import get_mirror, get_run
from web.pages.pagination import number_parameter, paginate

FILES_PER_PAGE = 100
MAX_PAGES = 100_000
COLUMNS = ("section", "file", "outcome", "detail", "size")


@signed_in
def past(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """All runs of a mirror, newest first."""
    mirror = get_mirror(request, c, s, pk, level=Level.READ)
    rows = mirror.runs.order_by("-number").defer("filters", "steps")
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
    page = number_parameter(request, "page", maximum=MAX_PAGES)
    context: dict[str, object] = {"mirror": mirror, "run": run, "reason": reason, "number": page}
    context["title"] = outcome_label(reason)
    start = (page - 1) * FILES_PER_PAGE
    try:
        # Lists are computed, not stored: one line more says whether there is a next page.
        lines = list(islice(_lines(run, reason), start, start + FILES_PER_PAGE + 1))
    except WrongState as error:
        context["gone"] = str(error)
        lines = []
    context |= {"lines": [(line, outcome_label(line.reason)) for line in lines[:FILES_PER_PAGE]]}
    context |= {"first": start + 1, "more": len(lines) > FILES_PER_PAGE}
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
    exports.check_format(form)
    lines = _lines(run, request.GET.get("reason", ""))
    # Before the response begins: after its first byte there is no 404 any more.
    try:
        first = next(lines, None)
    except WrongState as error:
        raise Http404(str(error)) from error
    all_lines = chain([first], lines) if first else lines
    if form == "csv":
        chunks = exports.csv_lines(COLUMNS, map(_csv_row, all_lines))
    else:
        chunks = exports.json_lines(map(_json_item, all_lines), ascii_only=True)
    return exports.download(chunks, form, f"mirror-{pk}-run-{number}")


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


def plain(text: str) -> str:
    """Text without control characters, which terminals would obey."""
    # File names and messages come from upstreams: `cat` of a log must not run their escapes.
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _lines(run: Run, reason: str) -> Iterator[Line]:
    """The run's files of one reason; a reason that ends in a dot stands for all that it begins."""
    if reason.endswith("."):
        return (line for line in file_lists.files(run) if line.reason.startswith(reason))
    return file_lists.files(run, reason or None)


def _csv_row(line: Line) -> list[object]:
    # −1 is a size that the index does not give.
    return [*map(plain, line[:4]), line.size if line.size >= 0 else ""]


def _json_item(line: Line) -> dict[str, object]:
    values = dict(zip(COLUMNS, line, strict=True))
    return {**values, "size": line.size if line.size >= 0 else None}


def _run(
    request: HttpRequest, pk: int, number: int, *, c: str, s: str | None
) -> tuple[Mirror, Run]:
    mirror = get_mirror(request, c, s, pk, level=Level.READ)
    run = get_run(mirror, number)
    # For mypy: with a number, get_run finds the run or raises Http404.
    assert run is not None
    run.mirror = mirror
    return mirror, run
