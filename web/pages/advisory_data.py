"""Pages: where advisory data comes from: feeds, uploads, the bundle, and the conda name mapping."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.access import can
from accounts.errors import ApiError
from accounts.permissions import Attribute, Level
from advisories import curation, feeds, staleness
from advisories.models import Advisory, Curation, Feed, Mapping
from publishing import advisory_changes
from web.api.advisory_data import (
    bundle_response,
    import_uploaded,
    mapped_by_hand,
    request_refresh,
)
from web.pages.channel_forms import add_errors
from web.pages.cve_forms import MappingForm, UploadForm
from web.pages.guards import require_level, signed_in, user_of
from web.pages.pagination import paginate, text_parameter
from web.pages.rendering import Context, render


@signed_in
def data(request: HttpRequest) -> HttpResponse:
    """The feeds with their age and errors, and what people said of names by hand."""
    require_level(request, Attribute.CVE, Level.READ)
    return _page(request)


@signed_in
def import_file(request: HttpRequest) -> HttpResponse:
    """Import an upload."""
    require_level(request, Attribute.CVE, Level.WRITE)
    if request.method != "POST":
        # After signing in again, the browser is sent back to the address of the form.
        return redirect(reverse("cve-data"))
    form = UploadForm(request.POST)
    # `StyledForm` is made from texts alone; this is the one form with a file.
    form.files = request.FILES
    if not form.is_valid():
        return _page(request, upload=form)
    try:
        result = import_uploaded(form.cleaned_data["file"])
    except ApiError as error:
        # The API's sentence begins with the name of the field, at which the form shows it anyway.
        form.add_error("file", error.message.removeprefix("file: "))
        return _page(request, upload=form)
    channels = advisory_changes.request()
    judged = f" {len(channels):,} channels are judged again." if channels else ""
    messages.success(request, f"{result.source.label}: {result}.{judged}")
    return redirect(reverse("cve-data"))


@require_POST
@signed_in
def refresh(request: HttpRequest) -> HttpResponse:
    """Have a worker fetch the feeds now."""
    require_level(request, Attribute.CVE, Level.WRITE)
    try:
        request_refresh()
    except ApiError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The feeds are being fetched.")
    return redirect(reverse("cve-data"))


@signed_in
def export(request: HttpRequest) -> HttpResponseBase:
    """Everything as one bundle."""
    require_level(request, Attribute.CVE, Level.WRITE)
    try:
        return bundle_response()
    except ApiError as error:
        messages.error(request, error.message)
        return redirect(reverse("cve-data"))


@require_POST
@signed_in
def map_name(request: HttpRequest) -> HttpResponse:
    """Say by hand which Python projects a conda package holds."""
    require_level(request, Attribute.CVE, Level.WRITE)
    form = MappingForm(request.POST)
    if not form.is_valid():
        return _page(request, mapping=form)
    name, projects = form.cleaned_data["conda_name"], form.cleaned_data["projects"]
    try:
        # An empty field means that it is no Python package, as its help says.
        curation.map_name(name, projects or None, author=user_of(request).get_username())
    except ValidationError as error:
        add_errors(form, error)
        return _page(request, mapping=form)
    advisory_changes.request()
    messages.success(request, f"The entry for {name} is saved.")
    return redirect(reverse("cve-data"))


@require_POST
@signed_in
def unmap_name(request: HttpRequest, conda_name: str) -> HttpResponse:
    """Forget what was said by hand."""
    require_level(request, Attribute.CVE, Level.WRITE)
    row = mapped_by_hand(conda_name)
    # A second click finds nothing to do: the entry is gone already.
    if row is not None:
        curation.unmap_name(row, actor=user_of(request).get_username())
        advisory_changes.request()
        messages.success(request, f"The entry for {conda_name} is removed.")
    return redirect(reverse("cve-data"))


def _page(
    request: HttpRequest, *, upload: UploadForm | None = None, mapping: MappingForm | None = None
) -> HttpResponse:
    query = text_parameter(request, "q")
    rows = Mapping.objects.order_by("conda_name", "-by_hand")
    # Unless somebody searches, only what people said: the feed maps every name of a channel.
    rows = rows.filter(conda_name__icontains=query) if query else rows.filter(by_hand=True)
    context: Context = {
        "feeds": Feed.objects.order_by("source", "url"),
        "configured": any(feeds.configured()),
        "stale": staleness.stale_sources(),
        "advisories": Advisory.objects.filter(withdrawn=False).count(),
        "curations": Curation.objects.count(),
        "mappings": Mapping.objects.count(),
        "upload": upload or UploadForm(),
        "mapping": mapping or MappingForm(),
        "query": query,
        "page": paginate(request, rows),
        "may_curate": can(request.user, Attribute.CVE, Level.WRITE),
    }
    wrong = any(form is not None and form.errors for form in (upload, mapping))
    return render(request, "cves/data.html", context, status=422 if wrong else 200)
