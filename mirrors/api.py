"""REST: mirrors in a channel and over all channels, their runs, previews, reasons."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Path, Query, Router, Schema, Status
from pydantic import ValidationError as BadPaging

from accounts.answers import (
    ERRORS,
    LARGEST,
    ApiError,
    ItemList,
    Paging,
    invalid,
    listed,
    not_found,
    part,
    stamp,
)
from accounts.caller import Caller, caller
from channels import terms
from channels.asking import (
    CHANNEL,
    SUBCHANNEL,
    Level,
    Where,
    asked,
    etag,
    expected_version,
    need_level,
    visible,
)
from channels.models import Channel
from ecosystems.base import EcosystemError
from mirrors import control, lists, manage, preview, probe, shapes, sources, why
from mirrors.models import Kind, LogLine, Mirror, Preview, Run, Upstream

router = Router(tags=["mirrors"])

Shape = dict[str, Any]
MOST_LINES = 10_000
SORTS = ("mirror_name", "name", "created_at", "updated_at", "last_run_at", "next_run_at")


class Tested(Schema):
    """Where to look: an address and what is expected there."""

    source_root: str
    mirror_type: str = Kind.CONDA.value
    proxy: str | None = None


class MirrorBody(Schema):
    """A mirror's form. Absent keys keep their value (or get their default, when created)."""

    mirror_name: str | None = None
    source_root: str | None = None
    mirror_mode: str | None = Field(None, description="active or passive; never changes")
    mirror_type: str | None = Field(None, description="conda; never changes")
    cron: str | None = Field(None, description="five fields; monthly where absent")
    cron_timezone: str | None = None
    filters: dict[str, Any] | None = Field(None, description="replaces the whole filter")
    run_now: bool | None = None
    proxy: str | None = Field(None, description="http://[user:password@]host[:port]; '' for none")


class PreviewBody(MirrorBody):
    channel: str = Field(description="`name` or `name/subchannel`")
    mirror: str | None = Field(None, description="id or name of the mirror that is edited")


class Sorted(Paging):
    sort: str = "mirror_name"


class Question(Schema):
    q: str = Field(max_length=300)


class OfMirror(Where):
    """The path parameters that name a mirror: its channel, and its id or name."""

    mirror: str


class OfRun(OfMirror):
    number: int = Field(ge=1, le=LARGEST)


class Lines(Schema):
    """A part of a run's list of files; `reason` is one of the counts, e.g. `mirror.license`."""

    reason: str | None = None
    offset: int = Field(0, ge=0, le=LARGEST)
    limit: int = Field(100, ge=0, le=MOST_LINES)


def list_mirrors(request: HttpRequest, where: Path[Where], paging: Query[Paging]) -> Shape:
    """The mirrors of a channel."""
    channel = _channel(request, where, "read")
    rows = Mirror.objects.filter(channel=channel, deleted=None).order_by("name")
    return listed(shapes.prefixed(part(shapes.with_all(rows), paging)), rows.count())


def create_mirror(
    request: HttpRequest, where: Path[Where], body: MirrorBody, response: HttpResponse
) -> Status[Shape]:
    """Create a mirror; with `run_now` its first run begins at once."""
    channel = _channel(request, where, "write")
    mirror = manage.create(channel, _sent(body), owner=caller(request).user)
    return Status(201, _shown(mirror, response))


def get_mirror(request: HttpRequest, where: Path[OfMirror], response: HttpResponse) -> Shape:
    """A mirror; its ETag is what If-Match wants."""
    return _shown(_mirror(request, where, "read"), response)


def change_mirror(
    request: HttpRequest, where: Path[OfMirror], body: MirrorBody, response: HttpResponse
) -> Status[Shape]:
    """Change a mirror. Filters act at once; with `run_now` a run follows."""
    mirror = _mirror(request, where, "write")
    expected = expected_version(request, mirror.pk)
    mirror = manage.edit(mirror, _sent(body), actor=caller(request).name, expected=expected)
    return Status(202, _shown(mirror, response))


def delete_mirror(request: HttpRequest, where: Path[OfMirror]) -> Status[None]:
    """Delete a mirror; its packages leave the channel."""
    mirror = _mirror(request, where, "write")
    expected = expected_version(request, mirror.pk)
    manage.delete(mirror, actor=caller(request).name, expected=expected)
    return Status(204, None)


def run(request: HttpRequest, where: Path[OfMirror]) -> Shape:
    """Run now; 409 with the run's id while one is going."""
    mirror = _mirror(request, where, "write")
    begun = control.request_run(mirror, cause="manual", actor=caller(request).name)
    return {**shapes.one(mirror), "run_id": begun.pk}


def stop_mirror_sync(request: HttpRequest, where: Path[OfMirror]) -> Shape:
    """Stop the run that is going; without one, nothing happens."""
    mirror = _mirror(request, where, "write")
    stopped = control.stop(mirror, actor=caller(request).name)
    return {**shapes.one(mirror), "run_id": stopped.pk if stopped else None}


def restart(request: HttpRequest, where: Path[OfMirror]) -> Shape:
    """Run a stopped mirror again, from the first step."""
    mirror = _mirror(request, where, "write")
    begun = control.restart(mirror, actor=caller(request).name)
    return {**shapes.one(mirror), "run_id": begun.pk}


def release(request: HttpRequest, where: Path[OfMirror]) -> Shape:
    """Publish what the guard holds."""
    mirror = _mirror(request, where, "write")
    sections = control.release(mirror, actor=caller(request).name)
    return {**shapes.one(mirror), "released": sections}


def list_runs(request: HttpRequest, where: Path[OfMirror], paging: Query[Paging]) -> Shape:
    """Past runs and the one that is going, newest first."""
    rows = Run.objects.filter(mirror=_mirror(request, where, "read")).order_by("-number")
    return listed([shapes.run_shape(row) for row in part(rows, paging)], rows.count())


def get_run(request: HttpRequest, where: Path[OfRun]) -> Shape:
    """One run, with the first names of the files left out."""
    found = _run(request, where)
    shape = shapes.run_shape(found)
    shape["sync_state"]["logs"] = shapes.logs(found)
    return shape


def list_run_files(request: HttpRequest, where: Path[OfRun], lines: Query[Lines]) -> Shape:
    """What became of the files that the run saw, and why; `next_offset` null at the end."""
    found = lists.files(_run(request, where), lines.reason)
    end = lines.offset + lines.limit
    some = [line._asdict() for line in islice(found, lines.offset, end)]
    more = next(found, None) is not None
    return {"items": some, "next_offset": end if more else None}


def run_log(request: HttpRequest, where: Path[OfRun], paging: Query[Paging]) -> Shape:
    """The log of one run."""
    return _log(_run(request, where), paging)


def mirror_log(request: HttpRequest, where: Path[OfMirror], paging: Query[Paging]) -> Shape:
    """The log of the last run."""
    mirror = _mirror(request, where, "read")
    return _log(Run.objects.filter(mirror=mirror).order_by("-number").first(), paging)


def explain(request: HttpRequest, where: Path[Where], question: Query[Question]) -> Shape:
    """Why a file is in the channel or not: by a package's name or a file's."""
    channel = asked(request, where, "view-artifacts", "view")
    query = question.q.strip()
    answers = why.why(channel, query) if query else []
    return listed(answers, len(answers))


@router.get("/mirrors", response={200: ItemList, **ERRORS})
def all_mirrors(request: HttpRequest, paging: Query[Sorted]) -> Shape:
    """The mirrors of all channels. Paging may stand in a JSON body, too."""
    who = caller(request)
    who.need("channel.mirror:view", "channel.mirror:edit")
    who.need_level("mirror", "manage")
    if who.token and who.token.resources:
        raise ApiError(403, "A token that is limited to some channels cannot see all mirrors.")
    paging = _paging(request, paging)
    key = paging.sort.removeprefix("-")
    if key not in SORTS:
        raise invalid(
            "sort", f"Mirrors are sorted by {', '.join(SORTS)}; - in front for downwards."
        )
    field = {"mirror_name": "name", "created_at": "created", "updated_at": "updated"}.get(key, key)
    rows = Mirror.objects.filter(deleted=None, channel__deleted=None)
    rows = rows.order_by(("-" if paging.sort.startswith("-") else "") + field, "pk")
    return listed(shapes.short(part(shapes.with_all(rows), paging)), rows.count())


@router.post("/mirrors/preview", response={202: Shape, **ERRORS})
def start_preview(request: HttpRequest, body: PreviewBody) -> Status[Shape]:
    """Judge how a mirror would turn out, without saving it."""
    top, _, sub = body.channel.partition("/")
    channel = _channel(request, Where(channel=top, sub=sub or None), "write")
    mirror = _find(channel, body.mirror) if body.mirror else None
    sent = _sent(body)
    sent.pop("channel", None)
    sent.pop("mirror", None)
    return Status(202, _preview_shape(_begin_preview(sent, channel, mirror, caller(request))))


@router.get("/mirrors/preview/{preview_id}", response={200: Shape, **ERRORS})
def get_preview(request: HttpRequest, preview_id: int) -> Shape:
    """How far a preview is; then its counts, bytes, and what would come and go."""
    return _preview_shape(_preview(request, preview_id))


@router.delete("/mirrors/preview/{preview_id}", response={204: None, **ERRORS})
def cancel_preview(request: HttpRequest, preview_id: int) -> Status[None]:
    """Cancel a preview."""
    preview.cancel(_preview(request, preview_id))
    return Status(204, None)


@router.post("/mirrors/test", response={200: Shape, 502: ERRORS[422], **ERRORS})
def test_connection(request: HttpRequest, body: Tested) -> Shape:
    """Look at an address: which sections, packages and bytes of indexes are there."""
    who = caller(request)
    who.need("channel.mirror:edit", "subchannel.mirror:edit")
    who.need_level("mirror", "write")
    manage.check_kind(body.mirror_type)
    source = sources.checked(body.source_root, into=None, owner=who.user)
    proxy = sources.checked_proxy(body.proxy or "")
    upstream = sources.upstream_for(body.mirror_type, source, proxy, save=False)
    return _probed(upstream)


def _probed(upstream: Upstream) -> Shape:
    try:
        return probe.probe(upstream)
    except EcosystemError as error:
        raise ApiError(502, str(error)) from error


def _channel(request: HttpRequest, where: Where, level: Level) -> Channel:
    """The channel, if the caller has `level` on its mirrors; reading them is enough to read."""
    who = caller(request)
    channel = visible(who, where)
    thing = "subchannel" if channel.parent_id else "channel"
    edit = f"{thing}.mirror:edit"
    who.need(*((edit, f"{thing}.mirror:view") if level == "read" else (edit,)))
    who.need_level("mirror", level)
    need_level(who, channel, level)
    return channel


def _mirror(request: HttpRequest, where: OfMirror, level: Level) -> Mirror:
    return _find(_channel(request, where, level), where.mirror)


def _find(channel: Channel, text: str) -> Mirror:
    """A channel's mirror by its id or its name (which never looks like an id)."""
    rows = Mirror.objects.filter(channel=channel, deleted=None)
    rows = rows.select_related("channel__parent", "upstream__channel", "filter", "owner")
    if text.isascii() and text.isdecimal():
        found = rows.filter(pk=int(text)).first() if len(text) < 19 else None
    else:
        found = rows.filter(name=text).first()
    if found is None:
        raise not_found("mirror")
    return found


def _run(request: HttpRequest, where: OfRun) -> Run:
    mirror = _mirror(request, where, "read")
    rows = Run.objects.filter(mirror=mirror, number=where.number).select_related("mirror__upstream")
    found = rows.first()
    if found is None:
        raise not_found("run")
    return found


def _log(found: Run | None, paging: Paging) -> Shape:
    rows = LogLine.objects.filter(run=found).order_by("id")
    items = [
        {"at": stamp(line.at), "level": line.level, "text": line.text}
        for line in part(rows, paging)
    ]
    return {**listed(items, rows.count()), "run": found.number if found else None}


def _paging(request: HttpRequest, query: Sorted) -> Sorted:
    """The paging of a query, else that of the body, as the vendor's client sends it."""
    if set(request.GET) & {"limit", "offset", "sort"} or not request.body:
        return query
    try:
        return Sorted.model_validate(json.loads(request.body))
    except BadPaging as error:
        raise invalid(str(error.errors()[0]["loc"][-1]), error.errors()[0]["msg"]) from error
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "The body is not JSON.") from error


def _preview(request: HttpRequest, preview_id: int) -> Preview:
    who = caller(request)
    who.need("channel.mirror:edit", "subchannel.mirror:edit")
    found = None
    if 0 < preview_id <= LARGEST:
        found = Preview.objects.filter(pk=preview_id, asker=who.user).first()
    if found is None:
        raise not_found("preview")
    return found


def _preview_shape(row: Preview) -> Shape:
    return {
        "id": row.pk,
        "state": row.state,
        "percentage": row.percent,
        "doing": row.doing,
        "error": row.error or None,
        "result": row.result or None,
    }


def _begin_preview(body: Shape, channel: Channel, mirror: Mirror | None, who: Caller) -> Preview:
    """A preview of the form, which is checked as if it were saved."""
    kept = mirror.upstream if mirror else None
    kind = kept.kind if kept else body.get("mirror_type") or Kind.CONDA.value
    mode = mirror.mode if mirror else body.get("mirror_mode") or Mirror.Mode.PASSIVE.value
    manage.check_kind(kind)
    manage.check_mode(mode)
    filters = body.get("filters")
    if filters is None and mirror:
        filters = mirror.filter.terms
    checked = terms.checked(filters or {}, "mirror")
    owner = mirror.owner if mirror else who.user
    source, proxy = manage.check_source(body, channel=channel, owner=owner, kept=kept)
    return preview.request(
        channel,
        upstream=sources.upstream_for(kind, source, proxy),
        mode=mode,
        terms=checked,
        asker=who.user,
        mirror=mirror,
    )


def _sent(body: MirrorBody) -> Shape:
    return body.model_dump(exclude_unset=True)


def _shown(mirror: Mirror, response: HttpResponse) -> Shape:
    response["ETag"] = etag(mirror.pk, mirror.version)
    return shapes.one(mirror)


MIRROR = "/mirrors/{mirror}"
for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", "/mirrors", list_mirrors, 200, ItemList),
        ("POST", "/mirrors", create_mirror, 201, Shape),
        ("GET", MIRROR, get_mirror, 200, Shape),
        ("PUT", MIRROR, change_mirror, 202, Shape),
        ("DELETE", MIRROR, delete_mirror, 204, None),
        ("POST", MIRROR + "/run", run, 200, Shape),
        ("POST", MIRROR + "/stop_mirror_sync", stop_mirror_sync, 200, Shape),
        ("POST", MIRROR + "/restart", restart, 200, Shape),
        ("POST", MIRROR + "/release", release, 200, Shape),
        ("GET", MIRROR + "/runs", list_runs, 200, ItemList),
        ("GET", MIRROR + "/runs/{number}", get_run, 200, Shape),
        ("GET", MIRROR + "/runs/{number}/files", list_run_files, 200, Shape),
        ("GET", MIRROR + "/runs/{number}/log", run_log, 200, Shape),
        ("GET", MIRROR + "/log", mirror_log, 200, Shape),
        ("GET", "/why", explain, 200, ItemList),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            operation_id=view.__name__ + suffix,
        )
