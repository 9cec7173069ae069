"""Pages that are about more than one app: the dashboard, and the errors."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace

from django.db import InterfaceError, OperationalError
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from redis import RedisError

from accounts import audit
from accounts.access import can
from accounts.limits import TooMany
from accounts.models import User
from accounts.permissions import Attribute, Level
from channels import access
from channels.models import Channel
from channels.states import ACTIVE, JobState
from mirrors.models import Mirror, Outcome, Run
from web.pages.common import render, signed_in, user_of
from web.pages.mirror_access import may_write
from web.pages.mirror_rows import Row, lines, mirrors
from web.pages.snippets import snippets

CHANNELS = 30
MIRRORS_EACH = 5
NOTED = 10
CRASHED = "An error of this server ended the request. Its log says more."
DATABASE_BUSY = "The database of this server is busy or does not answer now. Try again."
REDIS_BUSY = "The Redis of this server is busy, full or does not answer now. Try again."
BUSY_SECONDS = 5
PASSING = (OperationalError, InterfaceError, RedisError)
"""Errors of what this server needs, which pass."""


@signed_in
def dashboard(request: HttpRequest) -> HttpResponse:
    """My channels with their mirrors, what runs, what needs attention, and the first steps."""
    user = user_of(request)
    visible = access.visible_channels(user)
    mine = visible
    if not can(user, Attribute.CHANNEL, Level.MANAGE):
        mine = visible.filter(Q(owner=user) | Q(parent__owner=user))
    owned = mine.exists()
    some = list((mine if owned else visible).order_by("-updated_at", "pk")[:CHANNELS])
    counts, mirrors = _mirrors_of(request, some)
    busy, wrong = _noted(request, visible)
    channel = some[0] if some else None
    ready = next((one for one in some if one.current > 1), None)
    context = {
        "owned": owned,
        "channels": [(one, mirrors[one.pk], counts.get(one.pk, 0)) for one in some],
        "more": len(some) == CHANNELS,
        "each": MIRRORS_EACH,
        "busy": busy,
        "wrong": wrong,
        "first": channel,
        "has_mirror": bool(counts),
        "ready": ready,
        "starting": not (channel and counts and ready),
        "next": request.path,
        "snippet": snippets(ready or channel)[0] if channel else None,
        "may_mirror": can(user, Attribute.MIRROR, Level.WRITE),
        "may_create": can(user, Attribute.CHANNEL, Level.WRITE),
    }
    return render(request, "dashboard.html", context)


def _mirrors_of(
    request: HttpRequest, channels: list[Channel]
) -> tuple[dict[int, int], dict[int, list[Row]]]:
    """How many mirrors these channels have, and the first of them, by the channel's id."""
    user = request.user
    if not can(user, Attribute.MIRROR, Level.READ):
        channels = [one for one in channels if access.is_owner(user, one)]
    all_ = Mirror.objects.filter(channel__in=channels, deleted_at=None).order_by()
    counts = dict(all_.values_list("channel_id").annotate(count=Count("pk")))
    place = Window(RowNumber(), partition_by="channel_id", order_by="name")
    first = all_.annotate(place=place).filter(place__lte=MIRRORS_EACH).values_list("pk", flat=True)
    found: dict[int, list[Row]] = defaultdict(list)
    for row in _rows(request, mirrors().filter(pk__in=list(first))):
        found[row.mirror.channel_id].append(row)
    return counts, found


def _noted(request: HttpRequest, visible: QuerySet[Channel]) -> tuple[list[Row], list[Row]]:
    """What runs now and what needs somebody."""
    if not can(request.user, Attribute.MIRROR, Level.READ):
        return [], []
    last = Run.objects.filter(mirror=OuterRef("pk")).order_by("-number")
    rows = Mirror.objects.filter(deleted_at=None, channel__in=visible.values("pk")).order_by("name")
    busy = rows.filter(runs__state__in=ACTIVE)
    wrong = rows.annotate(
        last=Subquery(last.values("state")[:1]), outcome=Subquery(last.values("outcome")[:1])
    ).filter(Q(last=JobState.FAILED) | Q(outcome=Outcome.ERRORS) | ~Q(held={}) | ~Q(waiting={}))
    running, failed = (set(part.values_list("pk", flat=True)[:NOTED]) for part in (busy, wrong))
    found = _rows(request, mirrors().filter(pk__in=running | failed))
    return (
        [row for row in found if row.mirror.pk in running],
        [row for row in found if row.mirror.pk in failed],
    )


def _rows(request: HttpRequest, some: QuerySet[Mirror]) -> list[Row]:
    """The lines of these mirrors, each with what the user may do with it."""
    found = lines(some.order_by("name"), may_write=False)
    return [replace(row, may_write=may_write(request, row.mirror.channel)) for row in found]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """400."""
    return _error(request, 400, "This request cannot be read", "Go back and try it again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, with the role attribute that is missing."""
    detail = str(exception) or "Your role does not allow this."
    audit.refused(request, request.user if isinstance(request.user, User) else None, detail)
    return _error(request, 403, "You may not do this", detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, with what was looked for where a page says so."""
    told = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    detail = told or "There is no page at this address."
    return _error(request, 404, "There is nothing here", detail)


def too_many(request: HttpRequest, error: TooMany) -> HttpResponse:
    """429; a part of a page gets the sentence alone."""
    if "HX-Request" in request.headers:
        response = HttpResponse(error.message, status=429, content_type="text/plain; charset=utf-8")
    else:
        response = _error(request, 429, "Too many requests", error.message)
    response["Retry-After"] = str(error.retry_after)
    return response


def too_many_tries(request: HttpRequest) -> HttpResponse:
    """The same for what django-allauth counts, which finds this as `handler429`."""
    return too_many(request, TooMany("Too many tries. Wait a minute, then try again.", 60))


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 where the database or Redis is busy or away, which passes."""
    error = sys.exc_info()[1]
    if not isinstance(error, PASSING):
        return _static(request, 500, "Something went wrong", CRASHED)
    what = "Redis" if isinstance(error, RedisError) else "The database"
    response = _static(request, 503, f"{what} is busy", busy(error))
    response["Retry-After"] = str(BUSY_SECONDS)
    return response


def busy(error: Exception) -> str:
    """The sentence for one of the errors in `PASSING`."""
    return REDIS_BUSY if isinstance(error, RedisError) else DATABASE_BUSY


def _static(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    """Without the database, which other pages need to know who is signed in.

    A page for a person's browser; the sentence alone for a part of a page, and for programs.
    """
    page = "text/html" in request.headers.get("Accept", "") and "HX-Request" not in request.headers
    if page:
        context = {"status": status, "title": title, "detail": detail}
        response = HttpResponse(render_to_string("500.html", context), status=status)
    else:
        response = HttpResponse(detail, status=status, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Accept", "HX-Request"])
    return response


def _error(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    context = {"status": status, "title": title, "detail": detail}
    return render(request, "error.html", context, status=status)
