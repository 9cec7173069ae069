"""Which files an advisory affects, and what they score: the tricky rows."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from advisories.formats import osv
from advisories.formats.report import MALWARE, Affected
from advisories.formats.scores import Score, ScoreVersion, Severity
from advisories.formats.statement import Status
from advisories.matching.candidates import Candidate, MatchedBy, NameMap, candidates
from advisories.matching.facts import (
    AffectedVersions,
    CurationEntry,
    PackageAdvisories,
    spec_test,
)
from advisories.matching.versions import Scheme, Versions
from ecosystems.errors import SpecError
from tests.advisories import records

ALL = frozenset({"PyPI", "CRAN"})


def package(
    family: str,
    name: str,
    *raw: bytes,
    entry: NameMap | None = None,
    curations: Iterable[CurationEntry] = (),
    covered: frozenset[str] = ALL,
) -> PackageAdvisories:
    """A package with these OSV records; each of them is an advisory of its own name."""
    rows: dict[tuple[str, str], list[AffectedVersions]] = {}
    for text in raw:
        report = osv.parse(text)
        for affected in report.affected:
            row = AffectedVersions(
                advisory=min(report.same),
                ids=frozenset(report.same),
                score=report.score,
                malware=report.malware,
                ranges=affected.ranges,
                versions=affected.versions,
            )
            rows.setdefault((affected.ecosystem, affected.name), []).append(row)
    return PackageAdvisories(family, name, rows, curations, entry=entry, covered=covered)


def python_range(*events: tuple[str, str], versions: tuple[str, ...] = ()) -> Affected:
    entry = records.affected("a", *events, versions=versions)
    return osv.parse(records.osv("A-1", entry)).affected[0]


ZERO = ("introduced", "0")
RANGES = [
    # events, listed versions, hits, misses
    ([ZERO], (), ["0", "0.0.1.dev0", "1!9"], []),
    ([ZERO, ("fixed", "5.4")], (), ["5.3.1", "5.4b1", "5.4.dev0", "5.4rc1"],
     ["5.4", "5.4.post1"]),
    ([("introduced", "4.0a1"), ("fixed", "4.0.6")], (), ["4.0a1", "4.0", "4.0.5"],
     ["3.2", "4.0.6"]),
    ([ZERO, ("last_affected", "1.11.0")], (), ["1.11.0", "1.11"], ["1.11.0.post1", "1.11.1"]),
    ([ZERO, ("limit", "2")], (), ["1.9"], ["2", "2.1"]),
    ([ZERO, ("limit", "2"), ("limit", "*")], (), ["1.9", "2.1"], []),
    ([("introduced", "1"), ("fixed", "2"), ("introduced", "3"), ("fixed", "4")], (), ["1.5", "3.1"],
     ["0.9", "2", "2.5", "4"]),
    # Events need not come in their order.
    ([("fixed", "4"), ("introduced", "3"), ("fixed", "2"), ZERO], (), ["1", "3.5"], ["2.5", "4"]),
    ([], ("1.0", "1.1rc1"), ["1.0", "1.0.0", "1.1rc1", "1.1RC1"], ["1.1"]),
    ([("introduced", "2"), ("fixed", "3")], ("1.0",), ["1.0", "2.0"], ["1.1", "3"]),
    # An end that cannot be read leaves the range open; a beginning opens none.
    ([ZERO, ("fixed", "next week")], (), ["99"], []),
    ([("introduced", "some day")], (), [], ["1"]),
    # What is no version can only be in a range of all there are.
    ([ZERO], (), ["unknown version"], []),
    ([ZERO, ("fixed", "5")], (), [], ["unknown version"]),
    ([ZERO, ("fixed", "5")], ("unknown version",), ["unknown version"], []),
]  # fmt: skip


@pytest.mark.parametrize("scheme", [Scheme.PYTHON, Scheme.CONDA])
@pytest.mark.parametrize(("events", "versions", "hits", "misses"), RANGES)
def test_a_version_is_inside_of_a_range_in_the_order_of_its_ecosystem(
    scheme: Scheme,
    events: list[tuple[str, str]],
    versions: tuple[str, ...],
    hits: list[str],
    misses: list[str],
) -> None:
    affected = python_range(*events, versions=versions)
    ranges = Versions(affected.ranges, affected.versions, scheme)
    assert [version for version in hits if not ranges.contains(version)] == []
    assert [version for version in misses if ranges.contains(version)] == []


def test_the_orders_differ_where_the_ecosystems_do() -> None:
    affected = python_range(ZERO, ("fixed", "1.10"))
    r = Versions(affected.ranges, (), Scheme.R)
    assert r.contains("1.9-1")
    assert not r.contains("1.10")
    assert not r.contains("1.10-0")
    # OpenSSL's letters: versions of conda, and none of Python.
    openssl = python_range(ZERO, ("fixed", "1.0.1h"))
    conda = Versions(openssl.ranges, (), Scheme.CONDA)
    assert conda.contains("1.0.1g")
    assert not conda.contains("1.0.1h")
    assert Versions(openssl.ranges, (), Scheme.PYTHON).contains("99")


def test_a_single_number_bounds_versions_of_r() -> None:
    affected = python_range(("introduced", "1"), ("fixed", "2"))
    ranges = Versions(affected.ranges, (), Scheme.R)
    assert ranges.contains("1.5")
    assert not ranges.contains("2.0")


def test_a_semver_range_is_judged_in_condas_order() -> None:
    entry = records.affected("left-pad", ZERO, ("fixed", "1.0.0"), ecosystem="npm", kind="SEMVER")
    conda = package("conda", "left-pad", records.osv("GHSA-n", entry))
    purls = ("pkg:npm/left-pad",)
    assert conda.facts("1.0.0-alpha.1", purls=purls).matches
    assert not conda.facts("1.0.0", purls=purls).matches


@pytest.mark.parametrize(
    ("family", "name", "purls", "entry", "expected"),
    [
        ("python", "Py_YAML", None, None, [("PyPI", "py-yaml", "name")]),
        ("cran", "Rcpp", None, None, [("CRAN", "rcpp", "name"), ("Bioconductor", "rcpp", "name")]),
        ("conda", "zlib", None, None, [("conda", "zlib", "name")]),
        ("conda", "zlib", None, NameMap(None), [("conda", "zlib", "name")]),
        ("conda", "pytorch", None, NameMap(("torch",)),
         [("conda", "pytorch", "name"), ("PyPI", "torch", "mapping")]),
        ("conda", "gdal", None, NameMap(("gdal", "osgeo")),
         [("conda", "gdal", "name"), ("PyPI", "gdal", "mapping"), ("PyPI", "osgeo", "mapping")]),
        ("conda", "r-Rcpp", None, NameMap(None),
         [("conda", "r-rcpp", "name"), ("CRAN", "rcpp", "mapping")]),
        ("conda", "bioconductor-deseq2", None, None,
         [("conda", "bioconductor-deseq2", "name"), ("Bioconductor", "deseq2", "mapping")]),
        # purls beat the mapping, and an empty list is a statement.
        ("conda", "yaml", ("pkg:pypi/x@1", "pkg:conda/yaml"), NameMap(("yaml",)),
         [("conda", "yaml", "name"), ("PyPI", "x", "purl")]),
        ("conda", "yaml", (), NameMap(("yaml",)), [("conda", "yaml", "name")]),
        # What a person wrote beats both.
        ("conda", "yaml", ("pkg:pypi/x",), NameMap(("z",), by_hand=True),
         [("conda", "yaml", "name"), ("PyPI", "z", "hand")]),
        ("conda", "r-a", None, NameMap(None, by_hand=True), [("conda", "r-a", "name")]),
    ],
)  # fmt: skip
def test_the_packages_whose_advisories_concern_a_file(
    family: str,
    name: str,
    purls: tuple[str, ...] | None,
    entry: NameMap | None,
    expected: list[tuple[str, str, str]],
) -> None:
    got = candidates(family, name, purls, entry)
    assert [(one.ecosystem, one.name, one.matched_by) for one in got] == expected


def test_a_c_library_has_no_advisories_of_the_python_project_of_its_name() -> None:
    record = records.osv("GHSA-s", records.affected("snappy", ZERO), vector=records.V31)
    library = package("conda", "snappy", record, entry=NameMap(None)).facts("1.1.10")
    assert library.matches == ()
    assert library.score is None
    assert not library.covered
    assert library.severity is Severity.UNKNOWN
    unlisted = package("conda", "snappy", record).facts("1.1.10")
    assert not unlisted.covered
    project = package("python", "snappy", record).facts("1.1.10")
    assert project.score == Score(9.8, ScoreVersion.V3_1)


def test_no_advisory_data_is_not_the_same_as_none() -> None:
    fine = package("python", "requests").facts("2.32.0")
    assert fine.covered
    assert fine.severity is Severity.NONE
    nothing = package("python", "requests", covered=frozenset()).facts("2.32.0")
    assert not nothing.covered
    assert nothing.severity is Severity.UNKNOWN


def test_a_name_mapped_to_several_projects_has_the_advisories_of_all() -> None:
    facts = package(
        "conda", "tools", records.PYYAML, records.TORCH, entry=NameMap(("pyyaml", "torch"))
    ).facts("1.0")
    assert [match.id for match in facts.matches] == ["CVE-2020-14343", "CVE-2025-32434"]
    assert {match.matched_by for match in facts.matches} == {MatchedBy.MAPPING}
    assert facts.score == Score(9.8, ScoreVersion.V3_1)


def test_twins_are_one_advisory() -> None:
    facts = package("python", "pyyaml", records.PYYAML, records.PYYAML_TWIN).facts("5.3.1")
    assert [match.id for match in facts.matches] == ["CVE-2020-14343"]
    assert facts.score == Score(9.8, ScoreVersion.V3_1)


def test_an_r_package_of_conda_is_judged_by_cran() -> None:
    conda = package("conda", "r-commonmark", records.COMMONMARK)
    assert conda.facts("1.8.0").matches[0].matched_by is MatchedBy.MAPPING
    assert not conda.facts("1.8.1").matches
    cran = package("cran", "commonmark", records.COMMONMARK)
    assert cran.facts("0.9").matches[0].matched_by is MatchedBy.NAME
    assert not cran.facts("0.1").matches


def test_an_advisory_without_a_score_is_unknown_and_not_harmless() -> None:
    facts = package("cran", "commonmark", records.COMMONMARK).facts("0.9")
    assert facts.score is None
    assert facts.unknown
    assert facts.severity is Severity.UNKNOWN
    assert facts.status is Status.REPORTED


def test_malware_needs_no_score() -> None:
    bad = package("python", "ultralytics", records.ULTRALYTICS)
    facts = bad.facts("8.3.41")
    assert facts.malware == ("MAL-2024-11188",)
    assert not facts.unknown
    assert bad.facts("8.3.40").malware == ()


def test_a_report_of_malware_without_versions_is_about_all_of_them() -> None:
    entry = {"package": {"ecosystem": "PyPI", "name": "evil"}}
    evil = package("python", "evil", records.osv(f"{MALWARE}2024-1", entry))
    assert evil.facts("1.0").malware
    vague = package("python", "evil", records.osv("GHSA-1", entry))
    assert not vague.facts("1.0").matches


def test_a_version_that_a_purl_states_is_the_one_that_counts() -> None:
    conda = package("conda", "yaml-wrapper", records.PYYAML)
    assert conda.facts("99", purls=("pkg:pypi/pyyaml@5.3.1",)).matches
    assert not conda.facts("5.3.1", purls=("pkg:pypi/pyyaml@6.0",)).matches
    assert not conda.facts("5.3.1").matches


def test_records_of_an_organisation_about_conda_packages_match_by_name() -> None:
    entry = records.affected("openssl", ZERO, ("fixed", "3.0.7"), ecosystem="conda")
    openssl = package("conda", "openssl", records.osv("ORG-2022-1", entry, vector=records.V31))
    facts = openssl.facts("3.0.5")
    assert facts.covered
    assert facts.matches[0].matched_by is MatchedBy.NAME
    assert not openssl.facts("3.0.7").covered


def curated(*entries: tuple[Status, str, str], advisory: str = "CVE-2020-14343") -> list:
    return [
        CurationEntry(number, advisory, status, spec, filename)
        for number, (status, spec, filename) in enumerate(entries)
    ]


FILE = "PyYAML-5.3.1.tar.gz"
PRECEDENCE = [
    ([], Status.REPORTED, 9.8),
    ([(Status.ACTIVE, "", "")], Status.ACTIVE, 9.8),
    ([(Status.CLEARED, "", "")], Status.CLEARED, None),
    ([(Status.MITIGATED, "", "")], Status.MITIGATED, None),
    ([(Status.DISPUTED, "", "")], Status.DISPUTED, 9.8),
    ([(Status.CLEARED, "<5.3", "")], Status.REPORTED, 9.8),
    ([(Status.CLEARED, ">=5.3", ""), (Status.ACTIVE, "", "")], Status.CLEARED, None),
    ([(Status.ACTIVE, "", FILE), (Status.CLEARED, ">=5.3", "")], Status.ACTIVE, 9.8),
    ([(Status.CLEARED, "", "other.whl"), (Status.ACTIVE, "", "")], Status.ACTIVE, 9.8),
    # Of equal scope the newest counts.
    ([(Status.CLEARED, "", ""), (Status.ACTIVE, "", "")], Status.ACTIVE, 9.8),
]


@pytest.mark.parametrize(("entries", "status", "score"), PRECEDENCE)
def test_a_file_comes_before_a_version_spec_and_that_before_the_package(
    entries: list[tuple[Status, str, str]], status: Status, score: float | None
) -> None:
    pyyaml = package("python", "pyyaml", records.PYYAML, curations=curated(*entries))
    facts = pyyaml.facts("5.3.1", FILE)
    assert facts.status is status
    assert (facts.score.value if facts.score else None) == score


def test_any_id_of_an_advisory_can_be_curated() -> None:
    entries = curated((Status.CLEARED, "", ""), advisory="PYSEC-2021-142")
    facts = package("python", "pyyaml", records.PYYAML, curations=entries).facts("5.3.1")
    assert facts.status is Status.CLEARED
    entries = curated((Status.CLEARED, "", ""), advisory="CVE-1999-1")
    facts = package("python", "pyyaml", records.PYYAML, curations=entries).facts("5.3.1")
    assert facts.status is Status.REPORTED


def test_cleared_malware_does_not_count() -> None:
    entries = curated((Status.CLEARED, "", ""), advisory="MAL-2024-11188")
    facts = package("python", "ultralytics", records.ULTRALYTICS, curations=entries).facts("8.3.41")
    assert facts.malware == ()
    assert facts.matches


def test_the_status_is_the_most_severe_and_the_score_the_highest_that_counts() -> None:
    pyyaml = package(
        "conda",
        "tools",
        records.PYYAML,
        records.TORCH,
        entry=NameMap(("pyyaml", "torch")),
        curations=[CurationEntry(1, "CVE-2020-14343", Status.CLEARED)],
    ).facts("1.0")
    assert pyyaml.score == Score(9.3, ScoreVersion.V4_0)
    assert pyyaml.status is Status.REPORTED


@pytest.mark.parametrize(
    ("family", "spec", "fits", "misses"),
    [
        ("conda", ">=1.8,<2", "1.9", "2.0"),
        ("python", ">=1.8,<2", "1.9rc1", "2.0"),
        ("python", "~=1.8", "1.9", "no version"),
        ("cran", ">=1.8-1", "1.9", "1.8-0"),
    ],
)
def test_a_version_spec_is_read_in_the_words_of_its_family(
    family: str, spec: str, fits: str, misses: str
) -> None:
    assert spec_test(family, spec)(fits)
    assert not spec_test(family, spec)(misses)


@pytest.mark.parametrize("family", ["conda", "python", "cran"])
def test_a_bad_version_spec_is_refused(family: str) -> None:
    with pytest.raises(SpecError):
        spec_test(family, "??")


def test_a_candidate_is_named_once() -> None:
    purls = ("pkg:pypi/a", "pkg:pypi/A")
    assert candidates("conda", "x", purls)[1:] == (Candidate("PyPI", "a", MatchedBy.PURL),)
