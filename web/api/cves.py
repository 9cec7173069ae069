"""REST: advisories, the files they are about, and those of a channel or a package.

The rule: an advisory is public knowledge, which channels list its files is not. Counts, packages,
files and channels are those of the channels that the caller may know of.
"""

from __future__ import annotations

from typing import Literal

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Field, Path, Query, Router

from accounts.caller import caller_of
from accounts.permissions import Attribute, Level, Scope
from advisories import curation
from advisories.models import Advisory
from channels.models import Channel
from ecosystems import registry
from publishing import advisory_search
from publishing.advisory_listings import count_files, files_of
from publishing.advisory_search import SORTS, Search
from web.api import cve_items
from web.api.channel_access import CHANNEL, SUBCHANNEL, ChannelRef, get_channel, visible_channels
from web.api.cve_items import CveDetails
from web.api.errors import ERRORS, invalid, not_found
from web.api.pagination import COUNT_LIMIT, MAX_NUMBER, Paging, item_list
from web.api.schemas import CountedAnswer, CountedList, ItemList, JsonObject, ListAnswer

router = Router(tags=["cves"])

# The same as for packages: a client pages through both lists alike.
MOST_ITEMS = 1000
DEFAULT_ITEMS = 100


class CveSearch(Paging):
    q: str = Field("", max_length=200)
    # Spelt out, so that OpenAPI lists the words and any other is refused with the field's name.
    severity: Literal["", "malware", "unknown", "none", "low", "medium", "high", "critical"] = ""
    status: Literal["", "reported", "active", "mitigated", "cleared", "disputed"] = ""
    ecosystem: Literal["", "conda", "python", "cran"] = ""
    sort: str = "-score"


class EveryCveSearch(CveSearch):
    listed: bool = False
    """Only advisories about what channels list that you may know of."""


def get_advisory(request: HttpRequest, id: str) -> Advisory:
    """The advisory that any of its ids names; 404 where there is none."""
    # Before the look-up: a 404 would tell who may see no advisory which ones are known here.
    may_view(request)
    advisory = curation.find(id)
    if advisory is None:
        raise not_found("advisory")
    return advisory


def may_view(request: HttpRequest) -> None:
    """Raise 403 unless the caller may see advisories."""
    caller = caller_of(request)
    caller.require_scope(Scope.CVE_VIEW)
    caller.require_level(Attribute.CVE, Level.READ)


@router.get("/cves", response={200: CountedList, **ERRORS})
def list_cves(request: HttpRequest, search: Query[EveryCveSearch]) -> CountedAnswer:
    """Advisories, the highest score first; at most 1,000 at once, 100 where no limit is given.

    They are counted up to 10,000: beyond it `count_exact` is false.
    """
    may_view(request)
    return _list(visible_channels(caller_of(request)), search, listed=search.listed)


@router.get("/cves/{id}", response={200: JsonObject, **ERRORS})
def get_cve(request: HttpRequest, id: str) -> CveDetails:
    """An advisory, by its CVE, GHSA, PYSEC, RSEC or MAL id or any alias."""
    advisory = get_advisory(request, id)
    return cve_items.cve_details(advisory, visible_channels(caller_of(request)))


@router.get("/cves/{id}/files", response={200: ItemList, **ERRORS})
def list_cve_files(request: HttpRequest, id: str, paging: Query[Paging]) -> ListAnswer:
    """The listed files that an advisory is about, in every channel you may know of."""
    advisory = get_advisory(request, id)
    channels = visible_channels(caller_of(request))
    files = files_of(advisory.name, channels, offset=paging.offset, limit=_limit(paging))
    total = count_files(advisory.name, channels)
    return item_list([cve_items.cve_file(file) for file in files], total)


def list_channel_cves(
    request: HttpRequest, ref: Path[ChannelRef], search: Query[CveSearch]
) -> CountedAnswer:
    """The advisories about what a channel lists now."""
    may_view(request)
    # Advisories name what the channel lists, so they take the right to see its packages.
    channel = get_channel(request, ref, "view-artifacts", "view")
    return _list(Channel.objects.filter(pk=channel.pk), search, listed=True)


def list_package_cves(
    request: HttpRequest, ref: Path[ChannelRef], family: str, name: str, search: Query[CveSearch]
) -> CountedAnswer:
    """The advisories about the listed files of a package."""
    may_view(request)
    channel = get_channel(request, ref, "view-artifacts", "view")
    try:
        normal = registry.of_family(family).normalize_name(name)
    except KeyError:
        # The family is any text of an address; one that does not exist has no packages.
        raise not_found("package") from None
    channels = Channel.objects.filter(pk=channel.pk)
    # The family in the path decides, whatever `ecosystem` says.
    return _list(channels, search, listed=True, package=normal, ecosystem=family)


def _list(
    channels: QuerySet[Channel],
    search: CveSearch,
    *,
    listed: bool,
    package: str = "",
    ecosystem: str = "",
) -> CountedAnswer:
    if search.sort.removeprefix("-") not in SORTS:
        raise invalid("sort", f"Advisories are sorted by {', '.join(SORTS)}, - for downwards.")
    asked = Search(
        channels,
        text=search.q.strip(),
        severity=search.severity,
        status=search.status,
        ecosystem=ecosystem or search.ecosystem,
        package=package,
        listed=listed,
    )
    rows = advisory_search.find(asked)
    # Counted before it is sorted, as far as one row beyond the limit: that there are more is
    # enough to know.
    total = rows[: COUNT_LIMIT + 1].count()
    ordered = advisory_search.ordered(rows, search.sort, channels)
    # The offset may be as large as databases take; what is added to it must not pass that.
    page = list(ordered[search.offset : min(search.offset + _limit(search), MAX_NUMBER)])
    items = cve_items.cve_items(page, channels)
    return {
        **item_list(items, min(total, COUNT_LIMIT)),
        "count_exact": total <= COUNT_LIMIT,
    }


def _limit(paging: Paging) -> int:
    return DEFAULT_ITEMS if paging.limit is None else min(paging.limit, MOST_ITEMS)


for base, suffix in ((CHANNEL, ""), (SUBCHANNEL, "_of_subchannel")):
    for path, view in (
        ("/cves", list_channel_cves),
        ("/artifacts/{family}/{name}/cves", list_package_cves),
    ):
        router.add_api_operation(
            base + path,
            ["GET"],
            view,
            response={200: CountedList, **ERRORS},
            # OpenAPI wants each id once, and both addresses share a view.
            operation_id=view.__name__ + suffix,
        )
