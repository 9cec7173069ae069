"""Finds advisories for lists, and says what channels list of each.

    search = Search(channels, text="yaml", severity="high")
    rows = find(search)                        # a query of `Advisory`, to be sorted and sliced
    listings = listings_of(rows[:50], channels)

Which channels a caller may see is the caller's to say. `listed` keeps to advisories about what
these channels list; without it every advisory is found that is not withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from advisories.formats import purl
from advisories.formats.scores import Severity
from advisories.formats.statement import Status
from advisories.matching.facts import SETTLED, SEVEREST
from advisories.models import Advisory, AffectedPackage, Curation, Identifier
from channels.models import Channel, ListedAdvisory
from ecosystems.kinds import Family

MALWARE = "malware"
"""A severity of lists: what has no score because it is no vulnerability."""
SORTS = ("score", "id", "published", "modified", "packages")
ECOSYSTEMS = {
    Family.CONDA: (purl.CONDA,),
    Family.PYTHON: (purl.PYPI,),
    Family.CRAN: (purl.CRAN, purl.BIOCONDUCTOR),
}
"""OSV's ecosystems by the artifact family that their packages are listed in."""
_NAMED = (purl.CONDA, purl.PYPI, purl.CRAN, purl.BIOCONDUCTOR)


@dataclass(frozen=True)
class Search:
    """What is looked for; "" is no condition."""

    channels: QuerySet[Channel]
    text: str = ""
    """Part of an id or a summary, a whole alias, or the name of an affected package."""
    severity: str = ""
    status: str = ""
    ecosystem: str = ""
    """An artifact family: `conda`, `python`, `cran`."""
    package: str = ""
    """A listed package."""
    listed: bool = True


@dataclass(frozen=True, slots=True)
class AdvisoryListing:
    """What channels list of an advisory; `status` is the most severe of any file."""

    packages: int = 0
    files: int = 0
    channels: int = 0
    status: Status = Status.REPORTED


def find(search: Search) -> QuerySet[Advisory]:
    """The matching advisories, in no order."""
    rows = Advisory.objects.filter(withdrawn=False)
    if search.listed or search.package:
        rows = rows.filter(name__in=_listed(search).values("advisory"))
    else:
        rows = _of_ecosystem(_of_status(rows, search), search.ecosystem)
    if search.severity == MALWARE:
        rows = rows.filter(malware=True)
    elif search.severity:
        rows = rows.filter(severity=search.severity, malware=False)
    return rows.filter(_about(search.text)) if search.text else rows


def ordered(rows: QuerySet[Advisory], sort: str, channels: QuerySet[Channel]) -> QuerySet[Advisory]:
    """Sorted by one of `SORTS`, with `-` downwards; what has no value comes last."""
    key, downwards = sort.removeprefix("-"), sort.startswith("-")
    if key == "packages":
        rows = rows.annotate(package_count=Coalesce(_package_count(channels), 0))
    column = F({"id": "name", "packages": "package_count"}.get(key, key))
    by = column.desc(nulls_last=True) if downwards else column.asc(nulls_last=True)
    # Malware has no score, and nothing is worse.
    first = ["-malware"] if sort == "-score" else []
    # The name last: without a total order a row could be on two pages, or on none.
    return rows.order_by(*first, by, "-name")


def listings_of(
    advisories: Iterable[Advisory], channels: QuerySet[Channel]
) -> dict[str, AdvisoryListing]:
    """What the channels list of each advisory, by its name; of all others, what is curated."""
    page = list(advisories)
    names = [advisory.name for advisory in page]
    rank = Case(
        *(When(status=status, then=Value(place)) for place, status in enumerate(SEVEREST)),
        default=Value(len(SEVEREST) - 1),
        output_field=IntegerField(),
    )
    rows = ListedAdvisory.objects.filter(advisory__in=names, channel__in=channels).order_by()
    counted = rows.values_list("advisory").annotate(
        packages=Count("package", distinct=True),
        files=Sum("files"),
        channels=Count("channel", distinct=True),
        rank=Min(rank),
    )
    listings = {
        name: AdvisoryListing(packages, files, of, SEVEREST[place])
        for name, packages, files, of, place in counted
    }
    # Of the page only: to work it out for all advisories would take a pass over all curations.
    statuses = curated_statuses(page)
    for advisory in page:
        of_unlisted = statuses.get(advisory.pk)
        listings.setdefault(
            advisory.name,
            AdvisoryListing(status=min(of_unlisted, key=SEVEREST.index))
            if of_unlisted
            else AdvisoryListing(),
        )
    return listings


def open_by_severity(channels: QuerySet[Channel]) -> dict[Severity, int]:
    """How many different advisories count in any of the channels, the worst first.

    Malware has no score, so it stands under none of them.
    """
    rows = ListedAdvisory.objects.filter(channel__in=channels, malware=False)
    counted = dict(
        rows.exclude(status__in=SETTLED)
        .order_by()
        .values_list("severity")
        .annotate(number=Count("advisory", distinct=True))
    )
    return {band: counted.get(str(band), 0) for band in reversed(Severity)}


def curated_statuses(advisories: Iterable[Advisory]) -> dict[int, set[Status]]:
    """What people said of these advisories, for whichever package, by the advisory's id."""
    owners: dict[str, set[int]] = {}
    rows = Identifier.objects.filter(
        record__advisory__in=[advisory.pk for advisory in advisories], upstream=False
    )
    for pk, text in rows.values_list("record__advisory_id", "text"):
        owners.setdefault(text, set()).add(pk)
    statuses: dict[int, set[Status]] = {}
    curations = Curation.objects.filter(advisory__in=list(owners))
    for text, status in curations.values_list("advisory", "status"):
        for pk in owners[text]:
            statuses.setdefault(pk, set()).add(Status(status))
    return statuses


def _listed(search: Search) -> QuerySet[ListedAdvisory]:
    lookups: dict[str, str] = {
        "family": search.ecosystem,
        "status": search.status,
        "package": search.package,
    }
    conditions = {key: value for key, value in lookups.items() if value}
    return ListedAdvisory.objects.filter(channel__in=search.channels, **conditions)


def _of_status(rows: QuerySet[Advisory], search: Search) -> QuerySet[Advisory]:
    """Of listed advisories the status of their files counts, of others what anybody said."""
    if not search.status:
        return rows
    named = Q(name__in=_listed(search).values("advisory"))
    said = Curation.objects.all()
    if search.status != Status.REPORTED:
        said = said.filter(status=search.status)
    curated = Q(
        pk__in=Identifier.objects.filter(text__in=said.values("advisory"), upstream=False).values(
            "record__advisory"
        )
    )
    if search.status != Status.REPORTED:
        return rows.filter(named | curated)
    # "Reported" is also what no channel lists and nobody has curated: there is no row to find it
    # by.
    anywhere = ListedAdvisory.objects.filter(channel__in=search.channels).values("advisory")
    return rows.filter(named | (~Q(name__in=anywhere) & ~curated))


def _of_ecosystem(rows: QuerySet[Advisory], family: str) -> QuerySet[Advisory]:
    if not family:
        return rows
    packages = AffectedPackage.objects.filter(ecosystem__in=ECOSYSTEMS.get(Family(family), ()))
    return rows.filter(pk__in=packages.values("record__advisory"))


def _about(text: str) -> Q:
    """Advisories that a text of a search field means."""
    names = {purl.normalized(ecosystem, text) for ecosystem in _NAMED} | {text}
    packages = AffectedPackage.objects.filter(ecosystem__in=_NAMED, name__in=names)
    # Whole ids in the usual spellings: a search inside of a million aliases could use no index.
    aliases = Identifier.objects.filter(text__in={text, text.upper(), text.lower()}, upstream=False)
    return (
        Q(name__icontains=text)
        | Q(summary__icontains=text)
        | Q(pk__in=aliases.values("record__advisory"))
        | Q(pk__in=packages.values("record__advisory"))
    )


def _package_count(channels: QuerySet[Channel]) -> Subquery:
    rows = ListedAdvisory.objects.filter(advisory=OuterRef("name"), channel__in=channels)
    counted = rows.order_by().values("advisory").annotate(number=Count("package", distinct=True))
    return Subquery(counted.values("number"))
