"""Pages: one advisory, what is decided about it, and who downloaded the files that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import islice

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts.access import can
from accounts.permissions import Attribute, Level
from advisories import curation, details
from advisories.models import Advisory
from channels import access
from channels.models import Channel
from history.models import Event, EventType
from publishing import advisory_changes
from publishing.advisory_listings import (
    channels_of,
    count_files,
    downloads_of,
    files_of,
    packages_of,
)
from publishing.advisory_search import listings_of
from web.pages.channel_forms import add_errors
from web.pages.cve_forms import CurationForm
from web.pages.cves import may_see_downloads
from web.pages.guards import require_level, signed_in, user_of
from web.pages.pagination import PAGE_SIZE, Page, page_number
from web.pages.rendering import confirm, render

MOST_EVENTS = 50
MOST_DOWNLOADS = 500
DOWNLOAD_DAYS = 365


@signed_in
def advisory(request: HttpRequest, id: str) -> HttpResponse:
    """All that is known of an advisory; a POST to it decides."""
    row = _get(request, id)
    channels = access.visible_channels(request.user)
    # Of visible channels: the choices would otherwise name packages of private ones.
    packages = packages_of(row.name, channels)
    form = CurationForm(
        request.POST or None, packages=[(family, name) for family, name, _ in packages]
    )
    if request.method == "POST":
        require_level(request, Attribute.CVE, Level.WRITE)
        if form.is_valid() and _save(request, row, form):
            return redirect(reverse("cve", args=[row.name]))
    number = page_number(request)
    files = files_of(row.name, channels, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    records = details.of_records(row.records.order_by("pk"))
    ids = curation.ids(row)
    # Without a channel: decisions are the server's, and in channels the same type says what came
    # of them. By every id, since a decision has the one that its author used.
    events = Event.objects.filter(
        channel_id=None, type=EventType.CVE_UPDATED, data__advisory__in=ids
    )
    context = {
        "advisory": row,
        "aliases": ids[1:],
        "records": records,
        "description": details.description(records),
        "references": details.references(records),
        "listing": listings_of([row], channels)[row.name],
        "packages": packages,
        "served": channels_of(row.name, channels),
        "page": Page(files, number, count_files(row.name, channels)),
        "curations": curation.of_advisory(row),
        "events": events.order_by("-pk")[:MOST_EVENTS],
        "form": form,
        "may_curate": can(request.user, Attribute.CVE, Level.WRITE),
    }
    return render(request, "cves/advisory.html", context, status=422 if form.errors else 200)


@signed_in
def withdraw(request: HttpRequest, id: str, number: int) -> HttpResponse:
    """Take a decision back."""
    row = _get(request, id)
    require_level(request, Attribute.CVE, Level.WRITE)
    # Of this advisory only: the number is any that stands in an address.
    decision = curation.of_advisory(row).filter(pk=number).first()
    if decision is None:
        raise Http404("This decision has been withdrawn already.")
    address = reverse("cve", args=[row.name])
    if request.method == "POST":
        curation.withdraw([decision], actor=user_of(request).get_username())
        advisory_changes.request()
        messages.success(request, "Decision withdrawn.")
        return redirect(address)
    return confirm(
        request,
        title=f"Withdraw “{decision.status.capitalize()}” for {decision.package}?",
        losses=["What was decided before takes effect again, at once and in every channel."],
        verb="Withdraw",
        back=address,
    )


@signed_in
def downloads(request: HttpRequest, id: str) -> HttpResponse:
    """Who downloaded the files, in the channels that the user manages."""
    row = _get(request, id)
    managed = may_see_downloads(request, access.visible_channels(request.user))
    since = timezone.now().date() - timedelta(days=DOWNLOAD_DAYS)
    channels = Channel.objects.filter(pk__in=managed)
    # One more than is shown says that there are more, without reading them all.
    rows = list(islice(downloads_of(row.name, channels, since=since), MOST_DOWNLOADS + 1))
    context = {
        "advisory": row,
        "rows": rows[:MOST_DOWNLOADS],
        "more": len(rows) > MOST_DOWNLOADS,
        "most": MOST_DOWNLOADS,
        "days": DOWNLOAD_DAYS,
        "managed": len(managed),
    }
    return render(request, "cves/downloads.html", context)


def _get(request: HttpRequest, id: str) -> Advisory:
    require_level(request, Attribute.CVE, Level.READ)
    # The id is any text: PostgreSQL takes no NUL in one, so nothing can have such a name.
    row = None if "\x00" in id else curation.find(id)
    if row is None:
        raise Http404(f"No source has an advisory {id[:100]}.")
    return row


def _save(request: HttpRequest, row: Advisory, form: CurationForm) -> bool:
    decisions: Sequence[curation.Decision] = form.decisions(row.name)
    try:
        curation.curate_all(decisions, author=user_of(request).get_username())
    except ValidationError as error:
        _show(form, error)
        return False
    advisory_changes.request()
    messages.success(request, "Decision saved. Channels are published again where it matters.")
    return True


def _show(form: CurationForm, error: ValidationError) -> None:
    """Errors of several decisions have the place of each in their keys; the fields are the same."""
    fields: dict[str, list[str]] = {}
    for key, sentences in getattr(error, "message_dict", {"": error.messages}).items():
        fields.setdefault(key.rpartition(".")[2], sentences)
    add_errors(form, ValidationError(fields) if "" not in fields else error)
