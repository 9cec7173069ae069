"""REST: what the runs of a mirror did, and why a file is in a channel or not."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.http import HttpRequest
from ninja import Field, Path, Query, Router, Schema

from accounts.permissions import Level
from mirrors.models import LogLine, Run
from publishing import explain as why
from publishing import file_lists
from web.api import mirror_schemas
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel
from web.api.errors import ERRORS, not_found
from web.api.mirror_access import MIRROR, MirrorRef, requested_mirror
from web.api.pagination import MAX_NUMBER, Paging, item_list, paginate
from web.api.schemas import CountedList, ItemList, timestamp

router = Router(tags=["runs"])

Shape = dict[str, Any]
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


def list_runs(request: HttpRequest, ref: Path[MirrorRef], paging: Query[Paging]) -> Shape:
    """Past runs and the one that is going, newest first."""
    rows = Run.objects.filter(mirror=requested_mirror(request, ref, Level.READ)).order_by("-number")
    return item_list([mirror_schemas.run_item(row) for row in paginate(rows, paging)], rows.count())


def get_run(request: HttpRequest, ref: Path[RunRef]) -> Shape:
    """One run, with the first names of the files left out."""
    run = _run(request, ref)
    shape = mirror_schemas.run_item(run)
    shape["sync_state"]["logs"] = mirror_schemas.logs(run)
    return shape


def list_run_files(request: HttpRequest, ref: Path[RunRef], paging: Query[FilePaging]) -> Shape:
    """What became of the files that the run saw, and why; `next_offset` null at the end."""
    files = file_lists.files(_run(request, ref), paging.reason)
    end = paging.offset + paging.limit
    page = [line._asdict() for line in islice(files, paging.offset, end)]
    more = next(files, None) is not None
    return {"items": page, "next_offset": end if more else None}


def run_log(request: HttpRequest, ref: Path[RunRef], paging: Query[Paging]) -> Shape:
    """The log of one run."""
    return _log(_run(request, ref), paging)


def mirror_log(request: HttpRequest, ref: Path[MirrorRef], paging: Query[Paging]) -> Shape:
    """The log of the last run."""
    mirror = requested_mirror(request, ref, Level.READ)
    return _log(Run.objects.filter(mirror=mirror).order_by("-number").first(), paging)


def explain(request: HttpRequest, ref: Path[ChannelRef], question: Query[WhyQuery]) -> Shape:
    """Why a file is in the channel or not: by a package's name or a file's.

    At most 1,000 files are told: where `count_exact` is false, there may be more.
    """
    channel = get_channel(request, ref, "view-artifacts", "view")
    query = question.q.strip()
    answers = why.why(channel, query) if query else why.Answers([])
    return {**item_list(answers.items, len(answers.items)), "count_exact": not answers.more}


def _run(request: HttpRequest, ref: RunRef) -> Run:
    mirror = requested_mirror(request, ref, Level.READ)
    rows = Run.objects.filter(mirror=mirror, number=ref.number).select_related("mirror__upstream")
    run = rows.first()
    if run is None:
        raise not_found("run")
    return run


def _log(run: Run | None, paging: Paging) -> Shape:
    rows = LogLine.objects.filter(run=run).order_by("id")
    items = [
        {"at": timestamp(line.at), "level": line.level, "text": line.text}
        for line in paginate(rows, paging)
    ]
    return {**item_list(items, rows.count()), "run": run.number if run else None}


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", MIRROR + "/runs", list_runs, 200, ItemList),
        ("GET", MIRROR + "/runs/{number}", get_run, 200, Shape),
        ("GET", MIRROR + "/runs/{number}/files", list_run_files, 200, Shape),
        ("GET", MIRROR + "/runs/{number}/log", run_log, 200, Shape),
        ("GET", MIRROR + "/log", mirror_log, 200, Shape),
        ("GET", "/why", explain, 200, CountedList),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
