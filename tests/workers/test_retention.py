"""What clean-up removes, and what it must never touch."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from channels import blobs, rollback
from channels import services as channel_manage
from channels.lease import Heartbeat
from channels.models import (
    Blob,
    Channel,
    Document,
    FileSource,
    Package,
    Provenance,
    Publication,
    Revision,
    Shard,
)
from channels.revision_changes import Changes
from delivery import revisions
from mirrors import run_control, services
from mirrors.models import AcceptedSnapshot, Failure, Mirror, Run, Snapshot, Upstream
from tests import invariants, machine, scene
from tests.condatree import FakeConda
from tests.processes import Worker
from tests.rogue import failing
from workers import collect_blobs, collect_files, retention

pytestmark = pytest.mark.django_db(transaction=True)

OLD = timedelta(days=100)


@pytest.fixture(autouse=True)
def hurried(settings: LazySettings) -> None:
    """Grace times are over at once."""
    settings.KEEP_HOURS = settings.KEEP_DAYS = settings.BLOB_GRACE_HOURS = 0


def age() -> None:
    """Let a hundred days pass."""
    Snapshot.objects.update(created_at=timezone.now() - OLD)
    Revision.objects.exclude(retired_at=None).update(
        created_at=timezone.now() - OLD, retired_at=timezone.now() - OLD
    )


def rounds() -> None:
    """Everything that waits for an earlier round is done by the third."""
    for _ in range(3):
        age()
        retention.clean_up()
        for part in range(collect_files.PARTS):
            collect_files.sweep_blobs(part)


def files(data: Path) -> set[str]:
    return {path.name for path in (data / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_what_is_listed_stays(small: FakeConda, mode: str) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode=mode)
    scene.run_now(mirror)
    before = invariants.served(channel)
    rounds()
    assert invariants.served(channel) == before
    invariants.check(channel, fetch=True)
    again = scene.run_now(mirror)
    assert again.state == "completed"
    assert small.count(small.path("noarch", "six-1.16.0-0.conda")) == 1


def test_old_revisions_go_with_what_only_they_showed(small: FakeConda, data: Path) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    gone = small.record("linux-64", "zlib-1.3-0.conda")["sha256"]
    small.drop("linux-64", "zlib-1.3-0.conda")
    small.publish()
    scene.run_now(mirror)
    assert gone in files(data)
    rounds()
    channel.refresh_from_db()
    assert list(channel.revisions.values_list("number", flat=True)) == [channel.current]
    assert not Package.objects.filter(removed_in__lte=channel.current).exists()
    assert not Document.objects.filter(removed_in__lte=channel.current).exists()
    assert Shard.objects.count() == Package.objects.filter(shard__isnull=False).count()
    assert gone not in files(data)
    assert files(data) == set(Blob.objects.values_list("pk", flat=True))
    invariants.check(channel)


def test_pinned_revisions_stay_whole(small: FakeConda, data: Path) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    channel_manage.pin(channel, 2, pinned=True, actor="admin")
    gone = small.record("linux-64", "zlib-1.3-0.conda")["sha256"]
    small.drop("linux-64", "zlib-1.3-0.conda")
    small.publish()
    scene.run_now(mirror)
    rounds()
    assert gone in files(data)
    rollback.roll_back(Channel.objects.get(pk=channel.pk), 2, actor="admin")
    assert set(scene.listed(channel, "linux-64")) == {"zlib-1.3-0.conda", "numpy-2.0-0.conda"}
    invariants.check(channel)


def test_one_revision_a_day_stays_for_a_month(small: FakeConda, settings: LazySettings) -> None:
    settings.KEEP_HOURS, settings.KEEP_DAYS = 72, 30
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    for exclude in ([], ["six"], [], ["zlib"], []):
        services.edit(mirror, {"filters": {"exclude_specs": exclude}}, actor="admin")
        if exclude == [] and not mirror.runs.exists():
            scene.run_now(mirror)
        scene.publish(channel)
    assert channel.current == 6
    noon = timezone.now().replace(hour=12, minute=0)
    ages = {1: 50, 2: 40, 3: 10, 4: 10, 5: 4, 6: 2}
    begun = {
        number: noon - timedelta(days=days) + timedelta(minutes=number)
        for number, days in ages.items()
    }
    for number, moment in begun.items():
        fields = {"created_at": moment, "retired_at": begun.get(number + 1)}
        channel.revisions.filter(number=number).update(**fields)
    retention.clean_up()
    numbers = list(channel.revisions.order_by("number").values_list("number", flat=True))
    assert numbers == [2, 4, 5, 6], "2 was current until ten days ago, 3 for a minute"
    days = [str((noon - timedelta(days=age)).date()) for age in (20, 10, 5, 3, 1)]
    assert [revisions.number_of(channel, day) for day in days] == [2, 4, 4, 5, 6]
    invariants.check(channel)


def test_a_source_that_was_changed_does_not_stop_clean_up(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    services.edit(mirror, {"source_root": f"{small.url}/elsewhere"}, actor="admin")
    scene.publish(channel)
    rounds()
    assert invariants.served(channel) == before
    assert AcceptedSnapshot.objects.count() == 2
    invariants.check(channel, fetch=True)


def test_a_source_nobody_reads_any_more_is_forgotten(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    services.edit(mirror, {"source_root": f"{small.url}/other"}, actor="admin")
    for path in small.paths():
        small.set(path.replace(small.root, "/other"), small._files[path][0])
    scene.run_now(mirror)
    Run.objects.filter(number=1).update(snapshots={})
    rounds()
    assert [row.url for row in Upstream.objects.all()] == [f"{small.url}/other"]
    assert Snapshot.objects.count() == 2
    invariants.check(channel, fetch=True)


def test_a_held_snapshot_stays_until_it_is_released(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    for name in small.records("noarch"):
        small.unlist("noarch", name)
    small.publish()
    assert scene.run_now(mirror).held
    rounds()
    mirror.refresh_from_db()
    assert len(scene.listed(channel)) == 2
    run_control.release(mirror, actor="admin")
    scene.publish(channel)
    assert scene.listed(channel) == {}
    invariants.check(channel)


def test_a_deleted_mirror_and_channel_leave_nothing(small: FakeConda, data: Path) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    services.delete(mirror, actor="admin")
    retention.clean_up()
    assert Mirror.objects.exists(), "the channel still shows it"
    scene.publish(channel)
    assert scene.listed(channel) == {}
    rounds()
    assert not Mirror.objects.exists()
    assert not Blob.objects.filter(file=True).exists()
    invariants.check(channel)
    services.delete_channel(channel, actor="admin")
    rounds()
    for model in (Channel, Package, Document, Revision, Publication, Shard, Blob, Snapshot):
        assert not model.objects.exists(), model
    assert not FileSource.objects.exists()
    assert not Upstream.objects.exists()
    assert files(data) == set()


def test_a_mirror_deleted_in_a_frozen_channel_stays_as_long_as_it_is_shown(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    channel_manage.freeze(channel, actor="admin")
    services.delete(mirror, actor="admin")
    rounds()
    assert len(scene.listed(channel)) == 2
    invariants.check(channel)
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert scene.listed(channel) == {}
    invariants.check(channel)


def test_who_may_have_bytes_is_forgotten_with_them_and_not_before(small: FakeConda) -> None:
    """A row of `Provenance` keeps no bytes, and none is left to open bytes that come later."""
    channels = [
        channel_manage.create(name, scene.admin(), privacy="private") for name in ("one", "two")
    ]
    mirrors = [scene.mirror(one, small.channel, mirror_mode="active") for one in channels]
    for mirror in mirrors:
        scene.run_now(mirror)
    held = Blob.objects.filter(file=True).count()
    assert held
    before = Provenance.objects.count()
    assert before >= 2 * held
    rounds()
    assert Provenance.objects.count() == before
    services.delete(mirrors[0], actor="admin")
    scene.publish(channels[0])
    rounds()
    assert Blob.objects.filter(file=True).count() == held, "the other channel lists them"
    services.delete_channel(channels[0], actor="admin")
    rounds()
    assert set(Provenance.objects.values_list("channel__name", flat=True)) == {"two"}
    services.delete(mirrors[1], actor="admin")
    scene.publish(channels[1])
    rounds()
    assert not Provenance.objects.exists()
    assert not Blob.objects.filter(file=True).exists()


def test_bytes_somebody_has_just_found_are_not_taken(data: Path) -> None:
    blob = scene.stored(b"found again")
    since = timezone.now() - OLD
    Blob.objects.filter(pk=blob.pk).update(unreferenced_at=since, deleting=True)
    os.utime(blobs.path(blob.sha256), (since.timestamp() - 10,) * 2)
    blob.refresh_from_db()
    assert blobs.touch(blob.sha256, blob.size)
    collect_blobs.sweep_blobs()
    assert blobs.path(blob.sha256).read_bytes() == b"found again"
    assert Blob.objects.filter(pk=blob.pk, deleting=False).exists()


def test_bytes_without_a_row_go_after_the_grace_time(settings: LazySettings, data: Path) -> None:
    settings.BLOB_GRACE_HOURS = 24
    for body, age_of in ((b"left behind", OLD), (b"just written", timedelta(0))):
        blob = scene.stored(body)
        moment = (timezone.now() - age_of).timestamp()
        os.utime(blobs.path(blob.sha256), (moment, moment))
        blob.delete()
    known = scene.stored(b"known")
    os.utime(blobs.path(known.sha256), (0, 0))
    for part in range(collect_files.PARTS):
        collect_files.sweep_blobs(part)
    contents = {blobs.path(name).read_bytes() for name in files(data)}
    assert contents == {b"just written", b"known"}


def test_what_the_dead_left_in_tmp_and_locks_goes_after_a_day(data: Path) -> None:
    long_ago = (timezone.now() - OLD).timestamp()
    held = Publication(pk=1, fence=1)
    with Heartbeat(held):
        for name in ("tmp/old.part", "tmp/fetch-old/index", "locks/run-1-1.lock", "tmp/new.part"):
            path = data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        for path in (*data.rglob("*"),):
            if path.name != "new.part":
                os.utime(path, (long_ago, long_ago))
        collect_files.sweep_temporary()
        assert held.lock_path.exists()
        left = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
        assert left == {"tmp/new.part", str(held.lock_path.relative_to(data))}
    assert time.time() > long_ago


@pytest.mark.parametrize(
    "place",
    [
        "workers.retention.forget_snapshots",
        "channels.blobs.delete_bytes",
        "workers.collect_files.sweep",
    ],
)
def test_S09_a_killed_clean_up_is_finished_by_the_next(
    small: FakeConda, data: Path, place: str
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    small.drop("linux-64", "zlib-1.3-0.conda")
    small.publish()
    scene.run_now(mirror)
    before = invariants.served(channel)
    for _ in ("marks", "condemns"):
        age()
        retention.clean_up()
    with Worker("clean", pause=place, KEEP_HOURS=0, KEEP_DAYS=0, BLOB_GRACE_HOURS=0) as worker:
        worker.reached()
        worker.kill()
    rounds()
    assert invariants.served(channel) == before
    assert files(data) == set(Blob.objects.values_list("pk", flat=True))
    invariants.check(channel)


def test_a_server_that_is_never_idle_frees_its_disk(small: FakeConda, data: Path) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    gone = small.record("linux-64", "zlib-1.3-0.conda")["sha256"]
    small.drop("linux-64", "zlib-1.3-0.conda")
    small.publish()
    scene.run_now(mirror)
    other = scene.mirror(scene.channel("other"), small.channel)
    for _ in range(4):
        # One run ends as the next begins, so that there is always one.
        Run.objects.filter(mirror=other).update(state="completed")
        run_control.request_run(other, cause="manual", actor="admin").claim(
            state="running", started_at=timezone.now()
        )
        age()
        retention.clean_up()
    assert gone not in files(data)
    assert not Blob.objects.filter(pk=gone).exists()
    Run.objects.filter(mirror=other).delete()
    invariants.check(channel)


def test_bytes_that_a_run_may_have_found_stay_until_it_ends(data: Path) -> None:
    blob = scene.stored(b"nobody needs it")
    os.utime(blobs.path(blob.sha256), (0, 0))
    collect_blobs.sweep_blobs()
    at_work = Publication.objects.create(
        channel=scene.channel(), state="running", started_at=timezone.now()
    )
    for _ in range(3):
        collect_blobs.sweep_blobs()
        assert blobs.path(blob.sha256).exists()
    Publication.objects.filter(pk=at_work.pk).update(state="completed")
    collect_blobs.sweep_blobs()
    assert not blobs.path(blob.sha256).exists()


def test_files_that_a_rule_refuses_now_are_not_kept_for_ever(small: FakeConda, data: Path) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    refused = small.record("linux-64", "zlib-1.3-0.conda")["sha256"]
    kept = small.record("linux-64", "numpy-2.0-0.conda")["sha256"]
    services.edit(mirror, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    scene.publish(channel)
    rounds()
    assert refused not in files(data)
    assert kept in files(data)
    invariants.check(channel)


def test_files_that_came_for_a_frozen_channel_stay(small: FakeConda, data: Path) -> None:
    channel = scene.channel()
    channel_manage.freeze(channel, actor="admin")
    scene.run_now(scene.mirror(channel, small.channel, mirror_mode="active"))
    waiting = small.record("linux-64", "zlib-1.3-0.conda")["sha256"]
    rounds()
    assert waiting in files(data)
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert len(scene.listed(channel, "linux-64")) == 2
    invariants.check(channel)


def test_failures_and_log_of_old_runs_go_and_their_counts_stay(
    small: FakeConda, settings: LazySettings
) -> None:
    settings.KEEP_DAYS = 30
    mirror = scene.mirror(scene.channel(), small.channel, mirror_mode="active")
    small.behave(small.path("linux-64", "zlib-1.3-0.conda"), failing(404))
    scene.run_now(mirror)
    for _ in range(retention.RUNS_WITH_LISTS):
        scene.run_now(mirror)
    retention.clean_up()
    assert Failure.objects.count() == 11, "a month is not over"
    Run.objects.update(ended_at=timezone.now() - OLD)
    retention.clean_up()
    first, *others = mirror.runs.order_by("number")
    assert (first.failures.count(), first.log.count(), first.counts["failed"]) == (0, 0, 1)
    assert all(one.failures.count() == 1 and one.log.exists() for one in others)


def test_a_package_that_comes_back_while_its_shard_is_cleaned_up_has_one(
    small: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    services.edit(mirror, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    scene.publish(channel)
    age()
    retention.retire_revisions()
    assert Shard.objects.filter(package=None).count() == 1
    services.edit(mirror, {"filters": {}}, actor="admin")
    proceed = Changes.compare

    def compare(*args: Any) -> None:
        proceed(*args)
        # Also while a publication is going, for on a busy server there is always one.
        retention.forget_expired_rows()
        assert not Shard.objects.filter(package=None).exists()

    monkeypatch.setattr(Changes, "compare", compare)
    scene.publish(channel)
    assert "zlib-1.3-0.conda" in scene.listed(channel, "linux-64")
    invariants.check(channel)


def test_clean_up_gives_the_space_of_deleted_rows_back_to_the_disk() -> None:
    machine.only_on("sqlite", "PostgreSQL frees its space by itself")

    def pages(which: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {which}")
            return int(cursor.fetchone()[0])

    Shard.objects.bulk_create(Shard(sha256=f"{n:064}", body=bytes(20_000)) for n in range(200))
    full = pages("page_count")
    retention.clean_up()
    assert pages("freelist_count") == 0
    assert pages("page_count") < full - 500
