"""What people decide: checked as a whole, written with its event, and withdrawn again."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from advisories import change_log, curation
from advisories.curation import Decision
from advisories.importing import import_file
from advisories.models import Curation, Mapping
from history.models import Event
from tests.advisories import files, records

pytestmark = pytest.mark.django_db

CVE = "CVE-2020-14343"


@pytest.fixture(autouse=True)
def stored(tmp_path: Path) -> None:
    import_file(files.written(tmp_path, files.archive(records.PYYAML)))


@pytest.mark.parametrize("id", [CVE, "cve-2020-14343", "ghsa-8Q59-q68h-6hv4", "PYSEC-2021-142"])
def test_any_id_leads_to_the_advisory(id: str) -> None:
    advisory = curation.find(id)
    assert advisory is not None
    assert curation.ids(advisory) == [CVE, "GHSA-8q59-q68h-6hv4", "PYSEC-2021-142"]
    assert curation.find("CVE-1999-1") is None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"advisory": "CVE-1999-1"}, {"advisory"}),
        ({"family": "npm", "status": "open"}, {"family", "status"}),
        ({"package": " "}, {"package"}),
        ({"spec": ">=1", "filename": "a-1.whl"}, {"filename"}),
        ({"spec": "not a spec"}, {"spec"}),
        ({"package": "p" * 400}, {"package"}),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_saved(
    fields: dict[str, str], wrong: set[str]
) -> None:
    values = {"advisory": CVE, "family": "python", "package": "PyYAML", "status": "active"}
    with pytest.raises(ValidationError) as raised:
        curation.curate(Decision(**{**values, **fields}), author="ann")
    assert set(raised.value.message_dict) == wrong
    assert not Curation.objects.exists()
    assert not Event.objects.exists()


def test_many_are_saved_all_or_none() -> None:
    good = Decision(CVE, "python", "PyYAML", "active", "we use it")
    bad = Decision(CVE, "python", "PyYAML", "open")
    with pytest.raises(ValidationError) as raised:
        curation.curate_all([good, bad], author="ann")
    assert set(raised.value.message_dict) == {"1.status"}
    with pytest.raises(ValidationError, match="At most 1,000"):
        curation.curate_all([good] * 1001, author="ann")
    before = change_log.last_number()
    rows = curation.curate_all([good, good], author="ann")
    assert [(row.package, row.author, row.reason) for row in rows] == [
        ("pyyaml", "ann", "we use it")
    ] * 2
    assert change_log.names_since(before) == {"python": {"pyyaml"}}
    events = Event.objects.filter(type="cve_updated", actor="ann")
    assert [event.data["advisory"] for event in events] == [CVE, CVE]


def test_a_mapping_by_hand_is_checked_and_forgotten_again() -> None:
    with pytest.raises(ValidationError) as raised:
        curation.map_name("No Name!", ["torch"], author="ann")
    assert set(raised.value.message_dict) == {"conda_name"}
    with pytest.raises(ValidationError) as raised:
        curation.map_name("pytorch", ["-"], author="ann")
    assert set(raised.value.message_dict) == {"projects"}
    row = curation.map_name("PyTorch", ["Torch", "torch"], author="ann")
    assert (row.conda_name, row.projects, row.by_hand) == ("pytorch", ["torch"], True)
    assert curation.map_name("pytorch", [], author="ann").projects is None
    curation.unmap_name(Mapping.objects.get(), actor="ann")
    assert not Mapping.objects.exists()
    assert Event.objects.filter(type="cve_updated").count() == 3
