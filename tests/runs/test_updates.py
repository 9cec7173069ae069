"""An update never takes away what works: active mirrors while, and after, they download."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from channels.models import Channel, Revision
from mirrors import run_control, warnings
from mirrors.models import Mirror, Run
from publishing import explain, file_lists
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.faults.test_concurrency import beside, ended
from tests.rogue import Behaviour, failing
from tests.runs import test_cran
from tests.simpletree import FakeSimple
from web.api import mirror_schemas
from workers import retention

pytestmark = pytest.mark.django_db(transaction=True)

OLD = {"a-1.0-0.conda", "b-1.0-0.conda", "c-1.0-0.conda"}
NEW = {"a-2.0-0.conda", "b-1.0-0.conda", "d-1.0-0.conda"}


@pytest.fixture
def conda(settings: Any) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        for name in "abc":
            server.add("noarch", name, "1.0")
        server.publish()
        yield server


def updated(conda: FakeConda) -> None:
    """One new version, one replaced file, one new package; two files are dropped."""
    conda.add("noarch", "a", "2.0")
    conda.add("noarch", "b", "1.0", payload=5000)
    conda.add("noarch", "d", "1.0")
    conda.drop("noarch", "a-1.0-0.conda")
    conda.drop("noarch", "c-1.0-0.conda")
    conda.publish()


def publish_now(channel: Channel) -> None:
    """As a filter edit of the channel would ask for."""
    with transaction.atomic():
        channel.request_publication()
    channel.refresh_from_db()
    scene.publish(channel)


def assert_replaced(listed: dict[str, Any], record: dict[str, Any]) -> None:
    """The upstream's record is listed, with the time at which we first saw its bytes."""
    assert isinstance(listed.pop("indexed_timestamp"), int)
    assert listed == record


def held_at(conda: FakeConda, mirror: Mirror, filename: str) -> tuple[Run, Behaviour, Any]:
    """A run that waits in the middle of this file."""
    slow = Behaviour(hold_at=10, times=1)
    conda.behave(conda.path("noarch", filename), slow)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    from runs import execute

    thread = beside(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert slow.held.wait(60)
    return row, slow, thread


def said(mirror: Mirror) -> list[str]:
    return warnings.of(Mirror.objects.get(pk=mirror.pk))


def test_publications_during_a_run_only_add_and_its_end_removes(
    conda: FakeConda, settings: Any
) -> None:
    settings.DOWNLOAD_THREADS = 1
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    old = scene.listed(channel)
    assert set(old) == OLD
    updated(conda)
    row, slow, thread = held_at(conda, mirror, "d-1.0-0.conda")
    publish_now(channel)
    during = scene.listed(channel)
    assert set(during) >= OLD
    assert during["b-1.0-0.conda"]["sha256"] in (
        old["b-1.0-0.conda"]["sha256"],
        conda.record("noarch", "b-1.0-0.conda")["sha256"],
    )
    assert "2 files that the upstream dropped stay until a complete run." in said(mirror)
    (answer,) = explain.why(channel, "c").items
    assert (answer["kept"], answer["state"], answer["detail"]) == (True, "stays", explain.DROPPED)
    slow.release()
    run = ended(row, thread)
    assert (run.state, run.outcome) == ("completed", "ok")
    after = scene.listed(channel)
    assert set(after) == NEW
    assert_replaced(after["b-1.0-0.conda"], conda.record("noarch", "b-1.0-0.conda"))
    assert [run.counts[key] for key in ("added", "replaced", "removed")] == [2, 1, 2]
    assert said(mirror) == []
    revisions = Revision.objects.filter(channel=channel, number__lt=channel.current)
    assert not any(revisions.values_list("removed", flat=True))


def test_a_stopped_run_removes_nothing_and_a_resumed_one_ends_the_update(
    conda: FakeConda, settings: Any
) -> None:
    settings.DOWNLOAD_THREADS = 1
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    old = scene.listed(channel)
    updated(conda)
    row, slow, thread = held_at(conda, mirror, "b-1.0-0.conda")
    run_control.stop(mirror, actor="admin")
    slow.release()
    assert ended(row, thread).state == "stopped"
    publish_now(channel)
    stopped = scene.listed(channel)
    assert set(stopped) >= OLD
    # The file that was under way: as it was, or whole and new.
    assert stopped["b-1.0-0.conda"]["sha256"] in (
        old["b-1.0-0.conda"]["sha256"],
        conda.record("noarch", "b-1.0-0.conda")["sha256"],
    )
    # Nor does clean-up take what is kept.
    settings.BLOB_GRACE_HOURS = 0
    retention.clean_up()
    retention.clean_up()
    publish_now(channel)
    assert scene.listed(channel) == stopped
    scene.run_now(mirror, cause="restart")
    assert set(scene.listed(channel)) == NEW


def test_when_all_new_files_fail_nothing_goes_until_it_is_released(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    before = scene.listed(channel)
    updated(conda)
    for name in NEW:
        conda.behave(conda.path("noarch", name), failing(404))
    run = scene.run_now(mirror)
    assert (run.state, run.outcome, run.counts["failed"]) == ("completed", "errors", 3)
    assert scene.listed(channel) == before
    text = (
        "3 of 3 new files could not be downloaded; 2 files that the upstream dropped stay until a "
        "complete run."
    )
    shape = mirror_schemas.mirror_item(Mirror.objects.get(pk=mirror.pk))
    assert any(one.startswith(text) for one in shape["warnings"])
    assert [line.filename for line in file_lists.files(run, "stays")] == [
        "a-1.0-0.conda",
        "c-1.0-0.conda",
    ]
    # The same again, and a filter edit, change nothing about it.
    scene.run_now(mirror)
    publish_now(channel)
    assert scene.listed(channel) == before
    assert run_control.release(mirror, actor="admin") == [run_control.REMOVALS]
    scene.publish(channel)
    # What works stays: the package whose only new version failed, the file with its old bytes.
    assert set(scene.listed(channel)) == {"a-1.0-0.conda", "b-1.0-0.conda"}
    assert scene.listed(channel)["b-1.0-0.conda"] == before["b-1.0-0.conda"]


def test_a_few_failures_do_not_keep_what_was_dropped(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    updated(conda)
    conda.behave(conda.path("noarch", "d-1.0-0.conda"), failing(404))
    run = scene.run_now(mirror)
    assert run.outcome == "errors"
    assert set(scene.listed(channel)) == NEW - {"d-1.0-0.conda"}
    assert not Mirror.objects.get(pk=mirror.pk).withheld_removals


def test_a_rules_exclusion_acts_at_once_also_on_what_stays(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    updated(conda)
    for name in NEW:
        conda.behave(conda.path("noarch", name), failing(404))
    scene.run_now(mirror)
    mirror = scene.services.edit(mirror, {"filters": {"exclude_specs": ["c"]}}, actor="admin")
    scene.publish(channel)
    assert set(scene.listed(channel)) == OLD - {"c-1.0-0.conda"}
    counts = mirror_schemas.mirror_item(Mirror.objects.get(pk=mirror.pk))["sync_state"]["count"]
    assert counts["failed"] == 3


def test_what_the_upstream_says_it_removed_goes_at_once(conda: FakeConda) -> None:
    channel = scene.channel()
    conda.add("noarch", "c", "2.0")
    conda.publish()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    conda.drop("noarch", "c-2.0-0.conda")
    conda.add("noarch", "x", "1.0")
    conda.add("noarch", "y", "1.0")
    conda.publish(removed=["c-2.0-0.conda"])
    for name in ("x", "y"):
        conda.behave(conda.path("noarch", f"{name}-1.0-0.conda"), failing(404))
    scene.run_now(mirror)
    assert set(scene.listed(channel)) == OLD


def test_a_conda_file_that_fails_leaves_its_older_form(conda: FakeConda) -> None:
    conda.add("noarch", "t", "1.0")
    conda.add("noarch", "t", "1.0", ext=".tar.bz2")
    conda.publish()
    conda.behave(conda.path("noarch", "t-1.0-0.conda"), failing(404))
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    run = scene.run_now(mirror)
    assert "t-1.0-0.tar.bz2" in scene.listed(channel)
    counts = run.counts
    assert (counts["active"], counts["failed"], scene.filtered(counts)) == (4, 1, 0)
    assert counts["listed"] == 5
    conda.behave(conda.path("noarch", "t-1.0-0.conda"))
    counts = scene.run_now(mirror).counts
    assert set(scene.listed(channel)) == OLD | {"t-1.0-0.conda"}
    assert (counts["active"], counts["failed"], scene.filtered(counts)) == (4, 0, 1)


def test_both_forms_that_fail_are_both_counted(conda: FakeConda) -> None:
    for ext in (".conda", ".tar.bz2"):
        conda.add("noarch", "t", "1.0", ext=ext)
        conda.behave(conda.path("noarch", f"t-1.0-0{ext}"), failing(404))
    conda.publish()
    channel = scene.channel()
    counts = scene.run_now(scene.mirror(channel, conda.channel, mirror_mode="active")).counts
    assert (counts["active"], counts["failed"], scene.filtered(counts)) == (3, 2, 0)


def test_an_older_mirror_without_the_bytes_takes_no_file_from_a_younger(
    conda: FakeConda, settings: Any
) -> None:
    channel = scene.channel()
    with FakeConda() as empty:
        settings.UPSTREAM_ALLOW = (conda.url, empty.url)
        empty.add("noarch", "z", "1.0")
        empty.publish()
        older = scene.mirror(channel, empty.channel, mirror_mode="active")
        scene.run_now(older)
        scene.run_now(scene.mirror(channel, conda.channel, mirror_mode="active"))
        before = scene.listed(channel)
        empty.add("noarch", "b", "1.0", payload=5000)
        empty.publish()
        empty.behave(empty.path("noarch", "b-1.0-0.conda"), failing(404))
        scene.run_now(older)
        assert scene.listed(channel) == before
        empty.behave(empty.path("noarch", "b-1.0-0.conda"))
        scene.run_now(older)
        assert_replaced(
            scene.listed(channel)["b-1.0-0.conda"], empty.record("noarch", "b-1.0-0.conda")
        )


def test_another_source_replaces_the_first_only_when_it_is_here(
    conda: FakeConda, settings: Any
) -> None:
    channel = scene.channel()
    conda.add("linux-64", "q", "1.0")
    conda.publish()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    with FakeConda() as other:
        settings.UPSTREAM_ALLOW = (conda.url, other.url)
        for name in ("x", "y", "z"):
            other.add("noarch", name, "1.0")
            other.behave(other.path("noarch", f"{name}-1.0-0.conda"), failing(404, times=1))
        other.publish()
        mirror = scene.services.edit(mirror, {"source_root": other.channel}, actor="admin")
        scene.run_now(mirror)
        assert set(scene.listed(channel)) == OLD
        assert set(scene.listed(channel, "linux-64")) == {"q-1.0-0.conda"}
        scene.run_now(mirror)
        assert set(scene.listed(channel)) == {f"{name}-1.0-0.conda" for name in "xyz"}
        assert not scene.Document.objects.at(channel.current).filter(section="linux-64").exists()


def test_a_current_version_of_r_stays_current_until_the_next_is_here(settings: Any) -> None:
    with FakeCran() as cran:
        settings.UPSTREAM_ALLOW = (cran.url,)
        cran.add("aa", "1.0")
        cran.add("bb", "1.0")
        cran.publish()
        channel = scene.channel("main")
        mirror = test_cran.mirror(channel, cran, mirror_mode="active")
        scene.run_now(mirror)
        cran.add("aa", "2.0")
        cran.publish()
        cran.behave("/cran/src/contrib/aa_2.0.tar.gz", failing(404))
        scene.run_now(mirror)
        assert set(test_cran.listed(channel)) == {"aa_1.0", "bb_1.0"}
        cran.behave("/cran/src/contrib/aa_2.0.tar.gz")
        scene.run_now(mirror)
        assert set(test_cran.listed(channel)) == {"aa_2.0", "bb_1.0"}


def test_files_of_python_stay_until_the_new_ones_are_here(settings: Any) -> None:
    with FakeSimple() as simple:
        settings.UPSTREAM_ALLOW = (simple.url,)
        old = simple.add_wheel("six", "1.0")
        simple.publish()
        channel = scene.channel("main")
        mirror = scene.mirror(
            channel,
            simple.index,
            mirror_type="python_simple",
            mirror_mode="active",
            filters={"only_specs": ["six"]},
        )
        assert scene.run_now(mirror).state == "completed"
        new = [simple.add_wheel("six", version) for version in ("2.0", "2.1")]
        simple.drop("six", old)
        simple.publish()
        for name in new:
            simple.behave(simple.path(name), failing(404))
        scene.run_now(mirror)
        assert files(channel) == {old}
        for name in new:
            simple.behave(simple.path(name))
        scene.run_now(mirror)
        assert files(channel) == set(new)


def files(channel: Channel) -> set[str]:
    """All files that a channel lists, by the rows of its packages."""
    from channels.models import Package
    from channels.package_rows import bodies_of
    from ecosystems import registry

    channel.refresh_from_db()
    rows = list(Package.objects.at(channel.current).filter(channel=channel, shard__isnull=False))
    bodies = bodies_of(rows)
    return {
        name
        for row in rows
        for name in registry.of_family(row.family).entries(bodies[row.shard_id or ""])
    }
