"""Advisories, their files and curations as items of the API, in the shapes of the vendor's clients.

The vendor writes CVSS as NVD's first JSON format nested it (`cvssv3.cvssV3.baseScore`), and reads
version 3 before version 2. What has only a score of version 4, or a severity in a word, has null in
both; `score` and `score_version` always say what counts here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from cvss import CVSS2, CVSS3
from django.db.models import QuerySet

from advisories import curation, details
from advisories.details import RecordDetails, Vector
from advisories.formats.scores import ScoreVersion
from advisories.models import Advisory, Curation, Record
from channels.models import Channel, ListedAdvisory
from ecosystems import registry
from publishing.advisory_listings import AffectedFile, channels_of, files_of
from publishing.advisory_search import AdvisoryListing, curated_statuses, listings_of
from web.api.schemas import JsonObject, timestamp

MOST_FILES = 100
"""Files that stand in the answer about one advisory; `/cves/<id>/files` has all of them."""

# Of the keys in FIRST's JSON schemas of CVSS those that the vendor's client reads.
_V3 = (
    *("attackComplexity", "attackVector", "availabilityImpact", "baseScore", "baseSeverity"),
    *("confidentialityImpact", "integrityImpact", "privilegesRequired", "scope"),
    "userInteraction",
)
_V2 = (
    *("accessComplexity", "accessVector", "authentication", "availabilityImpact"),
    *("confidentialityImpact", "integrityImpact", "baseScore"),
)
_VERSIONS_3 = (ScoreVersion.V3_1, ScoreVersion.V3_0)


class CvePackage(TypedDict):
    """In lists only the name and platform: the files stand in the answer about one advisory."""

    subdir: str
    name: str
    version: str
    sha256: str


class CveItem(TypedDict):
    id: str
    curated: bool
    description: str
    summary: str
    severity: str
    score: float | None
    score_version: str
    status: str
    malware: bool
    withdrawn: bool
    cvssv3_score: float | None
    cvssv2_score: float | None
    cvssv3: JsonObject
    cvssv2: JsonObject
    packages_count: int
    files_count: int
    channels_count: int
    published_at: str | None
    modified_at: str | None
    packages: list[CvePackage]


class CveDetails(CveItem):
    aliases: list[str]
    references: list[str]
    scores: list[JsonObject]
    affected: list[JsonObject]
    channels: list[JsonObject]
    sources: list[JsonObject]


class CveFile(TypedDict):
    channel_name: str
    parent_channel_name: str
    artifact_family: str
    cve_status: str
    cve_score: float | None
    common_name: str
    ckey: str
    basename: str
    version: str
    sha256: str
    matched_by: str


class CurationItem(TypedDict):
    id: int
    cve: str
    package: str
    family: str
    spec: str
    filename: str
    status: str
    reason: str
    author: str
    document: str
    created_at: str | None


def cve_items(advisories: Sequence[Advisory], channels: QuerySet[Channel]) -> list[CveItem]:
    """The items of a page of a list, with what these channels list."""
    listings = listings_of(advisories, channels)
    packages = _packages(advisories, channels)
    curated = curated_statuses(advisories)
    by_advisory: dict[int, list[Record]] = {}
    # The records of the whole page at once: one query, however many advisories it has.
    for record in Record.objects.filter(advisory__in=[row.pk for row in advisories]):
        by_advisory.setdefault(record.advisory_id, []).append(record)
    return [
        _item(
            advisory,
            details.of_records(by_advisory.get(advisory.pk, [])),
            listings[advisory.name],
            packages=packages.get(advisory.name, []),
            curated=bool(curated.get(advisory.pk)),
        )
        for advisory in advisories
    ]


def cve_details(advisory: Advisory, channels: QuerySet[Channel]) -> CveDetails:
    """All that is known of one advisory, with what these channels list of it."""
    records = details.of_records(advisory.records.order_by("pk"))
    packages: list[CvePackage] = [
        {
            "subdir": file.section,
            "name": file.package,
            "version": file.version,
            "sha256": file.sha256,
        }
        for file in files_of(advisory.name, channels, limit=MOST_FILES)
    ]
    item = _item(
        advisory,
        records,
        listings_of([advisory], channels)[advisory.name],
        packages=packages,
        curated=bool(curated_statuses([advisory]).get(advisory.pk)),
    )
    return {
        **item,
        # The first id is the advisory's name, which is `id` already.
        "aliases": curation.ids(advisory)[1:],
        "references": details.references(records),
        # Of every source: `cvssv3` and `cvssv2` have room for one vector each.
        "scores": [
            {"source": record.source, "record": record.name, **_vector(vector)}
            for record in records
            for vector in record.vectors
        ],
        "affected": [
            {
                "record": record.name,
                "ecosystem": affected.ecosystem,
                "name": affected.name,
                "ranges": list(affected.ranges),
                "versions": list(affected.versions),
            }
            for record in records
            for affected in record.affected
        ],
        "channels": [
            {"channel": channel.path, "packages": packages, "files": of_files}
            for channel, packages, of_files in channels_of(advisory.name, channels)
        ],
        "sources": [
            {
                "name": record.name,
                "source": record.source,
                "modified_at": timestamp(record.modified),
                "withdrawn": record.withdrawn,
            }
            for record in records
        ],
    }


def cve_file(file: AffectedFile) -> CveFile:
    """A listed file that an advisory is about."""
    channel, ecosystem = file.channel, registry.of_family(file.family)
    return {
        "channel_name": channel.name,
        "parent_channel_name": channel.parent.name if channel.parent else "",
        "artifact_family": file.family,
        "cve_status": str(file.match.status),
        "cve_score": file.match.score.value if file.match.score else None,
        "common_name": file.package,
        "ckey": ecosystem.file_key(file.section, file.package, file.filename),
        "basename": file.filename,
        "version": file.version,
        "sha256": file.sha256,
        "matched_by": str(file.match.matched_by),
    }


def curation_item(row: Curation) -> CurationItem:
    """What somebody decided."""
    return {
        "id": row.pk,
        "cve": row.advisory,
        "package": row.package,
        "family": row.family,
        "spec": row.spec,
        "filename": row.filename,
        "status": row.status,
        "reason": row.reason,
        "author": row.author,
        "document": row.document,
        "created_at": timestamp(row.created_at),
    }


def _item(
    advisory: Advisory,
    records: Sequence[RecordDetails],
    listing: AdvisoryListing,
    *,
    packages: list[CvePackage],
    curated: bool,
) -> CveItem:
    # By rising scores: of several vectors of a version the highest counts, as for the score.
    vectors = sorted(details.vectors(records), key=lambda vector: vector.score.value)
    of_version = {vector.score.version: vector for vector in vectors}
    # 3.1 before 3.0: as for the score, the newer version of CVSS counts.
    v3 = next((of_version[version] for version in _VERSIONS_3 if version in of_version), None)
    v2 = of_version.get(ScoreVersion.V2_0)
    return {
        "id": advisory.name,
        "curated": curated,
        # Records that can no longer be read are left out; the summary was saved at their import.
        "description": details.description(records) or advisory.summary,
        "summary": advisory.summary,
        "severity": advisory.severity,
        "score": advisory.score,
        "score_version": advisory.score_version,
        "status": str(listing.status),
        "malware": advisory.malware,
        "withdrawn": advisory.withdrawn,
        "cvssv3_score": v3.score.value if v3 else _stated(advisory, *_VERSIONS_3),
        "cvssv2_score": v2.score.value if v2 else _stated(advisory, ScoreVersion.V2_0),
        "cvssv3": {"cvssV3": _metrics(CVSS3(v3.text).as_json() if v3 else {}, _V3)},
        "cvssv2": {
            # CVSS 2 has no bands; NVD's old format has one beside the vector, in capitals.
            "severity": advisory.severity.upper() if v2 else None,
            "cvssV2": _metrics(CVSS2(v2.text).as_json() if v2 else {}, _V2),
        },
        "packages_count": listing.packages,
        "files_count": listing.files,
        "channels_count": listing.channels,
        "published_at": timestamp(advisory.published),
        "modified_at": timestamp(advisory.modified),
        "packages": packages,
    }


def _packages(
    advisories: Sequence[Advisory], channels: QuerySet[Channel]
) -> dict[str, list[CvePackage]]:
    """The names of the listed packages, by advisory; for versions files would have to be opened."""
    rows = ListedAdvisory.objects.filter(
        advisory__in=[advisory.name for advisory in advisories], channel__in=channels
    )
    named = rows.order_by("package", "section").values_list("advisory", "section", "package")
    packages: dict[str, list[CvePackage]] = {}
    # A package has a row for each status that files of it have.
    for advisory, section, name in named.distinct():
        of_advisory = packages.setdefault(advisory, [])
        if len(of_advisory) < MOST_FILES:
            of_advisory.append({"subdir": section, "name": name, "version": "", "sha256": ""})
    return packages


def _stated(advisory: Advisory, *versions: ScoreVersion) -> float | None:
    """A score that a source states without its vector."""
    return advisory.score if advisory.score_version in versions else None


def _metrics(values: JsonObject, keys: Sequence[str]) -> JsonObject:
    # The vendor's client reads every key, whatever there is.
    return {key: values.get(key) for key in keys}


def _vector(vector: Vector) -> JsonObject:
    score = vector.score
    return {"vector": vector.text, "score": score.value, "version": str(score.version)}
