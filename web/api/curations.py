"""REST: what people decided about advisories and packages, one by one or many at once.

A decision holds on the whole server, so it takes the role attribute cve = write, and no token that
is limited to some channels makes it.
"""

from __future__ import annotations

from django.db.models import Q
from django.http import HttpRequest
from ninja import Field, Query, Router, Status

from accounts.caller import Caller, caller_of
from accounts.permissions import Attribute, Level
from advisories import curation
from advisories.curation import Decision
from advisories.models import Curation
from publishing import advisory_changes
from web.api.cve_items import CurationItem, curation_item
from web.api.cves import get_advisory, may_view
from web.api.errors import ERRORS, not_found
from web.api.pagination import MAX_NUMBER, Paging, counted_list, item_list, paginate
from web.api.schemas import (
    CountedAnswer,
    CountedList,
    ItemList,
    JsonObject,
    ListAnswer,
    RequestBody,
)

router = Router(tags=["cves"])


class NewCuration(RequestBody):
    """All files of a package, those of a version spec, or one file: at most one of the two."""

    # Lengths only: the service, which pages call as well, judges words and names, and tells all
    # that is wrong at once.
    package: str = Field(max_length=300)
    family: str = Field(max_length=20)
    spec: str = Field("", max_length=200)
    filename: str = Field("", max_length=300)
    status: str = Field(max_length=20)
    reason: str = Field("", max_length=2000)


class NewCurationOfCve(NewCuration):
    cve: str = Field(max_length=100)


class NewCurations(RequestBody):
    # The service refuses more as well; here, so that OpenAPI says how many.
    curations: list[NewCurationOfCve] = Field(min_length=1, max_length=curation.MOST_AT_ONCE)


class CurationSearch(Paging):
    q: str = Field("", max_length=200)


@router.get("/cves/curations", response={200: CountedList, **ERRORS})
def list_all_curations(request: HttpRequest, search: Query[CurationSearch]) -> CountedAnswer:
    """Every curation, the newest first; `q` is part of an id, a package or a reason."""
    may_view(request)
    # By id, too: the curations of one VEX document have one time, and pages need one order.
    rows = Curation.objects.order_by("-created_at", "-pk")
    if search.q:
        rows = rows.filter(
            Q(advisory__icontains=search.q)
            | Q(package__icontains=search.q)
            | Q(reason__icontains=search.q)
        )
    return counted_list([dict(curation_item(row)) for row in paginate(rows, search)], rows)


@router.post("/cves/curations", response={201: ItemList, **ERRORS})
def create_curations(request: HttpRequest, body: NewCurations) -> Status[ListAnswer]:
    """Decide about many packages at once: all, or none where one of them is wrong."""
    caller = may_curate(request)
    rows = curation.curate_all(
        [_decision(entry.cve, entry) for entry in body.curations], author=caller.name
    )
    # Once for all of them: it looks at the rules of every mirror and channel.
    advisory_changes.request()
    return Status(201, item_list([curation_item(row) for row in rows], len(rows)))


@router.get("/cves/{id}/curations", response={200: ItemList, **ERRORS})
def list_curations(request: HttpRequest, id: str) -> ListAnswer:
    """What was decided about an advisory, the newest first."""
    rows = list(curation.of_advisory(get_advisory(request, id)))
    return item_list([curation_item(row) for row in rows], len(rows))


@router.post("/cves/{id}/curations", response={201: JsonObject, **ERRORS})
def create_curation(request: HttpRequest, id: str, body: NewCuration) -> Status[CurationItem]:
    """Decide about an advisory and a package: reported, active, mitigated, cleared or disputed."""
    advisory = get_advisory(request, id)
    caller = may_curate(request)
    # Under the advisory's best id, whichever the address has: the one that lists show.
    row = curation.curate(_decision(advisory.name, body), author=caller.name)
    advisory_changes.request()
    return Status(201, curation_item(row))


@router.delete("/cves/{id}/curations/{number}", response={204: None, **ERRORS})
def delete_curation(request: HttpRequest, id: str, number: int) -> Status[None]:
    """Take a decision back: what was said before counts again."""
    advisory = get_advisory(request, id)
    caller = may_curate(request)
    # Clamped: databases refuse larger numbers instead of finding nothing.
    rows = curation.of_advisory(advisory).filter(pk=min(max(number, 0), MAX_NUMBER))
    if not curation.withdraw(rows, actor=caller.name):
        raise not_found("curation")
    advisory_changes.request()
    return Status(204, None)


def may_curate(request: HttpRequest) -> Caller:
    """The caller, if they may decide; 403 otherwise."""
    may_view(request)
    caller = caller_of(request)
    caller.require_level(Attribute.CVE, Level.WRITE)
    # A decision holds in every channel, also in those that a limited token is not for.
    caller.require_unlimited()
    return caller


def _decision(cve: str, body: NewCuration) -> Decision:
    return Decision(
        advisory=cve,
        family=body.family,
        package=body.package,
        status=body.status,
        reason=body.reason,
        spec=body.spec,
        filename=body.filename,
    )
