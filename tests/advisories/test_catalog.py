"""From stored advisories to the facts of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from advisories import catalog
from advisories.formats.scores import Score, ScoreVersion
from advisories.formats.statement import Status
from advisories.importing import import_file
from advisories.matching.candidates import MatchedBy
from advisories.models import Curation, Mapping
from tests.advisories import files, records

pytestmark = pytest.mark.django_db

CRITICAL = Score(9.8, ScoreVersion.V3_1)


@pytest.fixture
def stored(tmp_path: Path) -> None:
    texts = (
        *(records.PYYAML, records.PYYAML_TWIN, records.TORCH, records.COMMONMARK),
        *(
            records.ULTRALYTICS,
            records.osv("GHSA-z", records.affected("zlib", ("introduced", "0"))),
        ),
    )
    import_file(files.written(tmp_path, files.archive(*texts)))
    import_file(files.written(tmp_path, {"pytorch": ["torch"], "pyyaml": ["pyyaml"], "zlib": None}))


def curate(status: Status, **scope: str) -> None:
    values = {"advisory": "CVE-2020-14343", "family": "python", "package": "pyyaml", **scope}
    Curation.objects.create(status=status, author="a", created_at=timezone.now(), **values)


@pytest.mark.usefixtures("stored")
def test_the_facts_of_files_of_all_families() -> None:
    python = catalog.facts("python", "PyYAML", "5.3.1")
    assert (python.score, python.status) == (CRITICAL, Status.REPORTED)
    assert [match.id for match in python.matches] == ["CVE-2020-14343"]
    conda = catalog.facts("conda", "pytorch", "2.5.1")
    assert conda.score == Score(9.3, ScoreVersion.V4_0)
    assert conda.matches[0].matched_by is MatchedBy.MAPPING
    assert catalog.facts("conda", "pytorch", "2.6.0").matches == ()
    cran = catalog.facts("cran", "commonmark", "1.8.0")
    assert cran.unknown
    assert catalog.facts("conda", "r-commonmark", "1.8.0").unknown
    assert catalog.facts("python", "ultralytics", "8.3.41").malware == ("PYSEC-2024-154",)
    assert not catalog.facts("conda", "zlib", "1.3").covered
    assert catalog.facts("conda", "pytorch", "2.6.0").covered
    assert not catalog.facts("conda", "unheard-of", "1").covered


def test_without_data_nothing_is_covered() -> None:
    assert not catalog.facts("python", "requests", "2").covered


@pytest.mark.usefixtures("stored")
def test_purls_of_records_and_the_mapping_by_hand() -> None:
    by_purl = catalog.facts("conda", "yaml-thing", "5.3", purls=("pkg:pypi/pyyaml",))
    assert by_purl.matches[0].matched_by is MatchedBy.PURL
    assert not catalog.facts("conda", "pyyaml", "5.3", purls=()).matches
    Mapping.objects.create(conda_name="pyyaml", by_hand=True, projects=None)
    assert not catalog.facts("conda", "pyyaml", "5.3").matches
    Mapping.objects.create(conda_name="thing", by_hand=True, projects=["pyyaml"])
    by_hand = catalog.facts("conda", "thing", "5.3", purls=())
    assert by_hand.matches[0].matched_by is MatchedBy.HAND


@pytest.mark.usefixtures("stored")
def test_a_curation_of_any_alias_counts_for_its_package_alone() -> None:
    curate(Status.CLEARED, advisory="PYSEC-2021-142")
    facts = catalog.facts("python", "pyyaml", "5.3.1")
    assert (facts.status, facts.score) == (Status.CLEARED, None)
    assert catalog.facts("conda", "pyyaml", "5.3.1").status is Status.REPORTED
    curate(Status.ACTIVE, spec="==5.3.1")
    assert catalog.facts("python", "pyyaml", "5.3.1").status is Status.ACTIVE
    curate(Status.MITIGATED, filename="PyYAML-5.3.1.tar.gz")
    assert catalog.facts("python", "pyyaml", "5.3.1", "PyYAML-5.3.1.tar.gz").score is None
    assert catalog.facts("python", "pyyaml", "5.3.1", "PyYAML-5.3.1.whl").score == CRITICAL


@pytest.mark.usefixtures("stored")
def test_many_names_take_as_many_queries_as_few(django_assert_max_num_queries: object) -> None:
    names = {f"package-{number}": None for number in range(400)} | {"pytorch": None, "zlib": None}
    with django_assert_max_num_queries(7):  # type: ignore[operator]
        known = catalog.load("conda", names)
    assert known["pytorch"].facts("2.0").matches
    assert not known["package-7"].facts("2.0").matches


@pytest.mark.usefixtures("stored")
def test_purls_differ_between_the_records_of_a_name() -> None:
    known = catalog.load("conda", {"thing": [("pkg:pypi/pyyaml@5.3",), ("pkg:pypi/torch@2.6.0",)]})
    assert known["thing"].facts("9", purls=("pkg:pypi/pyyaml@5.3",)).score == CRITICAL
    assert not known["thing"].facts("9", purls=("pkg:pypi/torch@2.6.0",)).matches
    assert not known["thing"].facts("9").matches
