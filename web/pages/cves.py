"""Pages: the CVEs of all channels that the user may see, and those of one channel."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.access import can
from accounts.permissions import Attribute, Level
from advisories import curation, staleness
from advisories.curation import Decision
from advisories.formats.scores import Severity
from advisories.formats.statement import Status
from advisories.models import Advisory
from channels import access
from channels.models import Channel, ListedAdvisory
from publishing import advisory_changes, advisory_search, vex
from publishing.advisory_listings import severity_counts
from publishing.advisory_search import MALWARE, SORTS, AdvisoryListing, Search
from web.pages.channel_frame import get_channel, render_tab
from web.pages.cve_forms import BulkForm
from web.pages.guards import require_level, signed_in, user_of
from web.pages.pagination import Page, paginate, text_parameter
from web.pages.rendering import Context, render

# The worst first. `unknown` is the lowest member, but what has no score may be anything: it stands
# apart at the end.
SEVERITIES = (
    (MALWARE, "Malware"),
    *((str(band), band.capitalize()) for band in reversed(Severity) if band != Severity.UNKNOWN),
    (str(Severity.UNKNOWN), "No score"),
)
STATUSES = tuple((str(status), status.capitalize()) for status in Status)
ECOSYSTEMS = (("conda", "conda"), ("python", "Python"), ("cran", "R"))


@dataclass(frozen=True, slots=True)
class CveRow:
    """A line of a list."""

    advisory: Advisory
    listing: AdvisoryListing


@signed_in
def all_cves(request: HttpRequest) -> HttpResponse:
    """Advisories about what channels list that the user may see, or all that are known."""
    require_level(request, Attribute.CVE, Level.READ)
    everything = request.GET.get("show") == "all"
    # An advisory is public; which channels list its files is not.
    channels = access.visible_channels(request.user)
    context = {**_list(request, channels, listed=not everything), "everything": everything}
    return render(request, "cves/all.html", context)


@signed_in
def channel_cves(request: HttpRequest, c: str, s: str | None = None) -> HttpResponse:
    """Advisories about what a channel lists; a POST decides about several of them."""
    # The channel first: who may not know of it gets 404, whatever their role says of CVEs.
    channel = get_channel(request, c, s)
    require_level(request, Attribute.CVE, Level.READ)
    form = BulkForm(request.POST or None)
    if request.method == "POST":
        require_level(request, Attribute.CVE, Level.WRITE)
        if form.is_valid() and _decide(request, channel, form):
            # With the query, so that the list is searched and sorted as before.
            return redirect(request.get_full_path())
    channels = Channel.objects.filter(pk=channel.pk)
    counts = severity_counts(channels).get(channel.pk, {})
    context = {
        **_list(request, channels, listed=True),
        "form": form,
        "counts": [(band, number) for band, number in counts.items() if number],
        "curated": vex.curations_of(channel).exists(),
        "vex": f"/api/channels/{_api_path(channel)}/vex",
    }
    return render_tab(
        request,
        channel,
        "channel-cves",
        template="cves/channel.html",
        context=context,
        status=422 if form.errors else 200,
    )


def _decide(request: HttpRequest, channel: Channel, form: BulkForm) -> bool:
    """Decide about all packages that the channel lists of the selected advisories."""
    selected = request.POST.getlist("advisory")
    # Only of what the channel lists, whatever names were sent: nothing else was on the page.
    rows = ListedAdvisory.objects.filter(channel=channel, advisory__in=selected).order_by()
    # A package has a row for each platform and status, and is decided about once.
    listed = sorted(set(rows.values_list("advisory", "family", "package")))
    if not listed:
        form.add_error(None, "Select at least one advisory.")
        return False
    data = form.cleaned_data
    decisions = [
        Decision(advisory, family, package, data["status"], data["reason"])
        for advisory, family, package in listed
    ]
    try:
        curation.curate_all(decisions, author=user_of(request).get_username())
    except ValidationError as error:
        # Keys of the errors are places in a list that this form does not show.
        form.add_error(None, error.messages[0])
        return False
    advisory_changes.request()
    messages.success(request, f"{len(decisions):,} decisions saved.")
    return True


def _list(request: HttpRequest, channels: QuerySet[Channel], *, listed: bool) -> Context:
    query = text_parameter(request, "q")
    sort = request.GET.get("sort", "-score")
    if sort.removeprefix("-") not in SORTS:
        # Unlike in the API no error: an address that was edited or bookmarked still shows a list.
        sort = "-score"
    chosen = {
        "severity": _chosen(request, "severity", SEVERITIES),
        "status": _chosen(request, "status", STATUSES),
        "ecosystem": _chosen(request, "ecosystem", ECOSYSTEMS),
    }
    search = Search(channels, text=query, listed=listed, **chosen)
    rows = advisory_search.ordered(advisory_search.find(search), sort, channels)
    page = paginate(request, rows)
    listings = advisory_search.listings_of(page.rows, channels)
    has_data = staleness.has_data()
    return {
        **chosen,
        "query": query,
        "sort": sort,
        "page": Page(
            [CveRow(row, listings[row.name]) for row in page.rows], page.number, page.total
        ),
        "filtered": bool(query or any(chosen.values())),
        "severities": SEVERITIES,
        "statuses": STATUSES,
        "ecosystems": ECOSYSTEMS,
        "has_data": has_data,
        # Where there is no data at all, the page says that; its age would be a second warning.
        "stale": staleness.stale_sources() if has_data else [],
        "may_curate": can(request.user, Attribute.CVE, Level.WRITE),
    }


def _chosen(request: HttpRequest, key: str, choices: tuple[tuple[str, str], ...]) -> str:
    value = request.GET.get(key, "")
    return value if value in dict(choices) else ""


def _api_path(channel: Channel) -> str:
    top, _, sub = channel.path.partition("/")
    return f"{top}/subchannels/{sub}" if sub else top


def may_see_downloads(request: HttpRequest, channels: QuerySet[Channel]) -> list[int]:
    """The channels whose users' names the user may see: those they manage."""
    return [
        channel.pk
        for channel in channels.select_related("parent", "owner")
        # Who downloaded what is about people, so the right to read a channel is not enough.
        if access.can(request.user, channel, Level.MANAGE)
    ]
