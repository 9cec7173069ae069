"""Page: the dashboard, with one's channels, what runs and what needs attention."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest, HttpResponse

from accounts.access import can
from accounts.permissions import Attribute, Level
from advisories import staleness
from channels import access
from channels.models import Channel
from channels.states import ACTIVE, JobState
from mirrors.models import Mirror, Run, RunOutcome
from publishing import advisory_search
from publishing.advisory_search import open_by_severity
from web.pages.guards import signed_in, user_of
from web.pages.mirror_access import may_write
from web.pages.mirror_rows import MirrorRow, all_mirrors, build_rows
from web.pages.rendering import render
from web.pages.snippets import snippets

# The dashboard is for what changes; the pages of channels and mirrors list everything.
MAX_CHANNELS = 30
MIRRORS_PER_CHANNEL = 5
MAX_MIRRORS_LISTED = 10


@signed_in
def dashboard(request: HttpRequest) -> HttpResponse:
    """My channels with their mirrors, what runs, what needs attention, and the first steps."""
    user = user_of(request)
    visible = access.visible_channels(user)
    own_channels = visible
    if not can(user, Attribute.CHANNEL, Level.MANAGE):
        own_channels = visible.filter(Q(owner=user) | Q(parent__owner=user))
    owned = own_channels.exists()
    listed = list((own_channels if owned else visible).order_by("-updated_at", "pk")[:MAX_CHANNELS])
    counts, rows_by_channel = _mirrors_of(request, listed)
    busy, attention = _busy_and_failing(request, visible)
    first_channel = listed[0] if listed else None
    # Creating a channel publishes its empty revision 1: the first with packages is 2.
    ready = next((channel for channel in listed if channel.current > 1), None)
    context = {
        "owned": owned,
        "channels": [
            (channel, rows_by_channel[channel.pk], counts.get(channel.pk, 0)) for channel in listed
        ],
        "more": len(listed) == MAX_CHANNELS,
        "each": MIRRORS_PER_CHANNEL,
        "advisories": _advisories(request, visible),
        "running": busy,
        "needs_attention": attention,
        "first": first_channel,
        "has_mirror": bool(counts),
        "ready": ready,
        "starting": not (first_channel and counts and ready),
        "next": request.path,
        "snippet": snippets(ready or first_channel)[0] if first_channel else None,
        "may_mirror": can(user, Attribute.MIRROR, Level.WRITE),
        "may_create": can(user, Attribute.CHANNEL, Level.WRITE),
    }
    return render(request, "dashboard.html", context)


def _mirrors_of(
    request: HttpRequest, channels: list[Channel]
) -> tuple[dict[int, int], dict[int, list[MirrorRow]]]:
    """How many mirrors these channels have, and the first of them, by the channel's id."""
    user = request.user
    if not can(user, Attribute.MIRROR, Level.READ):
        channels = [channel for channel in channels if access.is_owner(user, channel)]
    mirror_rows = Mirror.objects.filter(channel__in=channels, deleted_at=None).order_by()
    # Without an order: Django would group by its columns, too, and count each mirror alone.
    counts = dict(mirror_rows.values_list("channel_id").annotate(count=Count("pk")))
    # One query for all channels instead of one for each.
    position = Window(RowNumber(), partition_by="channel_id", order_by="name")
    first_mirrors = (
        mirror_rows.annotate(place=position)
        .filter(place__lte=MIRRORS_PER_CHANNEL)
        .values_list("pk", flat=True)
    )
    rows: dict[int, list[MirrorRow]] = defaultdict(list)
    for row in _rows(request, all_mirrors().filter(pk__in=list(first_mirrors))):
        rows[row.mirror.channel_id].append(row)
    return counts, rows


def _busy_and_failing(
    request: HttpRequest, visible: QuerySet[Channel]
) -> tuple[list[MirrorRow], list[MirrorRow]]:
    """The mirrors that run now, and those that need attention."""
    # What a role may not see on the pages of mirrors, it does not see here either.
    if not can(request.user, Attribute.MIRROR, Level.READ):
        return [], []
    last_run = Run.objects.filter(mirror=OuterRef("pk")).order_by("-number")
    visible_mirrors = Mirror.objects.filter(
        deleted_at=None, channel__in=visible.values("pk")
    ).order_by("name")
    busy = visible_mirrors.filter(runs__state__in=ACTIVE)
    attention = visible_mirrors.annotate(
        last=Subquery(last_run.values("state")[:1]),
        outcome=Subquery(last_run.values("outcome")[:1]),
    ).filter(
        Q(last=JobState.FAILED)
        | Q(outcome=RunOutcome.ERRORS)
        | ~Q(held={})
        | ~Q(withheld_removals={})
    )
    running, failed = (
        set(candidates.values_list("pk", flat=True)[:MAX_MIRRORS_LISTED])
        for candidates in (busy, attention)
    )
    rows = _rows(request, all_mirrors().filter(pk__in=running | failed))
    return (
        [row for row in rows if row.mirror.pk in running],
        [row for row in rows if row.mirror.pk in failed],
    )


def _advisories(request: HttpRequest, visible: QuerySet[Channel]) -> dict[str, object] | None:
    """Open advisories by severity over these channels; None for who may not see advisories."""
    if not can(request.user, Attribute.CVE, Level.READ):
        return None
    has_data = staleness.has_data()
    listed = advisory_search.find(advisory_search.Search(visible))
    counts = open_by_severity(visible) if has_data else {}
    return {
        "has_data": has_data,
        "stale": staleness.stale_sources() if has_data else [],
        "open": [(band, number) for band, number in counts.items() if number],
        "malware": listed.filter(malware=True).count() if has_data else 0,
    }


def _rows(request: HttpRequest, queryset: QuerySet[Mirror]) -> list[MirrorRow]:
    """The lines of these mirrors, each with what the user may do with it."""
    rows = build_rows(queryset.order_by("name"), may_write=False)
    return [replace(row, may_write=may_write(request, row.mirror.channel)) for row in rows]
