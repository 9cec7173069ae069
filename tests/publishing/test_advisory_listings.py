"""What lists show of advisories, and who has an advisory."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from advisories.formats.scores import Score, ScoreVersion, Severity
from advisories.formats.statement import Status
from advisories.importing import import_file
from advisories.matching.facts import SEVEREST
from channels import services as channel_services
from channels.models import Channel, Download, ListedAdvisory
from publishing import advisory_index, advisory_listings
from publishing.advisory_listings import Mark
from tests import scene
from tests.advisories import files, records
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)

CVE = "CVE-2020-14343"
EVERY = Channel.objects.all()


@pytest.fixture
def channel(small: FakeConda, tmp_path: Path) -> Channel:
    """Two affected files in two versions, one that is not, and malware."""
    small.add("noarch", "pyyaml", "5.3.1")
    small.add("noarch", "pyyaml", "5.1")
    small.add("noarch", "pyyaml", "6.0")
    small.add("noarch", "ultralytics", "8.3.41")
    small.publish()
    channel = scene.channel(filters={"exclude_malware": False})
    scene.run_now(scene.mirror(channel, small.channel, filters={"exclude_malware": False}))
    mapping = {"pyyaml": ["pyyaml"], "ultralytics": ["ultralytics"], "zlib": None}
    import_file(files.written(tmp_path, mapping))
    import_file(files.written(tmp_path, files.archive(records.PYYAML, records.ULTRALYTICS)))
    index()
    return channel


def index() -> None:
    for channel in advisory_index.outdated():
        advisory_index.update(channel)


def test_marks_of_packages_and_files(channel: Channel) -> None:
    marks = advisory_listings.package_marks(channel, ["pyyaml", "ultralytics", "six", "zlib"])
    score = Score(9.8, ScoreVersion.V3_1)
    assert marks == {
        ("conda", "pyyaml"): Mark(1, score, Status.REPORTED),
        ("conda", "ultralytics"): Mark(1, None, Status.REPORTED, malware=True),
    }
    assert marks["conda", "pyyaml"].severity is Severity.CRITICAL
    [row] = channel.package_set.filter(name="pyyaml", removed_in__gt=2)
    by_file = advisory_listings.file_marks(
        "conda", {"pyyaml": advisory_listings.records_of(row), "nothing": []}
    )
    assert {name: mark.count for name, mark in by_file["pyyaml"].items()} == {
        "pyyaml-5.1-0.conda": 1,
        "pyyaml-5.3.1-0.conda": 1,
        "pyyaml-6.0-0.conda": 0,
    }
    assert by_file["pyyaml"]["pyyaml-6.0-0.conda"].severity is Severity.NONE


def test_advisories_of_channels_with_counts(channel: Channel) -> None:
    first, second = advisory_listings.advisories_of(EVERY)
    assert (first["advisory"], first["packages"], first["files"]) == (CVE, 1, 2)
    assert SEVEREST[first["status_rank"]] is Status.REPORTED
    assert (second["advisory"], second["malware"]) == ("PYSEC-2024-154", 1)
    assert not advisory_listings.advisories_of(EVERY, severity="low")
    counts = advisory_listings.severity_counts(EVERY)[channel.pk]
    assert (counts[Severity.CRITICAL], counts[Severity.HIGH]) == (2, 0)


def test_who_has_an_advisory(channel: Channel) -> None:
    assert advisory_listings.channels_of(CVE, EVERY) == [(channel, 1, 2)]
    assert advisory_listings.packages_of(CVE, EVERY) == [("conda", "pyyaml", 2)]
    assert advisory_listings.count_files(CVE, EVERY) == 2
    both = advisory_listings.files_of(CVE, EVERY)
    assert [file.version for file in both] == ["5.1", "5.3.1"]
    assert advisory_listings.files_of(CVE, EVERY, offset=1, limit=1) == both[1:]
    assert advisory_listings.files_of(CVE, Channel.objects.none()) == []


def test_downloads_are_found_after_the_file_is_gone(channel: Channel) -> None:
    day = dt.date(2026, 1, 2)
    for filename in ("pyyaml-5.1-0.conda", "pyyaml-6.0-0.conda"):
        Download.objects.create(
            day=day, channel=channel, section="noarch", filename=filename, name="pyyaml",
            user="ann", count=3,
        )  # fmt: skip
    channel_services.edit(channel, {"filters": {"cve_score_threshold": 5}}, actor="admin")
    scene.publish(channel)
    index()
    assert advisory_listings.channels_of(CVE, EVERY) == []
    [found] = advisory_listings.downloads_of(CVE, EVERY)
    assert (found.filename, found.user, found.day, found.count) == (
        "pyyaml-5.1-0.conda", "ann", day, 3,
    )  # fmt: skip
    assert not list(advisory_listings.downloads_of(CVE, EVERY, since=dt.date(2026, 1, 3)))


def test_the_index_follows_advisories_and_listings(channel: Channel, tmp_path: Path) -> None:
    assert advisory_index.outdated() == []
    import_file(files.written(tmp_path, {"pyyaml": None}))
    assert advisory_index.outdated() == [channel]
    index()
    assert not ListedAdvisory.objects.filter(package="pyyaml").exists()
