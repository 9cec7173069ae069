"""Reading OSV, NVD, the name mapping, OpenVEX and CSAF."""

from __future__ import annotations

import copy
import datetime as dt
import json

import pytest

from advisories.formats import csaf, mapping, nvd, openvex, osv, purl, scores
from advisories.formats.report import LARGEST_RECORD, BadRecord, Bound, Event
from advisories.formats.scores import Score, ScoreVersion, Severity
from advisories.formats.statement import Statement, Status
from tests.advisories import records


def test_an_osv_record_is_read_whole() -> None:
    report = osv.parse(records.PYYAML)
    assert report.id == "GHSA-8q59-q68h-6hv4"
    assert report.same == ("GHSA-8q59-q68h-6hv4", "CVE-2020-14343", "PYSEC-2021-142")
    assert report.modified == dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)
    assert report.score == Score(9.8, ScoreVersion.V3_1)
    assert not report.withdrawn
    assert not report.malware
    [entry] = report.affected
    assert (entry.ecosystem, entry.name) == ("PyPI", "pyyaml")
    assert entry.ranges == ((Event(Bound.INTRODUCED, "0"), Event(Bound.FIXED, "5.4")),)


def test_the_ranges_of_one_package_become_one_entry_and_git_ranges_none() -> None:
    report = osv.parse(
        records.osv(
            "GHSA-1",
            records.affected("a_b", ("introduced", "1"), ("fixed", "1.5")),
            records.affected("A.B", ("introduced", "2"), versions=("2.1",)),
            records.affected("only-git", ("introduced", "0"), kind="GIT"),
            {"ranges": [{"type": "GIT", "repo": "https://example.org", "events": []}]},
        )
    )
    [entry] = report.affected
    assert entry.name == "a-b"
    assert len(entry.ranges) == 2
    assert entry.versions == ("2.1",)


def test_the_release_of_a_distribution_is_no_part_of_its_ecosystem() -> None:
    entry = records.affected("zlib", ("introduced", "0"), ecosystem="Debian:12")
    assert osv.parse(records.osv("DSA-1-1", entry)).affected[0].ecosystem == "Debian"


def test_one_upstream_is_the_same_vulnerability_and_several_are_not() -> None:
    assert osv.parse(records.COMMONMARK).same == ("RSEC-2023-6", "CVE-2022-39209")
    several = osv.parse(records.osv("RSEC-2023-7", upstream=["CVE-1", "CVE-2"]))
    assert several.same == ("RSEC-2023-7",)
    assert several.upstream == ("CVE-1", "CVE-2")


@pytest.mark.parametrize(
    ("record", "score"),
    [
        (records.osv("A-1", vector=records.V2), Score(7.5, ScoreVersion.V2_0)),
        (records.osv("A-1", vector=records.V30), Score(7.5, ScoreVersion.V3_0)),
        (records.osv("A-1", vector=records.V31), Score(9.8, ScoreVersion.V3_1)),
        (records.osv("A-1", vector=records.V40), Score(9.3, ScoreVersion.V4_0)),
        (records.osv("A-1", word="MODERATE"), Score(4.0, ScoreVersion.WORD)),
        (records.osv("A-1", word="HIGH", vector="CVSS:3.1/nothing"), Score(7.0, ScoreVersion.WORD)),
        (records.osv("A-1", vector="CVSS:4.0/" + "A" * 5000), None),
        (records.osv("A-1", word="dreadful"), None),
        (records.osv("MAL-1"), None),
    ],
)
def test_the_score_has_the_version_it_is_of(record: bytes, score: Score | None) -> None:
    assert osv.parse(record).score == score


def test_a_vector_beside_one_package_counts_too() -> None:
    entry = records.affected("a", ("introduced", "0"))
    entry["severity"] = [{"type": "CVSS_V3", "score": records.V31}]
    assert osv.parse(records.osv("A-1", entry)).score == Score(9.8, ScoreVersion.V3_1)


def test_bands_are_those_of_cvss() -> None:
    bands = {
        None: Severity.UNKNOWN,
        0.0: Severity.NONE,
        0.1: Severity.LOW,
        3.9: Severity.LOW,
        4.0: Severity.MEDIUM,
        6.9: Severity.MEDIUM,
        7.0: Severity.HIGH,
        8.9: Severity.HIGH,
        9.0: Severity.CRITICAL,
        10.0: Severity.CRITICAL,
    }
    for value, band in bands.items():
        score = None if value is None else Score(value, ScoreVersion.V3_1)
        assert scores.severity_of(score) is band


def test_the_newest_version_counts_and_of_it_the_highest_score() -> None:
    three, low, two = (
        Score(5.0, ScoreVersion.V3_1),
        Score(4.0, ScoreVersion.V3_1),
        Score(9.0, ScoreVersion.V2_0),
    )
    assert scores.best([two, low, None, three]) == three
    assert scores.best([None]) is None


@pytest.mark.parametrize(
    ("raw", "id", "why"),
    [
        (b"", "", "JSON"),
        (b"[]", "", "JSON"),
        (b'{"id": "A-1"}', "A-1", "modified"),
        (b'{"modified": "2024-01-01T00:00:00Z"}', "", "id"),
        (records.osv("A-1", modified="yesterday"), "A-1", "RFC3339"),
        (records.osv("A-1", modified="0001-01-01T00:00:00+23:59"), "A-1", "time"),
        (records.osv("A\x00-1"), "A -1", "id"),
        (records.osv("A-1", aliases=["<script>"]), "A-1", "id"),
        (records.osv("A-1", aliases=[f"CVE-{n}" for n in range(101)]), "A-1", "aliases"),
        (records.osv("A-1", records.affected("a\x00b", ("introduced", "0"))), "A-1", "name"),
        (records.osv("A-1", records.affected("", ("introduced", "0"))), "A-1", "name"),
        (
            records.osv("A-1", records.affected("a", ("introduced", "0"), ecosystem="")),
            "A-1",
            "eco",
        ),
        (records.osv("A-1", records.affected("a", ("begun", "0"))), "A-1", "event"),
        (records.osv("A-1", records.affected("a", ("fixed", ""))), "A-1", "version"),
        (records.osv("A-1", records.affected("a", ("fixed", "1" * 201))), "A-1", "version"),
        (records.PYYAML.replace(b"1.7.0", b"\xff"), "GHSA-8q59-q68h-6hv4", "UTF-8"),
        (b'{"id":"A-1","x":' + b"[" * 9999 + b"]" * 9999 + b"}", "", "JSON"),
        (b" " * (LARGEST_RECORD + 1), "", "bytes"),
    ],
)
def test_a_broken_osv_record_is_named_and_says_why(raw: bytes, id: str, why: str) -> None:
    with pytest.raises(BadRecord, match=why) as caught:
        osv.parse(raw)
    assert caught.value.id == id


def test_the_head_of_a_record_is_read_alone() -> None:
    head = osv.head(records.PYYAML)
    assert head == ("GHSA-8q59-q68h-6hv4", dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC))
    assert osv.head(b"{}") is None


def test_an_nvd_record_gives_scores_and_no_packages() -> None:
    item = records.nvd_item(
        "CVE-2020-14343",
        description="A  vulnerability\n was found.",
        cvssMetricV31=[
            records.metric(records.V31_LOW, 2.0, kind="Secondary"),
            records.metric(records.V31, 9.8),
        ],
        cvssMetricV2=[records.metric(records.V2, 7.5)],
    )
    report = nvd.parse(json.dumps(item).encode())
    assert report.id == "CVE-2020-14343"
    assert report.summary == "A vulnerability was found."
    assert report.score == Score(9.8, ScoreVersion.V3_1)
    assert report.modified.tzinfo is dt.UTC
    assert report.affected == ()


def test_an_old_cve_has_a_score_of_version_2_only() -> None:
    item = records.nvd_item("CVE-2008-1", cvssMetricV2=[records.metric(records.V2, 7.5)])
    assert nvd.parse(json.dumps(item).encode()).score == Score(7.5, ScoreVersion.V2_0)


def test_a_stated_score_counts_where_the_vector_cannot_be_read() -> None:
    item = records.nvd_item("CVE-2008-1", cvssMetricV40=[records.metric("CVSS:4.0/?", 6.3)])
    assert nvd.parse(json.dumps(item).encode()).score == Score(6.3, ScoreVersion.V4_0)
    item = records.nvd_item("CVE-2008-1", cvssMetricV40=[records.metric("CVSS:4.0/?", 63)])
    assert nvd.parse(json.dumps(item).encode()).score is None


def test_a_rejected_cve_is_withdrawn() -> None:
    item = records.nvd_item("CVE-2008-1", status="Rejected")
    assert nvd.parse(json.dumps(item).encode()).withdrawn


def test_the_mapping_tells_no_python_package_from_several() -> None:
    names, broken = mapping.parse(
        b'{"zlib": null, "PyTorch": ["torch"], "gdal": ["GDAL", "gdal_x"], "one": "One",'
        b' "none": [], "bad": 5, "b d": ["x"], "worse": ["a/b"]}'
    )
    assert names == {
        "zlib": None,
        "pytorch": ("torch",),
        "gdal": ("gdal", "gdal-x"),
        "one": ("one",),
        "none": None,
    }
    assert [error.id for error in broken] == ["bad", "b d", "worse"]


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(BadRecord):
        mapping.parse(b"[]")


def test_openvex_gives_a_status_for_what_a_purl_names() -> None:
    read = openvex.parse(json.dumps(records.OPENVEX).encode())
    assert read.author == "Security Team <security@example.org>"
    assert read.broken == []
    assert read.statements == [
        Statement(
            advisory="CVE-2020-14343",
            family="python",
            package="pyyaml",
            status=Status.CLEARED,
            spec="==5.3.1",
            reason="vulnerable_code_not_in_execute_path",
        ),
        Statement(
            advisory="CVE-2025-32434",
            family="conda",
            package="pytorch",
            status=Status.MITIGATED,
            filename="pytorch-2.5.1-cpu_0.conda",
        ),
    ]


def test_a_broken_statement_of_openvex_costs_no_other() -> None:
    document = copy.deepcopy(records.OPENVEX)
    document["statements"][0]["status"] = "fine"
    document["statements"].append({"status": "fixed"})
    read = openvex.parse(json.dumps(document).encode())
    assert len(read.statements) == 1
    assert [error.id for error in read.broken] == ["CVE-2020-14343", "statement 3"]


def test_csaf_gives_a_status_for_products_wherever_they_stand_in_the_tree() -> None:
    read = csaf.parse(json.dumps(records.CSAF).encode())
    assert read.author == "Example"
    assert read.id == "EX-2024-7"
    assert read.statements == [
        Statement(
            "CVE-2022-39209", "cran", "commonmark", Status.ACTIVE, spec="==1.8.0", reason="slow"
        ),
        Statement("CVE-2022-42969", "python", "py", Status.CLEARED, reason="component_not_present"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pkg:pypi/Django_x@4.2", purl.Purl("PyPI", "django-x", "4.2")),
        ("pkg:PYPI/a", purl.Purl("PyPI", "a")),
        ("pkg:cran/Rcpp@1.0-1", purl.Purl("CRAN", "rcpp", "1.0-1")),
        ("pkg:npm/%40angular/core@1.2.3", purl.Purl("npm", "@angular/core", "1.2.3")),
        ("pkg:maven/org.a/b@1#sub", purl.Purl("Maven", "org.a:b", "1")),
        ("pkg:github/a/b@1", None),
        ("pkg:pypi/", None),
        ("pkg:pypi/a%00b", None),
        ("pypi/a", None),
        ("pkg:pypi/" + "a" * 2000, None),
    ],
)
def test_package_urls(text: str, expected: purl.Purl | None) -> None:
    assert purl.parse(text) == expected
