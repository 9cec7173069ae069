"""Family M: what an index can say to lead files astray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from channels.models import Blob, Package
from mirrors.models import Mirror
from publishing.file_lists import files
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.upstream import FakeUpstream
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = (
    "../../../etc/x-1-0.conda",
    "/abs-1-0.conda",
    "..\\x-1-0.conda",
    "C:x-1-0.conda",
    "CON",
    "nul\x00-1-0.conda",
    "line\nbreak-1-0.conda",
    "right\u202eleft-1-0.conda",
    "%2e%2e%2fx-1-0.conda",
    f"{'a' * 300}-1-0.conda",
    ".hidden-1-0.conda",
    "six-1/../../x-0.conda",
    "six-1-..%2f0.conda",
    "SIX-1-0.conda",
    "six-1-0.exe",
    "",
)
"""File names that no conda package has."""


@pytest.fixture
def mirror(conda: FakeConda) -> Mirror:
    return scene.mirror(scene.channel(), conda.channel, mirror_mode="active")


def hostile(conda: FakeConda, changes: dict[str, Any]) -> None:
    """Serve the index of noarch with `changes` to its `packages.conda`."""
    index = json.loads(conda.index("noarch"))
    index["packages.conda"].update(changes)
    conda.set(conda.path("noarch", "repodata.json"), json.dumps(index).encode())
    for form in (".zst", ".bz2"):
        conda.remove(conda.path("noarch", f"repodata.json{form}"))


@pytest.mark.parametrize("name", HOSTILE)
def test_M01_a_file_name_that_leads_elsewhere_is_refused_and_counted(
    conda: FakeConda, mirror: Mirror, data: Path, name: str
) -> None:
    record = conda.record("noarch", "six-1.16.0-0.conda")
    hostile(conda, {name: record})
    done = scene.run_now(mirror)
    assert (done.state, done.counts["active"], done.counts["listed"]) == ("completed", 4, 5)
    assert done.counts["mirror_filtered"] == {"invalid": 1}
    shown = name.replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert [line.filename for line in files(done, "mirror.invalid")] == [shown]
    assert len(scene.listed(mirror.channel)) == 2
    outside = {path for path in data.parent.rglob("*") if not path.is_relative_to(data)}
    assert not [path for path in outside if path.is_file()]
    stored = {path.name for path in (data / "blobs").rglob("*") if path.is_file()}
    assert stored == set(Blob.objects.values_list("pk", flat=True))
    invariants.check(mirror.channel)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "seven"},
        {"version": "9"},
        {"build": "9"},
        {"sha256": "x" * 64, "md5": None},
        {"sha256": None, "md5": None},
        {"size": -1},
        {"size": "939"},
        {"size": True},
        {"build_number": None},
    ],
)
def test_M02_a_record_at_odds_with_its_file_name_or_without_a_hash_is_refused(
    conda: FakeConda, mirror: Mirror, change: dict[str, Any]
) -> None:
    record = {**conda.record("noarch", "six-1.16.0-0.conda"), **change}
    hostile(conda, {"six-1.16.0-0.conda": record})
    done = scene.run_now(mirror)
    assert (done.state, done.counts["active"]) == ("completed", 3)
    assert done.counts["mirror_filtered"] == {"invalid": 1}
    assert set(scene.listed(mirror.channel)) == {"six-1.15.0-0.tar.bz2"}
    invariants.check(mirror.channel)


def test_M02_a_name_that_differs_in_case_only_is_no_second_package(
    conda: FakeConda, mirror: Mirror
) -> None:
    record = conda.record("noarch", "six-1.16.0-0.conda")
    hostile(conda, {"Six-1.16.0-0.conda": {**record, "name": "Six"}})
    assert scene.run_now(mirror).counts["mirror_filtered"] == {"invalid": 1}
    names = Package.objects.filter(section="noarch", shard__isnull=False)
    assert list(names.values_list("name", flat=True)) == ["six"]
    invariants.check(mirror.channel)


def test_M03_base_url_says_where_files_are_and_is_never_published(
    conda: FakeConda, settings: LazySettings
) -> None:
    paths = {path: conda._files[path][0] for path in conda.paths() if path.endswith(".conda")}
    with FakeUpstream(dict(paths)) as elsewhere:
        settings.UPSTREAM_ALLOW = (conda.url, elsewhere.url)
        conda.publish(base_url=f"{elsewhere.url}{conda.root}/noarch/")
        conda.remove(conda.path("noarch", "six-1.16.0-0.conda"))
        channel = scene.channel()
        mirror = scene.mirror(channel, conda.channel, filters={"subdirs": ["noarch"]})
        assert scene.run_now(mirror).counts["passive"] == 2
        answer = Client(application).get(f"/api/repo/{channel.path}/noarch/six-1.16.0-0.conda")
        assert answer.status == 200
        assert elsewhere.count() == 1
        for body in invariants.served(channel).values():
            assert elsewhere.url.encode() not in body
        invariants.check(channel)


def test_M03_base_url_outside_the_policy_is_not_fetched_from(
    conda: FakeConda, settings: LazySettings
) -> None:
    with FakeUpstream({"/noarch/six-1.16.0-0.conda": b"inner"}) as inner:
        conda.publish(base_url=f"{inner.url}/noarch/")
        channel = scene.channel()
        body = {"filters": {"subdirs": ["noarch"]}}
        active = scene.mirror(channel, conda.channel, mirror_mode="active", **body)
        done = scene.run_now(active)
        assert (done.state, done.counts["failed"], done.counts["active"]) == ("completed", 2, 0)
        assert all("UPSTREAM_ALLOW" in failure.message for failure in done.failures.all())
        passive = scene.channel("passive")
        scene.run_now(scene.mirror(passive, conda.channel, **body))
        answer = Client(application).get("/api/repo/passive/noarch/six-1.16.0-0.conda")
        assert (answer.status, inner.count()) == (502, 0)
        assert not Blob.objects.filter(file=True).exists()
        invariants.check()


@pytest.mark.parametrize("key", ["url", "channel", "fn"])
def test_M03_a_record_that_points_elsewhere_is_published_without_the_pointer(
    conda: FakeConda, mirror: Mirror, key: str
) -> None:
    pointer = "http://elsewhere.invalid/six-1.16.0-0.conda"
    conda.change("noarch", "six-1.16.0-0.conda", **{key: pointer})
    conda.publish(
        extra={
            "channel_relations": {"base": "http://elsewhere.invalid"},
            "signatures": {"six-1.16.0-0.conda": {}},
        }
    )
    done = scene.run_now(mirror)
    assert (done.state, done.counts["active"]) == ("completed", 4)
    for path, body in invariants.served(mirror.channel).items():
        assert b"elsewhere.invalid" not in body, path
    invariants.check(mirror.channel)
