"""REST: what the runs of a mirror did, and why a file is in a channel or not."""

from __future__ import annotations

from itertools import islice
from typing import TypedDict

from django.http import HttpRequest
from ninja import Field, Path, Query, Router, Schema

from accounts.permissions import Level
from mirrors.models import LogLine, Run
from publishing import explain as why
from publishing import file_lists
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.errors import ERRORS, not_found
from web.api.mirror_access import MIRROR, MirrorRef, requested_mirror
from web.api.pagination import MAX_NUMBER, Paging, item_list, paginate
from web.api.run_schemas import RunItem, logs, run_item
from web.api.schemas import (
    CountedAnswer,
    CountedList,
    ItemList,
    JsonObject,
    ListAnswer,
    timestamp,
)

router = Router(tags=["runs"])

# A run sees up to a million files; one answer must not hold them all in memory.
MAX_LINES = 10_000


class WhyQuery(Schema):
    q: str = Field(max_length=300)


class RunRef(MirrorRef):
    number: int = Field(ge=1, le=MAX_NUMBER)


class FilePaging(Schema):
    """A part of a run's list of files; `reason` is one of the counts, e.g. `mirror.license`."""

    reason: str | None = None
    offset: int = Field(0, ge=0, le=MAX_NUMBER)
    limit: int = Field(100, ge=0, le=MAX_LINES)


class FilesAnswer(TypedDict):
    """A part of a run's list of files."""

    items: list[JsonObject]
    next_offset: int | None


class LogItem(TypedDict):
    at: str | None
    level: str
    text: str


class LogAnswer(ListAnswer):
    """A page of the log of the run that has this number; null where no run has been."""

    run: int | None


def list_runs(request: HttpRequest, ref: Path[MirrorRef], paging: Query[Paging]) -> ListAnswer:
    """Past runs and the one that is going, newest first."""
    rows = Run.objects.filter(mirror=requested_mirror(request, ref, Level.READ)).order_by("-number")
    return item_list([run_item(row) for row in paginate(rows, paging)], rows.count())


def get_run(request: HttpRequest, ref: Path[RunRef]) -> RunItem:
    """One run, with the first names of the files left out."""
    run = _run(request, ref)
    item = run_item(run)
    # Only here: the list of runs would read the names of each run.
    item["sync_state"]["logs"] = logs(run)
    return item


def list_run_files(
    request: HttpRequest, ref: Path[RunRef], paging: Query[FilePaging]
) -> FilesAnswer:
    """What became of the files that the run saw, and why; `next_offset` null at the end."""
    files = file_lists.files(_run(request, ref), paging.reason)
    end = paging.offset + paging.limit
    page: list[JsonObject] = [line._asdict() for line in islice(files, paging.offset, end)]
    # One file beyond the page says whether another page follows.
    more = next(files, None) is not None
    return {"items": page, "next_offset": end if more else None}


def run_log(request: HttpRequest, ref: Path[RunRef], paging: Query[Paging]) -> LogAnswer:
    """The log of one run."""
    return _log(_run(request, ref), paging)


def mirror_log(request: HttpRequest, ref: Path[MirrorRef], paging: Query[Paging]) -> LogAnswer:
    """The log of the last run."""
    mirror = requested_mirror(request, ref, Level.READ)
    return _log(Run.objects.filter(mirror=mirror).order_by("-number").first(), paging)


def explain(
    request: HttpRequest, ref: Path[ChannelRef], question: Query[WhyQuery]
) -> CountedAnswer:
    """Why a file is in the channel or not: by a package's name or a file's.

    The answer has at most 1,000 files: where `count_exact` is false, there may be more.
    """
    channel = get_channel(request, ref, "view-artifacts", "view")
    query = question.q.strip()
    # An empty query would match every file.
    answers = why.why(channel, query) if query else why.Answers([])
    return {**item_list(answers.items, len(answers.items)), "count_exact": not answers.more}


def _run(request: HttpRequest, ref: RunRef) -> Run:
    mirror = requested_mirror(request, ref, Level.READ)
    rows = Run.objects.filter(mirror=mirror, number=ref.number).select_related("mirror__upstream")
    run = rows.first()
    if run is None:
        raise not_found("run")
    return run


def _log(run: Run | None, paging: Paging) -> LogAnswer:
    rows = LogLine.objects.filter(run=run).order_by("id")
    items: list[LogItem] = [
        {"at": timestamp(line.at), "level": line.level, "text": line.text}
        for line in paginate(rows, paging)
    ]
    return {**item_list(items, rows.count()), "run": run.number if run else None}


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", MIRROR + "/runs", list_runs, 200, ItemList),
        ("GET", MIRROR + "/runs/{number}", get_run, 200, JsonObject),
        ("GET", MIRROR + "/runs/{number}/files", list_run_files, 200, JsonObject),
        ("GET", MIRROR + "/runs/{number}/log", run_log, 200, JsonObject),
        ("GET", MIRROR + "/log", mirror_log, 200, JsonObject),
        ("GET", "/why", explain, 200, CountedList),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
