"""Loads what is known of packages, for many names at once: some queries for a batch of shards.

packages = catalog.load("conda", {"pytorch": None, "pillow": [("pkg:pypi/pillow",)]})
facts = packages["pillow"].facts("9.5.0", "pillow-9.5.0-py311_0.conda", ("pkg:pypi/pillow",))
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

import msgspec
from django.db.models import Exists

from advisories import change_log, models, rows
from advisories.formats import purl
from advisories.formats.report import Affected
from advisories.formats.scores import Score, ScoreVersion
from advisories.formats.statement import Status
from advisories.matching.candidates import NameMap, candidates
from advisories.matching.facts import (
    AdvisoryFacts,
    AffectedVersions,
    CurationEntry,
    PackageAdvisories,
    Purls,
)

Package = tuple[str, str]
"""Ecosystem and name."""

COVERED = (purl.PYPI, purl.CRAN, purl.BIOCONDUCTOR)
"""Ecosystems that a source covers as a whole as soon as there is anything of it."""

_AFFECTED = msgspec.msgpack.Decoder(Affected)
_ROWS = f"""
    SELECT package.ecosystem, package.name, package.body, record.malware, advisory.id,
        advisory.name, advisory.score, advisory.score_version
    FROM {models.AffectedPackage._meta.db_table} package
    JOIN {models.Record._meta.db_table} record ON record.id = package.record_id
    JOIN {models.Advisory._meta.db_table} advisory ON advisory.id = record.advisory_id
    WHERE {{malware}}package.ecosystem = %s AND package.name IN ({{in}})
    ORDER BY advisory.id, package.id"""
_IDS = f"""
    SELECT record.advisory_id, identifier.text
    FROM {models.Record._meta.db_table} record
    JOIN {models.Identifier._meta.db_table} identifier ON identifier.record_id = record.id
    WHERE NOT identifier.upstream AND record.advisory_id IN ({{in}})"""


def load(
    family: str, names: Mapping[str, Collection[Purls] | None], *, malware_only: bool = False
) -> dict[str, PackageAdvisories]:
    """What is known of packages of a family (`conda`, `python`, `cran`), by their names.

    The values of `names` are the purls that records of the name state: a tuple for each record
    that states any. `malware_only`: leave out what reports no malware, and what is covered.
    """
    entries = _name_maps(names) if family == "conda" else {}
    packages = {
        name: _packages(family, name, purls or (), entries.get(name))
        for name, purls in names.items()
    }
    every = {package for of_name in packages.values() for package in of_name}
    affected = _affected(every, malware_only=malware_only)
    # Curations of packages without advisories change nothing, and most packages have none.
    curations = _curations(family, _with_any(packages, affected))
    covered = frozenset[str]() if malware_only else _covered()
    return {
        name: PackageAdvisories(
            family,
            name,
            {package: affected[package] for package in of_name if package in affected},
            curations.get(curated_name(family, name), ()),
            entry=entries.get(name),
            covered=covered,
        )
        for name, of_name in packages.items()
    }


def has_malware() -> bool:
    """Whether any source reports malware."""
    return models.Record.objects.filter(malware=True).exists()


def facts(
    family: str, name: str, version: str, filename: str = "", purls: Purls = None
) -> AdvisoryFacts:
    """What is known of a single file."""
    packages = load(family, {name: None if purls is None else (purls,)})
    return packages[name].facts(version, filename, purls)


def names_of(advisory: str) -> dict[str, set[str]]:
    """The names of files that an advisory (its `name`) can be about, by artifact family."""
    rows = models.AffectedPackage.objects.filter(record__advisory__name=advisory)
    # An advisory has a row for each source that names a package; the package counts once.
    packages = set(rows.values_list("ecosystem", "name"))
    projects = change_log.ProjectNames()
    names: dict[str, set[str]] = {}
    for ecosystem, name in packages:
        for family, of_files in change_log.names_of(ecosystem, name, projects):
            names.setdefault(family, set()).add(of_files)
    return names


def curated_name(family: str, name: str) -> str:
    """The spelling under which curations name a package of a family."""
    ecosystems = {"conda": purl.CONDA, "python": purl.PYPI, "cran": purl.CRAN}
    return purl.normalized(ecosystems[family], name)


def _packages(
    family: str, name: str, purls: Collection[Purls], entry: NameMap | None
) -> set[Package]:
    """All packages that files of a name can have advisories of, with and without purls."""
    return {
        (candidate.ecosystem, candidate.name)
        for stated in (None, *purls)
        for candidate in candidates(family, name, stated, entry)
    }


def _name_maps(names: Iterable[str]) -> dict[str, NameMap]:
    """What the mapping has, by the name as it was asked; an entry by hand comes first."""
    asked: dict[str, list[str]] = {}
    for name in names:
        asked.setdefault(purl.normalized(purl.CONDA, name), []).append(name)
    stored = models.Mapping.objects.filter(conda_name__in=list(asked)).order_by("by_hand")
    return {
        name: NameMap(None if row.projects is None else tuple(row.projects), by_hand=row.by_hand)
        for row in stored
        for name in asked[row.conda_name]
    }


def _with_any(packages: Mapping[str, set[Package]], affected: Container[Package]) -> Iterator[str]:
    """The names that have advisories: of all others no curation matters."""
    return (
        name
        for name, of_name in packages.items()
        if any(package in affected for package in of_name)
    )


def _affected(
    packages: Iterable[Package], *, malware_only: bool
) -> dict[Package, list[AffectedVersions]]:
    names: dict[str, list[str]] = {}
    for ecosystem, name in packages:
        names.setdefault(ecosystem, []).append(name)
    # Only fixed text goes into the statement; names and ecosystems are parameters.
    query = _ROWS.replace("{malware}", "record.malware AND " if malware_only else "")
    stored = [
        row
        for ecosystem, of_it in names.items()
        for row in rows.select(query, sorted(of_it), ecosystem)
    ]
    ids: dict[int, set[str]] = {}
    for pk, text in rows.select(_IDS, sorted({row[4] for row in stored})):
        ids.setdefault(pk, set()).add(text)
    # One set for all packages of an advisory: a batch may have thousands of rows of the same few.
    shared = {pk: frozenset(texts) for pk, texts in ids.items()}
    affected: dict[Package, list[AffectedVersions]] = {}
    for ecosystem, name, body, malware, pk, advisory, score, version in stored:
        body_of = _AFFECTED.decode(bytes(body))
        row = AffectedVersions(
            advisory=advisory,
            ids=shared[pk],
            score=None if score is None else Score(score, ScoreVersion(version)),
            malware=bool(malware),
            ranges=body_of.ranges,
            versions=body_of.versions,
        )
        affected.setdefault((ecosystem, name), []).append(row)
    return affected


def _curations(family: str, names: Iterable[str]) -> dict[str, Sequence[CurationEntry]]:
    spelled = {curated_name(family, name) for name in names}
    if not spelled:
        return {}
    stored = models.Curation.objects.filter(family=family, package__in=spelled)
    entries: dict[str, list[CurationEntry]] = {}
    # `pk` decides between curations of one call, which share their time.
    for number, row in enumerate(stored.order_by("created_at", "pk")):
        entries.setdefault(row.package, []).append(
            CurationEntry(number, row.advisory, Status(row.status), row.spec, row.filename)
        )
    return dict(entries)


def _covered() -> frozenset[str]:
    """Those of `COVERED` that there is anything of, in one query."""
    packages = models.AffectedPackage.objects.order_by()
    # Any row carries the answers, which depend on none; of an empty table nothing is covered.
    answers = packages.values_list(
        *(Exists(packages.filter(ecosystem=ecosystem)) for ecosystem in COVERED)
    )
    return frozenset(
        ecosystem
        for row in answers[:1]
        for ecosystem, exists in zip(COVERED, row, strict=True)
        if exists
    )
