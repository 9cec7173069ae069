"""Page: the dashboard, with one's channels, what runs and what needs attention."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse

from accounts.access import can
from accounts.permissions import Attribute, Level
from channels import access
from channels.models import Channel
from channels.states import ACTIVE, JobState
from mirrors.models import Mirror, Outcome, Run
from web.pages.guards import signed_in, user_of
from web.pages.mirror_access import may_write
from web.pages.mirror_rows import Row, lines, mirrors
from web.pages.rendering import render
from web.pages.snippets import snippets

CHANNELS = 30
MIRRORS_EACH = 5
NOTED = 10


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
