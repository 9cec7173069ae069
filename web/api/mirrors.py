"""REST: mirrors in a channel and over all channels, and what is done with them."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from ninja import Field, Path, Query, Router, Status
from pydantic import ValidationError as BadPaging

from accounts.caller import caller_of
from accounts.errors import ApiError
from accounts.permissions import Attribute, Level, Scope
from mirrors import replaced_files, run_control, services
from mirrors.models import Cause, Mirror
from publishing.replaced_files import release_held_indexes
from web.api import mirror_schemas
from web.api.channel_access import (
    CHANNEL,
    SUBCHANNEL,
    ChannelRef,
    etag,
    expected_version,
    visible_channels,
)
from web.api.errors import ERRORS, invalid
from web.api.mirror_access import (
    MIRROR,
    MirrorBody,
    MirrorRef,
    channel_for_mirrors,
    requested_mirror,
    runnable_mirror,
    sent_fields,
)
from web.api.mirror_schemas import MirrorItem
from web.api.pagination import Paging, item_list, paginate
from web.api.schemas import ItemList, JsonObject, ListAnswer, RequestBody

router = Router(tags=["mirrors"])

SORTS = ("mirror_name", "name", "created_at", "updated_at", "last_run_at", "next_run_at")


class MirrorPaging(Paging):
    sort: str = "mirror_name"


class RunAnswer(MirrorItem):
    """A mirror, and the run that was asked for or stopped."""

    run_id: int | None


class ReleaseFilesBody(RequestBody):
    """Which of the held files."""

    files: list[str] | None = Field(None, description="<section>/<file name>; absent for all")


class ReleaseAnswer(MirrorItem):
    """A mirror, and the sections or files that are published now."""

    released: list[str]


def list_mirrors(request: HttpRequest, ref: Path[ChannelRef], paging: Query[Paging]) -> ListAnswer:
    """The mirrors of a channel."""
    channel = channel_for_mirrors(request, ref, Level.READ)
    rows = Mirror.objects.filter(channel=channel, deleted_at=None).order_by("name")
    return item_list(
        mirror_schemas.mirror_items(paginate(mirror_schemas.with_related(rows), paging)),
        rows.count(),
    )


def create_mirror(
    request: HttpRequest, ref: Path[ChannelRef], body: MirrorBody, response: HttpResponse
) -> Status[MirrorItem]:
    """Create a mirror; with `run_now` its first run begins at once."""
    channel = channel_for_mirrors(request, ref, Level.WRITE)
    caller = caller_of(request)
    mirror = services.create(channel, sent_fields(body), owner=caller.user, actor=caller)
    return Status(201, _with_etag(mirror, response))


def get_mirror(request: HttpRequest, ref: Path[MirrorRef], response: HttpResponse) -> MirrorItem:
    """A mirror; its ETag is what If-Match wants."""
    return _with_etag(requested_mirror(request, ref, Level.READ), response, with_names=True)


def change_mirror(
    request: HttpRequest, ref: Path[MirrorRef], body: MirrorBody, response: HttpResponse
) -> Status[MirrorItem]:
    """Change a mirror. Filters act at once; with `run_now` a run follows."""
    mirror = requested_mirror(request, ref, Level.WRITE)
    expected = expected_version(request, mirror.pk)
    mirror = services.edit(mirror, sent_fields(body), actor=caller_of(request), expected=expected)
    # 202: the channel is published by a worker, after this answer.
    return Status(202, _with_etag(mirror, response))


def delete_mirror(request: HttpRequest, ref: Path[MirrorRef]) -> Status[None]:
    """Delete a mirror; its packages leave the channel."""
    mirror = requested_mirror(request, ref, Level.WRITE)
    expected = expected_version(request, mirror.pk)
    services.delete(mirror, actor=caller_of(request).name, expected=expected)
    return Status(204, None)


def run(request: HttpRequest, ref: Path[MirrorRef]) -> RunAnswer:
    """Run now; 409 with the run's id while one is going."""
    mirror = runnable_mirror(request, ref)
    new_run = run_control.request_run(mirror, cause=Cause.MANUAL, actor=caller_of(request).name)
    return {**mirror_schemas.mirror_item(mirror), "run_id": new_run.pk}


def stop_mirror_sync(request: HttpRequest, ref: Path[MirrorRef]) -> RunAnswer:
    """Stop the run that is going; without one, nothing happens."""
    mirror = requested_mirror(request, ref, Level.WRITE)
    stopped_run = run_control.stop(mirror, actor=caller_of(request).name)
    return {**mirror_schemas.mirror_item(mirror), "run_id": stopped_run.pk if stopped_run else None}


def restart(request: HttpRequest, ref: Path[MirrorRef]) -> RunAnswer:
    """Run a stopped mirror again, from the first step."""
    mirror = runnable_mirror(request, ref)
    new_run = run_control.restart(mirror, actor=caller_of(request).name)
    return {**mirror_schemas.mirror_item(mirror), "run_id": new_run.pk}


def release(request: HttpRequest, ref: Path[MirrorRef]) -> ReleaseAnswer:
    """Publish what the guard holds."""
    mirror = runnable_mirror(request, ref)
    sections = release_held_indexes(mirror, actor=caller_of(request).name)
    return {**mirror_schemas.mirror_item(mirror), "released": sections}


def held_files(request: HttpRequest, ref: Path[MirrorRef], paging: Query[Paging]) -> ListAnswer:
    """Listed files that the upstream has replaced, and whose new bytes wait for a release."""
    mirror = requested_mirror(request, ref, Level.READ)
    rows = mirror.replaced.filter(released_at=None).order_by("section", "filename")
    return item_list(mirror_schemas.held_file_items(paginate(rows, paging)), rows.count())


def release_files(
    request: HttpRequest, ref: Path[MirrorRef], body: ReleaseFilesBody | None = None
) -> ReleaseAnswer:
    """Let the new bytes of held files in: of those named, else of all; 409 where none is held."""
    mirror = runnable_mirror(request, ref)
    files = replaced_files.release(
        mirror, actor=caller_of(request).name, files=body.files if body else None
    )
    return {**mirror_schemas.mirror_item(mirror), "released": files}


@router.get("/mirrors", response={200: ItemList, **ERRORS})
def all_mirrors(request: HttpRequest, paging: Query[MirrorPaging]) -> ListAnswer:
    """The mirrors of all channels that you may know of. Paging may stand in a JSON body, too."""
    caller = caller_of(request)
    caller.require_scope(Scope.CHANNEL_MIRROR_VIEW, Scope.CHANNEL_MIRROR_EDIT)
    caller.require_level(Attribute.MIRROR, Level.MANAGE)
    if caller.token and caller.token.resources:
        raise ApiError(403, "A token that is limited to some channels cannot see all mirrors.")
    paging = _paging(request, paging)
    key = paging.sort.removeprefix("-")
    if key not in SORTS:
        raise invalid("sort", f"Sort by {', '.join(SORTS)}; put - in front for descending order.")
    # The vendor's client sorts by the key that it reads, which is a column under another name.
    field = "name" if key == "mirror_name" else key
    rows = Mirror.objects.filter(deleted_at=None, channel__in=visible_channels(caller).values("pk"))
    # By id, too: names repeat in other channels, and pages need one order.
    rows = rows.order_by(("-" if paging.sort.startswith("-") else "") + field, "pk")
    return item_list(
        mirror_schemas.server_mirror_items(paginate(mirror_schemas.with_related(rows), paging)),
        rows.count(),
    )


def _paging(request: HttpRequest, query: MirrorPaging) -> MirrorPaging:
    """The paging of a query, else that of the body, as the vendor's client sends it."""
    if set(request.GET) & {"limit", "offset", "sort"} or not request.body:
        return query
    try:
        return MirrorPaging.model_validate(json.loads(request.body))
    except BadPaging as error:
        raise invalid(str(error.errors()[0]["loc"][-1]), error.errors()[0]["msg"]) from error
    # RecursionError: brackets nested deeper than Python's stack.
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "The body is not JSON.") from error


def _with_etag(mirror: Mirror, response: HttpResponse, *, with_names: bool = False) -> MirrorItem:
    response["ETag"] = etag(mirror.pk, mirror.version)
    return mirror_schemas.mirror_item(mirror, with_names=with_names)


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for method, path, view, code, answer in (
        ("GET", "/mirrors", list_mirrors, 200, ItemList),
        ("POST", "/mirrors", create_mirror, 201, JsonObject),
        ("GET", MIRROR, get_mirror, 200, JsonObject),
        ("PUT", MIRROR, change_mirror, 202, JsonObject),
        ("DELETE", MIRROR, delete_mirror, 204, None),
        ("POST", MIRROR + "/run", run, 200, JsonObject),
        ("POST", MIRROR + "/stop_mirror_sync", stop_mirror_sync, 200, JsonObject),
        ("POST", MIRROR + "/restart", restart, 200, JsonObject),
        ("POST", MIRROR + "/release", release, 200, JsonObject),
        ("GET", MIRROR + "/held_files", held_files, 200, ItemList),
        ("POST", MIRROR + "/release_files", release_files, 200, JsonObject),
    ):
        router.add_api_operation(
            base + path,
            [method],
            view,
            response={code: answer, **ERRORS},
            # OpenAPI wants each id once, and both addresses share a view.
            operation_id=view.__name__ + suffix,
        )
