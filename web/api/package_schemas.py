"""The packages and files a channel lists now, read from its rows and shards.

The rule: counting and paging is done by the database over package rows; shards are opened for
the packages of one page only. What is sorted by name is read as far as the page goes, and what is
searched for is counted as far as `COUNT_LIMIT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from channels import channeldata
from channels.models import Channel, Download, Package
from ecosystems import registry
from ecosystems.records import Record
from publishing.advisory_listings import Mark, file_marks, package_marks
from web.api import package_items
from web.api.package_items import (
    FileItem,
    PackageItem,
    Packages,
    PackageTotals,
    file_items,
    records_of,
)
from web.api.pagination import MAX_NUMBER, Paging

KEYS = ("channel_id", "family", "name")
TIES = ("channel_id", "family")
SORTS = ("name", "file_count", "download_count", "size")
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

PackageRows = QuerySet[Package, dict[str, Any]]
"""Rows of `KEYS`, and of what is annotated to them."""


def listed_packages(channels: Iterable[Channel], *, query: str = "") -> PackageRows:
    """One row a package (channel, family, name) of the channels' current revisions."""
    # Sums, so that no index over revisions is taken for the one over names: SQLite would take it,
    # read all that the channel lists, and sort it.
    rows = Package.objects.alias(begin=F("added_in") + 0, end=F("removed_in") + 0).filter(
        channel__in=channels,
        shard__isnull=False,
        begin__lte=F("channel__current"),
        end__gt=F("channel__current"),
    )
    if query:
        rows = rows.filter(name__icontains=query)
    packages: PackageRows = rows.values(*KEYS)
    return packages


def count(rows: PackageRows, *, most: int | None = None) -> int:
    """How many packages there are; `most` + 1 where there are more than that."""
    keys = rows.order_by().distinct()
    return keys.count() if most is None else keys[: most + 1].count()


def page(rows: PackageRows, *, sort: str, paging: Paging) -> list[PackageItem]:
    """The packages of one page, as the API shows them."""
    if paging.limit == 0:
        return []
    window = slice(
        paging.offset,
        paging.offset + (DEFAULT_LIMIT if paging.limit is None else min(paging.limit, MAX_LIMIT)),
    )
    key = sort.removeprefix("-")
    order = F(key).desc() if sort.startswith("-") else F(key).asc()
    # By name, an index gives the rows in order as far as the page goes; by any other key, every
    # package has to be summed and sorted.
    if key == "name":
        return _packages(_by_name(rows, rows.distinct().order_by(order, *TIES)[window]))
    packages = rows.annotate(file_count=Sum("files"), size=Sum("bytes"))
    if key == "download_count":
        packages = packages.annotate(download_count=Coalesce(_download_sum(), 0))
    ordered = packages.order_by(order, "name", *TIES)[window]
    return _packages([PackageTotals(**row) for row in ordered])


def _by_name(rows: PackageRows, keys: PackageRows) -> list[PackageTotals]:
    """These packages with their sums: those of all others need not be worked out first."""
    page_keys = list(keys)
    channels, names = ({row[key] for row in page_keys} for key in ("channel_id", "name"))
    sums = {
        tuple(row[key] for key in KEYS): row
        for row in rows.filter(channel__in=channels, name__in=names)
        .order_by()
        .annotate(file_count=Sum("files"), size=Sum("bytes"))
    }
    # One that was published or removed between the two queries is not shown.
    found_sums = [sums.get(tuple(row[key] for key in KEYS)) for row in page_keys]
    return [PackageTotals(**row) for row in found_sums if row]


def _download_sum() -> Subquery:
    """The downloads of the package that the outer query is at."""
    rows = Download.objects.filter(channel=OuterRef("channel_id"), name=OuterRef("name"))
    return Subquery(rows.order_by().values("name").annotate(sum=Sum("count")).values("sum"))


def files(
    channel: Channel, family: str, *, name: str, paging: Paging
) -> tuple[list[FileItem], int] | None:
    """The files of one package and their number; None where the channel lists no such package."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel, family=family, name=name, shard__isnull=False
    )
    total = rows.aggregate(total=Sum("files"))["total"]
    if total is None:
        return None
    if paging.limit == 0:
        return [], total
    end = paging.offset + (MAX_NUMBER if paging.limit is None else paging.limit)
    records = [
        (row.section, record)
        for row in rows.select_related("shard").order_by("section")
        for record in sorted(records_of(row), key=lambda record: record.filename)
    ]
    return file_items(channel, family, name, records[paging.offset : end]), total


def newest(channel: Channel, family: str, *, name: str) -> FileItem | None:
    """What the index says of the last build of a package's highest version; None without one."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel, family=family, name=name, shard__isnull=False
    )
    latest = Packages(channel, rows.select_related("shard")).newest
    return package_items.file_item(channel, registry.of_family(family), *latest) if latest else None


def _packages(packages: Sequence[PackageTotals]) -> list[PackageItem]:
    ids = {package.channel_id for package in packages}
    channels = Channel.objects.select_related("parent").in_bulk(ids)
    rows: dict[tuple[int, str, str], list[Package]] = {}
    counts: dict[tuple[int, str], int] = {}
    texts_of: dict[tuple[int, str], channeldata.PackageDescription] = {}
    for pk, channel in channels.items():
        names = [package.name for package in packages if package.channel_id == pk]
        package_rows = Package.objects.at(channel.current).filter(
            channel=pk, name__in=names, shard__isnull=False
        )
        for row in package_rows.select_related("shard"):
            rows.setdefault((pk, row.family, row.name), []).append(row)
        sums = Download.objects.filter(channel=pk, name__in=names).order_by().values_list("name")
        counts |= {(pk, name): total for name, total in sums.annotate(sum=Sum("count"))}
        conda = [
            package.name
            for package in packages
            if (package.channel_id, package.family) == (pk, "conda")
        ]
        texts_of |= {
            (pk, name): texts
            for name, texts in channeldata.package_descriptions(channel, conda).items()
        }
    opened = {key: Packages(channels[key[0]], of_package) for key, of_package in rows.items()}
    marks = _marks(channels, opened)
    return [
        opened[pk, family, name].item(
            package,
            texts_of.get((pk, name)) if family == "conda" else None,
            downloads=counts.get((pk, name), 0),
            mark=marks[pk, family, name],
        )
        for package in packages
        for pk, family, name in [(package.channel_id, package.family, package.name)]
    ]


def _marks(
    channels: Mapping[int, Channel], opened: Mapping[tuple[int, str, str], Packages]
) -> dict[tuple[int, str, str], Mark]:
    """What advisories say of these packages; of one that none is about, whether any could be."""
    marks: dict[tuple[int, str, str], Mark] = {}
    for pk, channel in channels.items():
        names = [name for of_channel, _, name in opened if of_channel == pk]
        with_advisories = package_marks(channel, names)
        marks |= {(pk, *key): mark for key, mark in with_advisories.items()}
    unmarked: dict[str, dict[str, list[Record]]] = {}
    for key, packages in opened.items():
        if key not in marks:
            _, family, name = key
            unmarked.setdefault(family, {}).setdefault(name, []).extend(packages.records)
    covered = {
        (family, name): all(mark.covered for mark in of_files.values())
        for family, records in unmarked.items()
        for name, of_files in file_marks(family, records).items()
    }
    for key in opened.keys() - marks.keys():
        marks[key] = Mark(covered=covered[key[1:]])
    return marks
