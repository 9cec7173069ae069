"""A channel's curations as OpenVEX, which this server reads back as the same statuses."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from advisories import curation
from advisories.curation import Decision
from advisories.formats import openvex
from advisories.importing import import_file
from channels.models import Channel
from publishing import advisory_index, vex
from tests import scene
from tests.advisories import files, records
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def channel(small: FakeConda, tmp_path: Path) -> Channel:
    small.add("noarch", "pyyaml", "5.3.1")
    small.publish()
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, small.channel))
    import_file(files.written(tmp_path, {"pyyaml": ["pyyaml"]}))
    import_file(files.written(tmp_path, files.archive(records.PYYAML, records.TORCH)))
    advisory_index.update(channel)
    return channel


def decide(status: str, package: str = "pyyaml", **scope: str) -> None:
    decision = Decision("GHSA-8q59-q68h-6hv4", "conda", package, status, **scope)
    curation.curate(decision, author="ann")


def test_what_is_exported_is_read_back(channel: Channel) -> None:
    decide("cleared", reason="not built with it")
    decide("active", spec="==5.3.1")
    decide("mitigated", spec=">=5.3")
    decide("disputed", filename="pyyaml-5.3.1-0.conda")
    decide("cleared", package="unlisted")
    decide("cleared", spec="<5")
    document = vex.document(channel)
    assert document["@context"] == "https://openvex.dev/ns/v0.2.0"
    first = document["statements"][0]
    assert first["vulnerability"]["aliases"] == ["CVE-2020-14343", "PYSEC-2021-142"]
    assert first["impact_statement"] == "not built with it"
    read = openvex.parse(msgspec.json.encode(document))
    assert not read.broken
    assert [(row.status, row.spec, row.filename) for row in read.statements] == [
        ("cleared", "", ""),
        ("active", "==5.3.1", ""),
        ("mitigated", "==5.3.1", ""),
        ("reported", "", "pyyaml-5.3.1-0.conda"),
    ]
    assert vex.document(channel)["@id"] == document["@id"]


def test_a_channel_without_curations_says_nothing(channel: Channel) -> None:
    assert vex.document(channel)["statements"] == []
