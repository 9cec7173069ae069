"""What mirrors say where advisories are missing or old."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from django.utils import timezone

from advisories.importing import import_file
from advisories.models import Feed, Source
from channels import services as channel_services
from channels.models import Channel
from mirrors import warnings
from mirrors.models import Mirror
from tests import scene
from tests.advisories import files, records

pytestmark = pytest.mark.django_db

NO_DATA = "The mirror's CVE filters leave nothing out: this server has no advisories yet."
OLD = "The {}'s filter judges by old advisories: OSV data is 8 days old."


@pytest.fixture
def channel() -> Channel:
    return scene.channel()


def mirror(channel: Channel, **filters: object) -> Mirror:
    source = "https://conda.anaconda.org/conda-forge"
    return scene.mirror(channel, source, filters={"subdirs": ["noarch"], **filters})


def aged(folder: Path, days: int) -> None:
    import_file(files.written(folder, files.archive(records.PYYAML)))
    then = timezone.now() - dt.timedelta(days=days)
    Feed.objects.create(source=Source.OSV, succeeded_at=then)


def test_without_data_only_who_asks_for_scores_is_told(channel: Channel) -> None:
    plain, scored = mirror(channel), mirror(channel, cve_score_threshold=7)
    assert warnings.of_all([plain, scored]) == {plain.pk: [], scored.pk: [NO_DATA]}
    channel_services.edit(channel, {"filters": {"exclude_non_curated_cve": True}}, actor="ann")
    assert warnings.of(plain) == [NO_DATA.replace("mirror's", "channel's")]


def test_old_data_are_told_of_wherever_a_filter_judges_by_them(
    channel: Channel, tmp_path: Path
) -> None:
    channel_services.edit(channel, {"filters": {"exclude_malware": False}}, actor="ann")
    default = mirror(channel)
    careless = mirror(channel, exclude_malware=False)
    aged(tmp_path, 8)
    assert warnings.of_all([default, careless]) == {
        default.pk: [OLD.format("mirror")],
        careless.pk: [],
    }


def test_fresh_data_are_not_spoken_of(channel: Channel, tmp_path: Path) -> None:
    aged(tmp_path, 1)
    assert warnings.of(mirror(channel, cve_score_threshold=7)) == []
