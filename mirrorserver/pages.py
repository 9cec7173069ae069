"""Pages that are about more than one app: the dashboard, and the errors."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse

from accounts.access import can
from accounts.pages import render, signed_in, user_of
from channels import access
from channels.models import Channel
from channels.views.snippets import snippets
from mirrors import shapes
from mirrors.models import Mirror, Run

CHANNELS = 30
MIRRORS_EACH = 5
NOTED = 10


@signed_in
def dashboard(request: HttpRequest) -> HttpResponse:
    """My channels with their mirrors, what runs, what needs attention, and the first steps."""
    user = user_of(request)
    visible = access.visible_channels(user)
    mine = visible.filter(Q(owner=user) | Q(parent__owner=user))
    owned = mine.exists()
    some = list((mine if owned else visible).order_by("-updated", "pk")[:CHANNELS])
    mirrors = _mirrors_of(some)
    busy, wrong = _noted(user, visible)
    channel = some[0] if some else None
    ready = next((one for one in some if one.current > 1), None)
    context = {
        "owned": owned,
        "channels": [(one, mirrors[one.pk][:MIRRORS_EACH], len(mirrors[one.pk])) for one in some],
        "more": len(some) == CHANNELS,
        "each": MIRRORS_EACH,
        "busy": busy,
        "wrong": wrong,
        "first": channel,
        "has_mirror": any(mirrors.values()),
        "ready": ready,
        "starting": not (channel and any(mirrors.values()) and ready),
        "snippet": snippets(ready or channel)[0] if channel else None,
        "may_mirror": can(user, "mirror", "write"),
        "may_create": can(user, "channel", "write"),
    }
    return render(request, "dashboard.html", context)


def _mirrors_of(channels: list[Channel]) -> dict[int, list[dict[str, Any]]]:
    """The mirrors of these channels, by the channel's id."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = list(
        shapes.with_all(Mirror.objects.filter(channel__in=channels, deleted=None)).order_by("name")[
            : CHANNELS * 10
        ]
    )
    for row, shape in zip(rows, shapes.prefixed(rows), strict=True):
        found[row.channel_id].append(shape)
    return found


def _noted(user: Any, visible: QuerySet[Channel]) -> tuple[list[Any], list[Any]]:
    """What runs now and what needs somebody, each with its channel."""
    if not can(user, "mirror", "read"):
        return [], []
    last = Run.objects.filter(mirror=OuterRef("pk")).order_by("-number").values("state")[:1]
    rows = Mirror.objects.filter(deleted=None, channel__in=visible.values("pk"))
    busy = rows.filter(runs__state__in=Run.ACTIVE).order_by("name")
    wrong = rows.annotate(last=Subquery(last)).filter(Q(last="failed") | ~Q(held={}))
    return _with_channel(busy), _with_channel(wrong.order_by("name"))


def _with_channel(rows: QuerySet[Mirror]) -> list[tuple[Channel, dict[str, Any]]]:
    some = list(shapes.with_all(rows)[:NOTED])
    return [(row.channel, shape) for row, shape in zip(some, shapes.prefixed(some), strict=True)]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """400."""
    return _error(request, 400, "This request cannot be read", "Go back and try it again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, with the role attribute that is missing."""
    detail = str(exception) or "Your role does not allow this."
    return _error(request, 403, "You may not do this", detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, with what was looked for where a page says so."""
    told = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    detail = told or "There is no page at this address."
    return _error(request, 404, "There is nothing here", detail)


def _error(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    context = {"status": status, "title": title, "detail": detail}
    return render(request, "error.html", context, status=status)
