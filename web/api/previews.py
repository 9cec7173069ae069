"""REST: look before you save: previews of mirrors, and what is at an address."""

from __future__ import annotations

from typing import TypedDict

from django.http import HttpRequest
from ninja import Field, Router, Status

from accounts.caller import caller_of
from accounts.disconnect import IsDisconnected, disconnect_check
from accounts.errors import ApiError
from accounts.models import User
from accounts.permissions import Attribute, Level, Scope
from ecosystems.errors import EcosystemError
from mirrors import form_fields, source_urls
from mirrors.models import MirrorType, Preview, Upstream
from runs import connection_test, preview
from runs.connection_test import ConnectionTestResult
from web.api.channel_access import ChannelRef, can_see, may_write_somewhere
from web.api.errors import ERRORS, ErrorResponse, not_found
from web.api.mirror_access import MirrorBody, channel_for_mirrors, find_mirror, sent_fields
from web.api.pagination import MAX_NUMBER
from web.api.schemas import JsonObject, RequestBody

router = Router(tags=["previews"])


class ConnectionTestBody(RequestBody):
    """Where to look: an address and what is expected there."""

    source_root: str
    mirror_type: str = MirrorType.CONDA.value
    proxy: str | None = None


class PreviewBody(MirrorBody):
    channel: str = Field(description="`name` or `name/subchannel`")
    mirror: str | None = Field(None, description="id or name of the mirror that is edited")


class PreviewItem(TypedDict):
    """`doing` says what it is at; `result` is null until it has one."""

    id: int
    state: str
    percentage: int
    doing: str
    error: str | None
    result: JsonObject | None


@router.post("/mirrors/preview", response={202: JsonObject, **ERRORS})
def start_preview(request: HttpRequest, body: PreviewBody) -> Status[PreviewItem]:
    """Judge how a mirror would turn out, without saving it."""
    top, _, sub = body.channel.partition("/")
    channel = channel_for_mirrors(request, ChannelRef(channel=top, sub=sub or None), Level.WRITE)
    mirror = find_mirror(channel, body.mirror) if body.mirror else None
    sent = sent_fields(body)
    # These say where the form belongs; the rest is the mirror's own form.
    sent.pop("channel", None)
    sent.pop("mirror", None)
    row = preview.begin(channel, sent, asker=caller_of(request), mirror=mirror)
    return Status(202, _preview_item(row))


@router.get("/mirrors/preview/{preview_id}", response={200: JsonObject, **ERRORS})
def get_preview(request: HttpRequest, preview_id: int) -> PreviewItem:
    """How far a preview is; then its counts, bytes, and what would come and go."""
    return _preview_item(_preview(request, preview_id))


@router.delete("/mirrors/preview/{preview_id}", response={204: None, **ERRORS})
def cancel_preview(request: HttpRequest, preview_id: int) -> Status[None]:
    """Cancel a preview."""
    preview.cancel(_preview(request, preview_id))
    return Status(204, None)


@router.post("/mirrors/test", response={200: JsonObject, 502: ErrorResponse, **ERRORS})
def test_connection(request: HttpRequest, body: ConnectionTestBody) -> ConnectionTestResult:
    """What is at an address, found with a handful of small requests within ten seconds."""
    caller = caller_of(request)
    # It makes this server send requests, so the right to read mirrors is not enough.
    caller.require_scope(Scope.CHANNEL_MIRROR_EDIT, Scope.SUBCHANNEL_MIRROR_EDIT)
    caller.require_level(Attribute.MIRROR, Level.WRITE)
    if caller.token and not may_write_somewhere(caller.token):
        raise ApiError(403, "This token does not have write for any channel.")
    form_fields.check_kind(body.mirror_type)
    source = source_urls.parse_source(body.source_root, into=None, owner=caller.user, actor=caller)
    proxy = source_urls.parse_proxy(body.proxy or "")
    upstream = source_urls.upstream_for(body.mirror_type, source, proxy, save=False)
    return _probe(upstream, caller.user, disconnect_check(request))


def _probe(
    upstream: Upstream, asker: User, is_disconnected: IsDisconnected
) -> ConnectionTestResult:
    try:
        return connection_test.probe(upstream, asker, is_disconnected=is_disconnected)
    except EcosystemError as error:
        raise ApiError(502, str(error)) from error


def _preview(request: HttpRequest, preview_id: int) -> Preview:
    caller = caller_of(request)
    caller.require_scope(Scope.CHANNEL_MIRROR_EDIT, Scope.SUBCHANNEL_MIRROR_EDIT)
    row = None
    # Databases refuse larger numbers instead of finding nothing.
    if 0 < preview_id <= MAX_NUMBER:
        rows = Preview.objects.select_related("channel__parent")
        row = rows.filter(pk=preview_id, asker=caller.user).first()
    if row is None or not can_see(caller, row.channel) or not preview.may_see(row, caller):
        raise not_found("preview")
    return row


def _preview_item(row: Preview) -> PreviewItem:
    return {
        "id": row.pk,
        "state": row.state,
        "percentage": row.percent,
        "doing": row.activity,
        "error": row.error or None,
        "result": row.result or None,
    }
