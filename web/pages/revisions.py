"""Pages: the revisions of a channel, what changed between two, pin, roll back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings as django_settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.permissions import Level
from channels import rollback, services
from channels.errors import WrongState
from channels.models import Channel, Revision
from channels.revision_difference import KINDS, difference
from web.pages.channel_frame import channel_url, get_channel, render_tab
from web.pages.guards import signed_in, user_of
from web.pages.pagination import number_parameter, paginate, text_parameter
from web.pages.rendering import confirm

MAX_FILES = 500
"""How many file names are shown on a page."""
# Below the largest integer of the database's column.
MAX_NUMBER = 1_000_000_000


@signed_in
def revisions(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """The kept revisions, newest first."""
    channel = get_channel(request, c, s)
    # A number above the current one belongs to a publication that is not complete.
    kept_revisions = channel.revisions.filter(number__lte=channel.current).order_by("-number")
    page = paginate(request, kept_revisions)
    older = _predecessors(page.rows, channel)
    rows = [{"revision": row, "older": older.get(row.number)} for row in page.rows]
    base = f"{django_settings.PUBLIC_URL}/api/repo/{channel.path}"
    context = {
        "page": page,
        "rows": rows,
        "numbered": f"{base}.r{channel.current}",
        "all_kept_hours": django_settings.KEEP_HOURS,
        "daily_kept_days": django_settings.KEEP_DAYS,
        "dated": f"{base}.{datetime.now(UTC).date()}",
        "numbers": [row.number for row in page.rows],
    }
    return render_tab(
        request,
        channel,
        "channel-revisions",
        template="channels/revisions.html",
        context=context,
    )


@signed_in
def compare(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Go to the difference of the two revisions that were chosen."""
    channel = get_channel(request, c, s)
    a = number_parameter(request, "a", maximum=MAX_NUMBER)
    b = number_parameter(request, "b", maximum=MAX_NUMBER)
    # People choose in either order; a difference goes from the older to the newer one.
    return redirect(channel_url(channel, "channel-difference", a=min(a, b), b=max(a, b)))


@signed_in
def changes(request: HttpRequest, a: int, b: int, c: str, s: str | None = None) -> HttpResponse:
    """What changed from one revision to another."""
    channel = get_channel(request, c, s)
    first, last = _get_revision(channel, a), _get_revision(channel, b)
    after = text_parameter(request, "after")
    try:
        file_changes = difference(channel, first.number, last.number, limit=MAX_FILES, after=after)
    except ValueError as error:
        raise Http404(f"{error}.") from error
    groups = [
        {
            "label": kind.capitalize(),
            "total": file_changes.counts[kind],
            "files": getattr(file_changes, kind),
        }
        for kind in KINDS
    ]
    return render_tab(
        request,
        channel,
        "channel-revisions",
        template="channels/changes.html",
        context={
            "first": first,
            "last": last,
            "groups": groups,
            "changes": file_changes,
            "after": after,
        },
    )


@signed_in
@require_POST
def pin(request: HttpRequest, number: int, c: str, s: str | None = None) -> HttpResponse:
    """Pin a revision, which is then always kept, or unpin it."""
    channel = get_channel(request, c, s, level=Level.WRITE)
    pinned = request.POST.get("pinned") == "yes"
    actor = user_of(request).get_username()
    try:
        services.pin(channel, number, pinned=pinned, actor=actor)
    except WrongState as error:
        messages.error(request, str(error))
    else:
        word = "is always kept" if pinned else "is no longer pinned"
        messages.success(request, f"Revision {number} {word}.")
    return redirect(channel_url(channel, "channel-revisions"))


@signed_in
def roll_back(request: HttpRequest, number: int, c: str, s: str | None = None) -> HttpResponse:
    """Show clients an older revision's content again, and freeze the channel there."""
    channel = get_channel(request, c, s, level=Level.WRITE)
    target = _get_revision(channel, number)
    if request.method == "POST":
        try:
            new_revision = rollback.roll_back(
                channel, number, actor=user_of(request).get_username()
            )
        except WrongState as error:
            messages.error(request, str(error))
        else:
            messages.success(
                request,
                f"{channel.path} rolled back to revision {number}, as revision "
                f"{new_revision.number}, and frozen there.",
            )
        return redirect(channel_url(channel, "channel-revisions"))
    now = channel.revisions.filter(number=channel.current).first()
    losses = [
        f"Clients get the {target.files:,} files of {target.created_at:%Y-%m-%d %H:%M} UTC again"
        + (f" instead of today's {now.files:,}." if now else "."),
        "The channel is frozen there: changes wait until it is unfrozen. No revision is deleted.",
    ]
    return confirm(
        request,
        title=f"Roll {channel.path} back to revision {number}?",
        losses=losses,
        verb="Roll back",
        back=channel_url(channel, "channel-revisions"),
    )


def _get_revision(channel: Channel, number: int) -> Revision:
    row = channel.revisions.filter(number=number, number__lte=channel.current).first()
    if row is None:
        raise Http404(f"Revision {number} of {channel.path} does not exist or is no longer kept.")
    return row


def _predecessors(rows: Sequence[Revision], channel: Channel) -> dict[int, int]:
    """The kept revision before each of these."""
    numbers = [row.number for row in rows]
    if not numbers:
        return {}
    # The predecessor of the page's last row is on the next page.
    before = channel.revisions.filter(number__lt=numbers[-1]).order_by("-number").first()
    following = [*numbers[1:], before.number if before else None]
    return {new: old for new, old in zip(numbers, following, strict=True) if old is not None}
