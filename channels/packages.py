"""The packages and files a channel lists now, read from its rows and shards.

The rule: counting and paging is done by the database over package rows; shards are opened for
the packages of one page only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import zstandard
from django.conf import settings
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.answers import LARGEST, Paging
from channels import access, pins
from channels.models import Blob, Channel, Download, Package
from channels.origins import origin_of
from ecosystems import registry
from ecosystems.base import Record

SORTS = ("name", "file_count", "download_count", "size")
MOST = 1000
USUAL = 100
COMMANDS = {
    "conda": "conda install -c {url} {name}",
    "python": "pip install --index-url {url}/simple {name}",
    "cran": 'install.packages("{name}", repos="{url}/cran")',
}


def listed(channels: Iterable[Channel], *, query: str = "") -> QuerySet[Any]:
    """One row a package (channel, family, name) of the channels' current revisions."""
    rows = Package.objects.filter(
        channel__in=channels,
        shard__isnull=False,
        added_in__lte=F("channel__current"),
        removed_in__gt=F("channel__current"),
    )
    if query:
        rows = rows.filter(name__icontains=query)
    return rows.values("channel_id", "family", "name")


def page(rows: QuerySet[Any], *, sort: str, paging: Paging) -> tuple[list[dict[str, Any]], int]:
    """The packages of one page, as the API shows them, and how many there are in all."""
    total = rows.distinct().count()
    if paging.limit == 0:
        return [], total
    key = sort.removeprefix("-")
    found = rows.annotate(file_count=Sum("files"), size=Sum("bytes"))
    if key == "download_count":
        found = found.annotate(download_count=Coalesce(Subquery(_summed()), 0))
    order = F(key).desc() if sort.startswith("-") else F(key).asc()
    end = paging.offset + (USUAL if paging.limit is None else min(paging.limit, MOST))
    some = list(found.order_by(order, "name", "channel_id", "family")[paging.offset : end])
    return _packages(some), total


def _summed() -> QuerySet[Any]:
    """The downloads of the package that the outer query is at."""
    rows = Download.objects.filter(channel=OuterRef("channel_id"), name=OuterRef("name"))
    return rows.order_by().values("name").annotate(sum=Sum("count")).values("sum")


def files(
    channel: Channel, family: str, *, name: str, paging: Paging
) -> tuple[list[dict[str, Any]], int] | None:
    """The files of one package and their number; None where the channel lists no such package."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel, family=family, name=name, shard__isnull=False
    )
    total = rows.aggregate(total=Sum("files"))["total"]
    if total is None:
        return None
    if paging.limit == 0:
        return [], total
    end = paging.offset + (LARGEST if paging.limit is None else paging.limit)
    records = [
        (row.section, record)
        for row in rows.select_related("shard").order_by("section")
        for record in sorted(_records(row), key=lambda record: record.filename)
    ]
    return _files(channel, family, name, records[paging.offset : end]), total


def _packages(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = {one["channel_id"] for one in found}
    channels = Channel.objects.select_related("parent").in_bulk(ids)
    rows: dict[tuple[int, str, str], list[Package]] = {}
    counts: dict[tuple[int, str], int] = {}
    for pk, channel in channels.items():
        names = [one["name"] for one in found if one["channel_id"] == pk]
        there = Package.objects.at(channel.current).filter(
            channel=pk, name__in=names, shard__isnull=False
        )
        for row in there.select_related("shard"):
            rows.setdefault((pk, row.family, row.name), []).append(row)
        sums = Download.objects.filter(channel=pk, name__in=names).order_by().values_list("name")
        counts |= {(pk, name): total for name, total in sums.annotate(sum=Sum("count"))}
    return [
        _package(
            {"download_count": counts.get((one["channel_id"], one["name"]), 0), **one},
            channels[one["channel_id"]],
            rows[one["channel_id"], one["family"], one["name"]],
        )
        for one in found
    ]


def _package(found: dict[str, Any], channel: Channel, rows: list[Package]) -> dict[str, Any]:
    records = [(row.section, record) for row in rows for record in _records(row)]
    newest = max((record for _, record in records), key=_age, default=Record())
    url = f"{settings.PUBLIC_URL}/api/repo/{channel.path}"
    top = channel.parent or channel
    return {
        "name": found["name"],
        "family": found["family"],
        "channel": top.name,
        "subchannel": channel.name if channel.parent else "",
        "privacy": access.privacy(channel),
        "metadata": {
            "license": newest.license,
            "subdirs": sorted({section for section, _ in records}),
            "version": newest.version,
            "build_number": newest.build_number,
            "install_cmd": COMMANDS[found["family"]].format(url=url, name=found["name"]),
            "summary": None,
            "description": None,
            "home": None,
        },
        "download_count": found["download_count"],
        "file_count": found["file_count"],
        "size": found["size"],
        "cve_count": 0,
        "cve_score": None,
        "cve_status": None,
        "updated_at": _when(newest),
    }


def _files(
    channel: Channel, family: str, name: str, some: list[tuple[str, Record]]
) -> list[dict[str, Any]]:
    here = _present([record for _, record in some])
    counts = _downloads(channel, name)
    top = channel.parent or channel
    url = f"{settings.PUBLIC_URL}/api/repo/{channel.path}"
    ecosystem = registry.of_family(family)
    return [
        {
            "ckey": f"{section}/{record.filename}",
            "name": record.filename,
            "family": family,
            "type": f"{family}_package_1",
            "channel": top.name,
            "subchannel": channel.name if channel.parent else "",
            "metadata": {
                "index.json": {},
                "about.json": {},
                "repodata_record.json": ecosystem.shown(record.raw),
            },
            "signatures": {},
            "created_at": _when(record),
            "updated_at": _when(record),
            "state": "active" if record.sha256 in here or record.md5 in here else "passive",
            "size": record.size,
            "url": f"{url}/{ecosystem.path(section, name, record.filename)}",
            "download_count": counts.get((section, record.filename), 0),
            "cve_score": None,
            "cve_status": None,
        }
        for section, record in some
    ]


def _present(records: list[Record]) -> set[str]:
    """The hashes, among those of the records, whose bytes are here."""
    found: set[str] = set()
    for start in range(0, len(records), 500):
        batch = records[start : start + 500]
        strong = [record.sha256 for record in batch if record.sha256]
        weak = [record.md5 for record in batch if record.md5 and not record.sha256]
        blobs = Blob.objects.filter(Q(pk__in=strong) | Q(md5__in=weak), deleting=False)
        for sha256, md5 in blobs.values_list("sha256", "md5"):
            found |= {sha256, md5}
    return found - {""}


def _downloads(channel: Channel, name: str) -> dict[tuple[str, str], int]:
    rows = Download.objects.filter(channel=channel, name=name).order_by()
    sums = rows.values_list("section", "filename").annotate(sum=Sum("count"))
    return {(section, filename): total for section, filename, total in sums}


def _records(row: Package) -> list[Record]:
    if row.shard is None:
        return []
    body = zstandard.ZstdDecompressor().decompress(bytes(row.shard.body))
    ecosystem = registry.of_family(row.family)
    listed = ecosystem.records(body, section=row.section, name=row.name)
    found = [record for record in listed if isinstance(record, Record)]
    pins.fill((origin_of(row.origins, record.filename) or 0, record) for record in found)
    return found


def _age(record: Record) -> tuple[int, str]:
    return record.timestamp or 0, record.filename


def _when(record: Record) -> str:
    """When a file was built, as the API writes times; "" where the upstream does not say.

    The vendor's newer client refuses null here, as it does for the subchannel.
    """
    if record.timestamp is None:
        return ""
    seconds, milliseconds = divmod(record.timestamp, 1000)
    try:
        built = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return built.replace(microsecond=milliseconds * 1000).isoformat()
