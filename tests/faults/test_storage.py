"""Family S: a disk that is full, and writers that are killed at a system call."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from django.conf import LazySettings, settings

from channels import blobs
from channels.models import Blob, Refusal
from channels.revision_documents import RevisionDocuments
from mirrors import run_control, services
from mirrors.models import Mirror, Run
from runs import execute
from tests import invariants, machine, scene
from tests.condatree import FakeConda
from tests.faults.disks import BIG, enlarge, fill
from tests.processes import Worker
from tests.rogue import Behaviour
from tests.upstream import Request
from tests.wsgi import Client, application
from workers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mirror(conda: FakeConda) -> Mirror:
    return scene.mirror(scene.channel(), conda.channel, mirror_mode="active")


def leftovers(data: Path) -> list[str]:
    return [path.name for path in (data / "tmp").rglob("*") if path.is_file()]


def test_S01_without_room_for_the_plan_a_run_says_what_it_needs(
    conda: FakeConda, mirror: Mirror, settings: LazySettings, data: Path
) -> None:
    room = settings.MIN_FREE_BYTES
    settings.MIN_FREE_BYTES = 1 << 60
    before = invariants.served(mirror.channel)
    failed = scene.run_now(mirror)
    assert failed.state == "failed"
    assert "needs" in failed.error
    assert "has" in failed.error
    assert not [path for path in conda.paths() if path.endswith(".conda") and conda.count(path)]
    settings.MIN_FREE_BYTES = room
    assert invariants.served(mirror.channel) == before
    assert leftovers(data) == []
    assert scene.run_now(mirror).counts["active"] == 4
    invariants.check(mirror.channel)


def test_S01_a_file_too_large_for_the_disk_ends_the_run_and_its_temporary_file(
    conda: FakeConda, mirror: Mirror, data: Path
) -> None:
    machine.program("prlimit")
    enlarge(conda, 24 << 20)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    with Worker("run", row.pk, prefix=["prlimit", "--fsize=16000000"]) as worker:
        code, output = worker.finish()
    row.refresh_from_db()
    assert (code, row.state) == (0, "failed"), output
    assert "File too large" in row.error
    assert leftovers(data) == []
    scene.publish(mirror.channel)
    invariants.check(mirror.channel)
    again = scene.run_now(mirror)
    assert (again.state, again.counts["active"]) == ("completed", 5)
    here = [path for path in conda.paths() if path.endswith(".conda") and BIG not in path]
    assert {conda.count(path) for path in here} == {1}
    invariants.check(mirror.channel)


def test_S01_a_disk_that_fills_while_a_file_comes_ends_the_run_and_reads_go_on(
    conda: FakeConda, disk: Path, settings: LazySettings
) -> None:
    settings.MIN_FREE_BYTES = 0
    mirror = scene.mirror(scene.channel(), conda.channel, mirror_mode="active")
    assert scene.run_now(mirror).state == "completed"
    before = invariants.served(mirror.channel)
    enlarge(conda, 1 << 20)
    body = conda._files[conda.path("noarch", BIG)][0]

    def filling(_: Request) -> bytes:
        fill(disk)
        assert isinstance(body, bytes)
        return body

    conda.set(conda.path("noarch", BIG), filling, etag='"big"')
    failed = scene.run_now(mirror)
    assert failed.state == "failed"
    assert "No space left" in failed.error
    assert conda.count(conda.path("noarch", BIG)) == 1, "a full disk is not tried again"
    assert leftovers(disk) == []
    now = invariants.served(mirror.channel)
    assert all(now[path] == content for path, content in before.items() if "linux-64" in path)
    (disk / "filler").unlink()
    conda.set(conda.path("noarch", BIG), body, etag='"big"')
    healed = scene.run_now(mirror)
    assert (healed.state, healed.counts["active"]) == ("completed", 5)
    invariants.check(mirror.channel)


@pytest.mark.parametrize("where", ["index", "documents"])
def test_S01_a_full_disk_at_the_index_or_the_publication_changes_nothing(
    conda: FakeConda,
    disk: Path,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    settings.MIN_FREE_BYTES = 0
    mirror = scene.mirror(scene.channel(), conda.channel)
    scene.run_now(mirror)
    before = invariants.served(mirror.channel)
    conda.add("noarch", "new", "1")
    conda.publish()
    real = RevisionDocuments.write

    def full(*args: object) -> None:
        fill(disk)
        real(*args)  # type: ignore[arg-type]

    if where == "index":
        fill(disk)
    else:
        monkeypatch.setattr(RevisionDocuments, "write", full)
    failed = scene.run_now(mirror)
    assert (failed.state, "No space left" in failed.error) == ("failed", True), failed.error
    assert invariants.served(mirror.channel) == before
    assert leftovers(disk) == []
    monkeypatch.setattr(RevisionDocuments, "write", real)
    (disk / "filler").unlink()
    assert scene.run_now(mirror).state == "completed"
    assert "new-1-0.conda" in scene.listed(mirror.channel)
    invariants.check(mirror.channel, fetch=True)


def test_S01_a_client_is_told_that_the_disk_is_full_and_gets_what_is_here(
    conda: FakeConda, settings: LazySettings
) -> None:
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, conda.channel))
    client = Client(application)
    base = f"/api/repo/{channel.path}/noarch"
    assert client.get(f"{base}/six-1.15.0-0.tar.bz2").status == 200
    room = settings.MIN_FREE_BYTES
    settings.MIN_FREE_BYTES = 1 << 60
    refused = client.get(f"{base}/six-1.16.0-0.conda")
    assert refused.status == 503
    assert "disk" in refused.detail
    assert client.get(f"{base}/six-1.15.0-0.tar.bz2").status == 200
    settings.MIN_FREE_BYTES = room
    Refusal.objects.all().delete()
    invariants.check(channel, fetch=True)


ROWS = (
    ("pwrite64", "fdatasync")
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    else ("sendto",)
)
"""The system calls by which rows are written here."""


def calls(*numbers: int, of: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(name, number) for name in of for number in numbers]


def killed(worker: Worker, call: str, number: int) -> bool:
    """Let the child go on to the system call at which it dies; False if it never made it."""
    worker.reached()
    tracer = worker.trace(call, when=number)
    worker.go_on()
    code, output = worker.finish()
    tracer.wait(60)
    assert code in (0, -9), output
    return code == -9


@pytest.mark.parametrize(
    ("call", "number"),
    [
        *calls(1, of=("write", "rename", "unlink")),
        *calls(1, 2, 3, 4, of=("fsync",)),
        *calls(1, 2, 4, of=ROWS),
    ],
)
def test_S04_a_blob_whose_writer_is_killed_is_absent_or_whole(
    data: Path, tmp_path: Path, call: str, number: int
) -> None:
    machine.program("strace")
    body = os.urandom(100_000)
    source = tmp_path / "source"
    source.write_bytes(body)
    sha256 = hashlib.sha256(body).hexdigest()
    with Worker("keep", source, sha256, pause="channels.blobs.temporary_path") as worker:
        died = killed(worker, call, number)
    if not died:
        assert Blob.objects.get().size == len(body)
    for row in Blob.objects.all():
        assert blobs.path(row.sha256).read_bytes() == body
    stored = [path for path in (data / "blobs").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored] in ([], [body])
    temp = blobs.temporary_path("again")
    temp.write_bytes(body)
    assert blobs.store(temp, sha256).size == len(body)
    invariants.stored()


@pytest.mark.parametrize(
    ("call", "number"), calls(1, 3, of=("fsync", "rename", "write", "rmdir", *ROWS))
)
def test_S04_a_publication_whose_worker_is_killed_is_seen_whole_or_not_at_all(
    conda: FakeConda, call: str, number: int
) -> None:
    machine.program("strace")
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    services.edit(mirror, {"filters": {"exclude_specs": ["six<1.16", "zlib"]}}, actor="admin")
    with Worker("publish", channel.pk, pause="publishing.publish._build") as worker:
        died = killed(worker, call, number)
    after = invariants.served(channel)
    channel.refresh_from_db()
    if channel.current == 2:
        assert died
        assert after == before
    else:
        assert len(scene.listed(channel)) == 1
    dispatch.dispatch_round()
    scene.publish(channel)
    assert set(scene.listed(channel)) == {"six-1.16.0-0.conda"}
    assert channel.current == 3
    invariants.check(channel)


@pytest.mark.parametrize(
    "place",
    [
        "channels.revision_builder.RevisionBuilder._write",
        "channels.revision_builder.RevisionBuilder.commit",
    ],
)
@pytest.mark.parametrize("number", [1, 2, 5])
def test_S04_a_revisions_rows_are_shown_by_one_commit(
    conda: FakeConda, place: str, number: int
) -> None:
    """Killed at the database's writes around the pointer itself."""
    machine.program("strace")
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    with Worker("publish", channel.pk, pause=place) as worker:
        killed(worker, ROWS[0], number)
    channel.refresh_from_db()
    assert (invariants.served(channel) == before) is (channel.current == 2)
    dispatch.dispatch_round()
    scene.publish(channel)
    assert (channel.current, scene.listed(channel)) == (3, {})
    assert not Run.objects.exclude(state="completed").exists()
    invariants.check(channel)


def test_S04_a_download_that_is_killed_leaves_its_part_in_tmp_only(
    conda: FakeConda, mirror: Mirror, data: Path
) -> None:
    slow = Behaviour(hold_at=100)
    conda.behave(conda.path("noarch", "six-1.16.0-0.conda"), slow)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    with Worker("run", row.pk) as worker:
        assert slow.held.wait(60)
        worker.kill()
    slow.release()
    conda.behave(conda.path("noarch", "six-1.16.0-0.conda"))
    assert leftovers(data)
    invariants.stored()
    dispatch.dispatch_round()
    execute.execute(row.pk, interrupted=lambda: False)
    row.refresh_from_db()
    assert (row.state, row.counts["active"]) == ("completed", 4)
    invariants.check(mirror.channel)
