"""Packages and their files as items of the API, in the shapes that the vendor's clients read.

The rule: what is shown of a package is what its highest version says, in the order of versions of
its own type.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from django.conf import settings
from django.db.models import Q, Sum

from channels import access, pins, shards
from channels.blobs import readable_by
from channels.channeldata import PackageDescription
from channels.file_sources import file_source_id_of
from channels.models import Channel, Download, Package
from ecosystems import registry
from ecosystems.base import Ecosystem, VersionKey
from ecosystems.records import Record
from publishing.advisory_listings import Mark, file_marks
from web.api.schemas import JsonObject

COMMANDS = {
    "conda": "conda install -c {url} {name}",
    "python": "pip install --index-url {url}/simple {name}",
    "cran": 'install.packages("{name}", repos="{url}/cran")',
}

SectionRecord = tuple[str, Record]
"""A section, and a file listed in it."""


class PackageMetadata(TypedDict):
    license: str
    subdirs: list[str]
    version: str
    build_number: int
    install_cmd: str
    summary: str
    description: str
    home: str


class PackageItem(TypedDict):
    name: str
    family: str
    channel: str
    subchannel: str
    privacy: str
    version: str
    available_versions: list[str]
    metadata: PackageMetadata
    summary: str
    description: str
    home: str
    download_count: int
    file_count: int
    size: int
    cve_count: int
    cve_score: float | None
    cve_status: str | None
    cve_severity: str
    malware: bool
    advisory_data: bool
    updated_at: str


class MarkItem(TypedDict):
    """What advisories say of a file."""

    cve_score: float | None
    cve_status: str | None
    cve_count: int
    cve_severity: str
    malware: bool
    advisory_data: bool


class FileItem(TypedDict):
    """A file; without the last six where only the index is asked."""

    name: str
    basename: str
    ckey: str
    family: str
    type: str
    channel: str
    subchannel: str
    version: str
    metadata: JsonObject
    signatures: JsonObject
    created_at: str
    updated_at: str
    url: str
    cve_score: float | None
    cve_status: str | None
    cve_count: NotRequired[int]
    cve_severity: NotRequired[str]
    malware: NotRequired[bool]
    advisory_data: NotRequired[bool]
    """False: no source has data of it, which does not mean that it is safe."""
    state: NotRequired[str]
    size: NotRequired[int | None]
    download_count: NotRequired[int]


@dataclass(frozen=True, slots=True)
class PackageTotals:
    """What the database counts of one package; `size` in bytes.

    `download_count` is None unless packages are sorted by it.
    """

    channel_id: int
    family: str
    name: str
    file_count: int
    size: int
    download_count: int | None = None


class Packages:
    """The rows of one package in a channel, opened."""

    def __init__(self, channel: Channel, rows: Iterable[Package]) -> None:
        self._channel = channel
        self._files = [(row.section, record) for row in rows for record in records_of(row)]
        # Both the newest file and the list of versions need this order.
        self._order = {
            record.version: registry.of_section(section).version_key(record.version)
            for section, record in self._files
        }

    @property
    def newest(self) -> SectionRecord | None:
        """The last build of the highest version."""
        return max(self._files, key=lambda listed: self._age(listed[1]), default=None)

    @property
    def records(self) -> list[Record]:
        """The files, whatever their section."""
        return [record for _, record in self._files]

    def item(
        self,
        totals: PackageTotals,
        description: PackageDescription | None,
        *,
        downloads: int,
        mark: Mark,
    ) -> PackageItem:
        """The package's item; `description` is that of conda's channeldata."""
        # Records that cannot be read are left out, so a listed package may have none to show.
        channel, (_, newest) = self._channel, self.newest or ("", Record())
        top = channel.parent or channel
        url = f"{settings.PUBLIC_URL}/api/repo/{channel.path}"
        versions = sorted(self._order, key=lambda version: self._order[version])
        # Only conda has channeldata; the vendor's clients read the texts of all types.
        texts = description or PackageDescription()
        return {
            "name": totals.name,
            "family": totals.family,
            "channel": top.name,
            "subchannel": channel.name if channel.parent else "",
            "privacy": access.effective_privacy(channel),
            "version": newest.version,
            "available_versions": versions,
            "metadata": {
                "license": newest.license,
                "subdirs": sorted({section for section, _ in self._files}),
                "version": newest.version,
                "build_number": newest.build_number,
                "install_cmd": COMMANDS[totals.family].format(url=url, name=totals.name),
                "summary": texts.summary,
                "description": texts.description,
                "home": texts.home,
            },
            "summary": texts.summary,
            "description": texts.description,
            "home": texts.home,
            "download_count": downloads if totals.download_count is None else totals.download_count,
            "file_count": totals.file_count,
            "size": self._size(totals.size),
            "cve_count": mark.count,
            "cve_score": mark.score.value if mark.score else None,
            "cve_status": mark.status,
            "cve_severity": mark.severity,
            "malware": mark.malware,
            "advisory_data": mark.covered,
            "updated_at": _when(newest),
        }

    def _age(self, record: Record) -> tuple[VersionKey, int, int, str]:
        # Of equal versions the later build; the name at the end, so that no two files are equal.
        order = self._order[record.version]
        return order, record.build_number, record.timestamp or 0, record.filename

    def _size(self, stated: int) -> int:
        """Where the index does not state every size: with those of the files that are here now."""
        if all(record.size >= 0 for _, record in self._files):
            return stated
        sizes = _sizes(self._channel, [record for _, record in self._files])
        return sum(_size(record, sizes) or 0 for _, record in self._files)


def records_of(row: Package) -> list[Record]:
    """The records of a package row, with the hashes that are known from their first bytes."""
    if row.shard is None:
        return []
    body = shards.decompress(row.shard.body)
    ecosystem = registry.of_family(row.family)
    listed = ecosystem.records(body, section=row.section, name=row.name)
    records = [record for record in listed if isinstance(record, Record)]
    pins.apply_pins(
        (file_source_id_of(row.sources, record.filename) or 0, record) for record in records
    )
    return records


def file_items(
    channel: Channel, family: str, name: str, files: list[SectionRecord]
) -> list[FileItem]:
    """The items of these files of a package."""
    sizes = _sizes(channel, [record for _, record in files])
    counts = _downloads(channel, name)
    ecosystem = registry.of_family(family)
    marks = file_marks(family, {name: [record for _, record in files]})[name]
    return [
        {
            **file_item(channel, ecosystem, section, record),
            **_marked(marks[record.filename]),
            # By its hash: whichever mirror downloaded the bytes, they are here.
            "state": "active" if sizes.keys() & {record.sha256, record.md5} else "passive",
            "size": _size(record, sizes),
            "download_count": counts.get((section, record.filename), 0),
        }
        for section, record in files
    ]


def file_item(channel: Channel, ecosystem: Ecosystem, section: str, record: Record) -> FileItem:
    """What the index says of a file; without what the database knows."""
    top = channel.parent or channel
    url = f"{settings.PUBLIC_URL}/api/repo/{channel.path}"
    return {
        "name": record.name,
        "basename": record.filename,
        "ckey": ecosystem.file_key(section, record.name, record.filename),
        "family": ecosystem.family,
        "type": f"{ecosystem.family}_package_1",
        "channel": top.name,
        "subchannel": channel.name if channel.parent else "",
        "version": record.version,
        "metadata": ecosystem.metadata(record),
        "signatures": {},
        "created_at": _when(record),
        "updated_at": _when(record),
        "url": f"{url}/{ecosystem.file_path(section, record.name, record.filename)}",
        # Clients find the keys on every file; `file_items` fills them.
        "cve_score": None,
        "cve_status": None,
    }


def _marked(mark: Mark) -> MarkItem:
    return {
        "cve_score": mark.score.value if mark.score else None,
        "cve_status": mark.status,
        "cve_count": mark.count,
        "cve_severity": mark.severity,
        "malware": mark.malware,
        "advisory_data": mark.covered,
    }


def _sizes(channel: Channel, records: list[Record]) -> dict[str, int]:
    """The sizes, by hash, of those of the files whose bytes are here for the channel."""
    # Not every stored file: that a private channel has one must not show here.
    rows = readable_by(access.audience(channel))
    sizes: dict[str, int] = {}
    # In batches: databases limit the parameters of one statement.
    for start in range(0, len(records), 500):
        batch = records[start : start + 500]
        sha256s = [record.sha256 for record in batch if record.sha256]
        md5s = [record.md5 for record in batch if record.md5 and not record.sha256]
        blobs = rows.filter(Q(pk__in=sha256s) | Q(md5__in=md5s))
        for sha256, md5, size in blobs.values_list("sha256", "md5", "size"):
            sizes |= {sha256: size, md5: size}
    # Blobs without an MD5 came under the empty text.
    sizes.pop("", None)
    return sizes


def _size(record: Record, sizes: dict[str, int]) -> int | None:
    """What the index says, else what came; None where nobody knows yet (R's indexes say none)."""
    if record.size >= 0:
        return record.size
    return sizes.get(record.sha256, sizes.get(record.md5))


def _downloads(channel: Channel, name: str) -> dict[tuple[str, str], int]:
    rows = Download.objects.filter(channel=channel, name=name).order_by()
    sums = rows.values_list("section", "filename").annotate(sum=Sum("count"))
    return {(section, filename): total for section, filename, total in sums}


def _when(record: Record) -> str:
    """When a file was built, as the API writes times; "" where the upstream does not say.

    The vendor's newer client refuses null here, as it does for the subchannel.
    """
    if record.timestamp is None:
        return ""
    seconds, milliseconds = divmod(record.timestamp, 1000)
    try:
        built = datetime.fromtimestamp(seconds, UTC)
    # Upstreams write numbers that are no time at all.
    except (ValueError, OverflowError, OSError):
        return ""
    return built.replace(microsecond=milliseconds * 1000).isoformat()
