"""N16: new bytes upstream under a listed file name, in mirrors of each type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels.models import Channel
from history.models import Event
from mirrors import replaced_files, services, warnings
from mirrors.models import Mirror, ReplacedFile, Run
from publishing import explain
from runs import execute
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.runs import test_cran, test_python
from tests.simpletree import FakeSimple
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

FILE = "a-1.0-0.conda"
HELD = {"replaced_files": "hold"}


@pytest.fixture
def conda(settings: Any) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("noarch", "a", "1.0")
        server.add("noarch", "b", "1.0")
        server.publish()
        yield server


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add_sdist("six", "1.0")
        server.publish()
        yield server


@pytest.fixture
def cran(settings: Any) -> Iterator[FakeCran]:
    with FakeCran() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("aa", "1.0")
        server.add("aa", "1.0", section="bin/windows/contrib/4.4")
        server.publish()
        yield server


def replace(conda: FakeConda, payload: int = 5000) -> str:
    conda.add("noarch", "a", "1.0", payload=payload)
    conda.publish()
    return str(conda.record("noarch", FILE)["sha256"])


def pending_runs() -> None:
    for run in Run.objects.filter(state="pending"):
        execute.execute(run.pk, interrupted=lambda: False)


def served(path: str) -> bytes:
    answer = Client(application).ask("GET", f"/api/repo/main{path}", {})
    assert answer.status == 200, answer.body
    return answer.body


def listed_hash(channel: Channel) -> str:
    return str(scene.listed(channel)[FILE]["sha256"])


def events(kind: str) -> list[Event]:
    return list(Event.objects.filter(type=kind).order_by("pk"))


def test_N16_conda_follows_once_the_new_bytes_are_here_and_tells_both_hashes(
    conda: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    assert mirror.replaced_files == "follow"
    scene.run_now(mirror)
    old = listed_hash(channel)
    new = replace(conda)
    scene.run_now(mirror)
    assert listed_hash(channel) == new
    event = events("artifact_metadata_updated")[-1]
    assert event.meta["hashes"] == {FILE: {"old": old, "new": new}}
    assert not ReplacedFile.objects.exists()


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_N16_conda_holds_where_it_is_told_to_until_it_is_released(
    conda: FakeConda, mode: str
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode=mode, **HELD)
    scene.run_now(mirror)
    old, body = listed_hash(channel), served(f"/noarch/{FILE}")
    new = replace(conda)
    scene.run_now(mirror)
    assert listed_hash(channel) == old
    assert served(f"/noarch/{FILE}") == body
    mirror = Mirror.objects.get(pk=mirror.pk)
    assert mirror.counts["mirror_filtered"] == {"replaced": 1}
    assert warnings.of(mirror) == [
        "noarch: 1 file has new bytes upstream under the same name, which are held until they are"
        f" released: {FILE}."
    ]
    (event,) = events("artifact_held")
    assert (event.family, event.data["name"], event.meta["held"]) == ("conda", "a", 1)
    assert event.meta["hashes"] == {FILE: {"old": old, "new": new}}
    (answer,) = explain.why(channel, FILE).items
    assert (answer["kept"], answer["rule"]) == (True, "replaced")
    # Nothing new: it is told once.
    scene.run_now(mirror)
    assert len(events("artifact_held")) == 1
    assert replaced_files.release(mirror, actor="admin") == [f"noarch/{FILE}"]
    scene.publish(channel)
    pending_runs()
    scene.publish(channel)
    assert listed_hash(channel) == new
    assert hashlib.sha256(served(f"/noarch/{FILE}")).hexdigest() == new
    assert Mirror.objects.get(pk=mirror.pk).counts["mirror_filtered"] == {}
    # The same bytes are not held again by whatever else changes in the package.
    conda.add("noarch", "a", "2.0")
    conda.publish()
    scene.run_now(mirror)
    assert listed_hash(channel) == new
    assert not ReplacedFile.objects.exists()


def test_N16_what_is_replaced_again_or_put_back_is_held_anew_or_no_more(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active", **HELD)
    scene.run_now(mirror)
    old = listed_hash(channel)
    replace(conda)
    scene.run_now(mirror)
    newest = replace(conda, 9000)
    scene.run_now(mirror)
    assert [row.new_digest for row in ReplacedFile.objects.all()] == [newest]
    assert len(events("artifact_held")) == 2
    assert replace(conda, 0) == old
    scene.run_now(mirror)
    assert listed_hash(channel) == old
    assert not ReplacedFile.objects.exists()


def test_N16_files_of_python_are_always_held(simple: FakeSimple) -> None:
    channel = scene.channel()
    body = {"filters": {"projects": ["six"]}, "mirror_mode": "active"}
    mirror = test_python.mirror(channel, simple, **body)
    assert mirror.replaced_files == "hold"
    scene.run_now(mirror)
    old = test_python.page(channel, "six")["files"][0]["hashes"]
    simple.add_sdist("six", "1.0", payload="other")
    simple.publish()
    scene.run_now(mirror)
    assert test_python.page(channel, "six")["files"][0]["hashes"] == old
    (event,) = events("artifact_held")
    assert event.meta["files"] == ["six-1.0.tar.gz"]
    replaced_files.release(mirror, actor="admin", files=["simple/six-1.0.tar.gz"])
    scene.publish(channel)
    pending_runs()
    assert test_python.page(channel, "six")["files"][0]["hashes"] != old


def test_N16_sources_of_r_are_held_and_rebuilt_binaries_follow(cran: FakeCran) -> None:
    channel = scene.channel()
    mirror = test_cran.mirror(channel, cran, mirror_mode="active")
    assert mirror.replaced_files == "hold"
    scene.run_now(mirror)
    windows = "bin/windows/contrib/4.4"
    old = {section: test_cran.listed(channel, section) for section in ("src/contrib", windows)}
    for section in old:
        cran.add("aa", "1.0", payload=700, section=section)
    cran.publish()
    scene.run_now(mirror)
    assert test_cran.listed(channel, "src/contrib") == old["src/contrib"]
    assert test_cran.listed(channel, windows) != old[windows]
    (row,) = ReplacedFile.objects.all()
    assert row.section == "src/contrib"
    replaced_files.release(mirror, actor="admin")
    scene.publish(channel)
    pending_runs()
    assert test_cran.listed(channel, "src/contrib") != old["src/contrib"]


def test_N16_to_follow_from_now_on_releases_what_is_held(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active", **HELD)
    scene.run_now(mirror)
    new = replace(conda)
    scene.run_now(mirror)
    services.edit(mirror, {"replaced_files": "follow"}, actor="admin")
    scene.publish(channel)
    pending_runs()
    assert listed_hash(channel) == new


def test_N16_the_api_lists_what_is_held_and_releases_it(
    conda: FakeConda, client: Any, settings: Any
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active", **HELD)
    scene.run_now(mirror)
    old, new = listed_hash(channel), replace(conda)
    scene.run_now(mirror)
    client.force_login(scene.admin())
    base = f"/api/channels/main/mirrors/{mirror.pk}"
    listed = client.get(f"{base}/held_files").json()
    assert listed["total_count"] == 1
    (item,) = listed["items"]
    assert (item["file"], item["old_hash"], item["new_hash"]) == (f"noarch/{FILE}", old, new)

    def post(body: dict[str, Any]) -> Any:
        text = json.dumps(body)
        return client.post(f"{base}/release_files", text, content_type="application/json")

    assert post({"files": ["noarch/other.conda"]}).status_code == 409
    assert post({}).json()["released"] == [f"noarch/{FILE}"]
    # Without a body all are meant.
    assert client.generic("POST", f"{base}/release_files").status_code == 409
