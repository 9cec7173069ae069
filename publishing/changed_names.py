"""The listed packages that have one of many names, by artifact family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from advisories.catalog import curated_name
from channels.models import Channel, Package
from ecosystems.kinds import Family

MOST_NAMES = 500
"""Names of one query; beyond them reading all rows is quicker."""

NamesByFamily = Mapping[str, Set[str]]
"""As `advisories.change_log.names_since` gives them."""


def packages_named(channel: Channel, names: NamesByFamily) -> Iterator[Package]:
    """The rows of the current revision that are about one of the names, without bodies.

    Rows whose records state purls come as soon as any name is not conda's own: which package of
    another ecosystem a purl names is known only when the records are read.
    """
    by_purl = any(family != Family.CONDA for family in names)
    for row in _candidates(channel, names).iterator():
        # The query gave too many where names are many or rows have purls, so each is looked at
        # again.
        named = curated_name(row.family, row.name) in names.get(row.family, ())
        if named or (row.has_purls and by_purl):
            yield row


def lists_any(channel: Channel, names: NamesByFamily) -> bool:
    """Whether there is such a row."""
    return next(packages_named(channel, names), None) is not None


def _candidates(channel: Channel, names: NamesByFamily) -> QuerySet[Package]:
    """Those rows and, where names are many, others."""
    condition = Q(has_purls=True)
    for family, of_family in names.items():
        if len(of_family) > MOST_NAMES:
            condition |= Q(family=family)
        elif family == Family.CRAN:
            # R's names are compared without regard to case, and listed as their authors write them.
            condition |= Q(family=family, lower_name__in=of_family)
        else:
            condition |= Q(family=family, name__in=of_family)
    rows: QuerySet[Package] = Package.objects.at(channel.current).filter(channel=channel)
    rows = rows.annotate(lower_name=Lower("name")).filter(condition)
    return rows.defer("tally", "sources").order_by("family", "section", "name")
