"""Pages: the Mirrors tab of a channel, All Repository Mirrors, and the rows that are polled."""

from __future__ import annotations

from dataclasses import replace

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from accounts.permissions import Attribute, Level
from mirrors.models import Mirror
from web.pages import mirror_rows
from web.pages.channel_frame import channel_url, render_tab
from web.pages.guards import require_level, signed_in
from web.pages.mirror_access import channel_for_mirrors, get_mirror
from web.pages.mirror_access import may_write as writable
from web.pages.pagination import paginate
from web.pages.rendering import render


@signed_in
def channel_mirrors(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """The mirrors of a channel with their current states."""
    channel = channel_for_mirrors(request, c, s, level=Level.READ)
    mirrors = mirror_rows.all_mirrors().filter(channel=channel)
    context = _context(request, mirrors, may_write=writable(request, channel))
    context["bulk"] = channel_url(channel, "mirrors-bulk")
    return render_tab(
        request, channel, "channel-mirrors", template="mirrors/channel.html", context=context
    )


@signed_in
def all_mirrors(request: HttpRequest) -> HttpResponse:
    """The mirrors of all channels that the user may read, for roles with mirror = manage."""
    require_level(request, Attribute.MIRROR, Level.MANAGE)
    context = _context(request, mirror_rows.visible_mirrors(request.user), may_write=True)
    context |= {"everywhere": True, "bulk": reverse("all-bulk")}
    return render(request, "mirrors/all.html", context)


@signed_in
def row(request: HttpRequest, pk: int, c: str, s: str | None = None) -> HttpResponse:
    """One row as it is now; nothing where the mirror is gone, which removes it from the page."""
    try:
        mirror = get_mirror(request, c, s, pk, level=Level.READ)
    except Http404:
        # 200, not 404: htmx swaps nothing on an error, and the row would stay.
        return HttpResponse("")
    line = mirror_rows.build_rows(
        mirror_rows.all_mirrors().filter(pk=mirror.pk), may_write=writable(request, mirror.channel)
    )
    everywhere = "all" in request.GET
    context = {"row": line[0], "everywhere": everywhere, "next": request.GET.get("next", "")}
    return render(request, "mirrors/row.html", context)


def _context(
    request: HttpRequest, mirrors: QuerySet[Mirror], *, may_write: bool
) -> dict[str, object]:
    matching = mirror_rows.matching(mirrors, request.GET)
    chosen = mirror_rows.selected_filters(request)
    sort = mirror_rows.sort_of(request)
    page = paginate(
        request, mirror_rows.in_order(mirror_rows.in_state(matching, chosen["state"]), sort)
    )
    return {
        **chosen,
        "sort": sort,
        "page": page,
        "rows": [
            # Per channel: the list of all mirrors has channels in which the user may only read.
            replace(line, may_write=writable(request, line.mirror.channel))
            for line in mirror_rows.build_rows(page.rows, may_write=may_write)
        ],
        "totals": mirror_rows.by_state(matching),
        "filtered": any(chosen[key] for key in ("query", "state", "mode", "kind")),
        "next": request.get_full_path(),
        "may_write": may_write,
    }
