"""Row S02: a disk with little room. Downloads stop before it is full, and say why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import LazySettings

from channels import services as channel_manage
from channels.models import Blob, Channel, Fetch, Refusal
from delivery.on_demand import blocking
from mirrors import run_control
from mirrors.models import Mirror, Run
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.faults.clients import get
from tests.faults.disks import BIG, enlarge
from tests.mirrorserver.server import until
from tests.processes import Worker
from tests.rogue import Behaviour
from tests.sources import FILES, Source
from tests.wsgi import Client, application
from workers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

MB = 1 << 20


class Free:
    """How many bytes the disk has free."""

    bytes = 1 << 40


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    free = Free()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free.bytes))
    return free


@pytest.fixture
def large(settings: LazySettings) -> Iterator[list[FakeConda]]:
    """Three channels, each with one file of 5 MB: the small disk has room for one of them."""
    with FakeConda() as first, FakeConda() as second, FakeConda() as third:
        servers = [first, second, third]
        settings.UPSTREAM_ALLOW = tuple(server.url for server in servers)
        settings.MIN_FREE_BYTES = MB
        for server in servers:
            enlarge(server, 5 * MB)
        yield servers


def mirrors(large: list[FakeConda], *modes: str) -> list[Mirror]:
    return [
        scene.mirror(scene.channel(f"c{number}"), server.channel, mirror_mode=mode)
        for number, (server, mode) in enumerate(zip(large, modes, strict=False))
    ]


def test_S02_a_run_and_a_client_do_not_count_on_what_another_run_has_reserved(
    large: list[FakeConda], disk: Path
) -> None:
    first, second, third = mirrors(large, "active", "active", "passive")
    assert scene.run_now(third).state == "completed"
    row = run_control.request_run(first, cause="manual", actor="admin")
    with Worker("run", row.pk, pause="channels.file_sources.download") as worker:
        worker.reached()
        refused = scene.run_now(second)
        client = Client(application).get(f"/api/repo/c2/noarch/{BIG}")
        worker.go_on()
        assert worker.finish()[0] == 0
    assert refused.state == "failed"
    assert "needs 5,242,880 bytes" in refused.error
    assert "of which 5,242,880 are reserved for other downloads" in refused.error
    assert (client.status, "no room" in client.detail) == (503, True)
    assert int(client.headers["Retry-After"]) > 0
    assert [server.count(server.path("noarch", BIG)) for server in large] == [1, 0, 0]
    row.refresh_from_db()
    assert (row.state, row.counts["active"], row.reserved) == ("completed", 1, 0)
    Refusal.objects.all().delete()
    invariants.check(first.channel)
    # What has come is on the disk now, and is not reserved beside that.
    full = scene.run_now(second)
    assert (full.state, "reserved for" in full.error) == ("failed", False), full.error


def test_S02_what_a_killed_run_had_reserved_is_free_at_once(
    large: list[FakeConda], disk: Path
) -> None:
    first, second = mirrors(large, "active", "active")
    row = run_control.request_run(first, cause="manual", actor="admin")
    with Worker("run", row.pk, pause="channels.file_sources.download") as worker:
        worker.reached()
        assert Run.objects.get(pk=row.pk).reserved == 5 * MB
        worker.kill()
    done = scene.run_now(second)
    assert (done.state, done.counts["active"]) == ("completed", 1), done.error
    dispatch.reap()
    invariants.check(second.channel)


def test_S02_a_run_stops_before_the_disk_is_full_whoever_fills_it(
    source: Source, free: Free, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = source.mirror(scene.channel(), mirror_mode="active")
    before = invariants.served(mirror.channel)
    held = Behaviour(hold_at=10)
    source.server.behave(source.file, held)
    small = settings.MIN_FREE_BYTES - 1
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda _path: SimpleNamespace(free=small if held.held.is_set() else 1 << 40),
    )
    monkeypatch.setattr("runs.download.POLL_SECONDS", 0.01)
    failed = scene.run_now(mirror)
    assert failed.state == "failed"
    assert f"the disk has {small:,}" in failed.error
    assert source.server.count(source.file) == 1, "a full disk is not tried again"
    assert invariants.served(mirror.channel) == before
    source.server.behave(source.file)
    held.held.clear()
    done = scene.run_now(mirror)
    assert (done.state, done.counts["active"]) == ("completed", FILES), done.error
    invariants.check(mirror.channel)


def test_S02_below_what_stays_free_not_even_an_index_is_fetched(
    source: Source, free: Free, settings: LazySettings
) -> None:
    mirror = source.mirror(scene.channel())
    free.bytes = settings.MIN_FREE_BYTES - 1
    failed = scene.run_now(mirror)
    assert (failed.state, "The disk has no room" in failed.error) == ("failed", True)
    assert source.server.count() == 0
    free.bytes += 1
    assert scene.run_now(mirror).state == "completed"


def test_S02_a_client_gets_a_file_only_if_it_leaves_free_what_has_to_stay_so(
    source: Source, free: Free, settings: LazySettings
) -> None:
    """Also in R, whose index states no sizes."""
    mirror = source.mirror(scene.channel())
    assert scene.run_now(mirror).state == "completed"
    size = len(source.bytes())
    # Where the answer states the size first, its first bytes are on the disk by then.
    source.server.behave(source.file, Behaviour(hold_at=10))
    free.bytes = settings.MIN_FREE_BYTES + size - 11
    status, body = get(source)
    assert (status, b"no room" in body) == (503, True)
    assert not Blob.objects.filter(file=True).exists()
    Refusal.objects.all().delete()
    source.server.behave(source.file)
    free.bytes = settings.MIN_FREE_BYTES + size
    assert get(source) == (200, source.bytes())
    free.bytes = 1 << 40
    invariants.check(mirror.channel, fetch=True)


@pytest.fixture
def copied(source: Source, settings: LazySettings) -> Mirror:
    """An active mirror of a channel of this server that has fetched nothing yet."""
    behind = source.mirror(scene.channel("behind"))
    assert scene.run_now(behind).state == "completed"
    url = f"{settings.PUBLIC_URL}/api/repo/behind"
    urls = {"python_simple": f"{url}/simple", "CRAN": f"{url}/cran"}
    return scene.mirror(
        scene.channel(),
        urls.get(source.kind, url),
        mirror_type=source.kind,
        mirror_mode="active",
        **source.body,
    )


def test_S02_files_of_a_channel_of_this_server_are_reserved_once(
    source: Source, copied: Mirror, free: Free, settings: LazySettings
) -> None:
    whole = sum(len(source.server.bytes_at(path)) for path in files(source))
    free.bytes = settings.MIN_FREE_BYTES + whole
    done = scene.run_now(copied)
    assert (done.state, done.counts["active"]) == ("completed", FILES), done.error
    invariants.check(copied.channel)


def files(source: Source) -> list[str]:
    return [
        path
        for path in source.server.paths()
        if path.endswith((".conda", ".tar.bz2", ".whl", ".tar.gz", ".metadata"))
    ]


def test_S02_a_run_that_copies_a_channel_ends_at_a_full_disk_with_no_file_failed(
    source: Source, copied: Mirror, free: Free, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = blocking.fetch_from_channel

    def full(*args: object, **kwargs: object) -> object:
        free.bytes = 0
        return real(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(blocking, "fetch_from_channel", full)
        failed = scene.run_now(copied)
    assert (failed.state, failed.failures.count()) == ("failed", 0)
    assert "disk has no room" in failed.error
    until(lambda: not Fetch.objects.exists())
    # What was refused is not remembered once there is room.
    assert Refusal.objects.exists()
    free.bytes = 1 << 40
    done = scene.run_now(copied)
    assert (done.state, done.counts["active"]) == ("completed", FILES), done.error
    invariants.check(copied.channel)


def test_S02_bytes_that_are_here_for_another_channel_need_no_room(
    source: Source, free: Free, settings: LazySettings
) -> None:
    first, second = (
        source.mirror(secret(name), mirror_mode="active") for name in ("first", "second")
    )
    assert scene.run_now(first).counts["active"] == FILES
    free.bytes = settings.MIN_FREE_BYTES
    if source.kind == "CRAN":
        free.bytes += 1 << 20  # Its index states no SHA-256 by which bytes could be found.
    done = scene.run_now(second)
    assert (done.state, done.counts["active"]) == ("completed", FILES), done.error
    assert source.server.count(source.file) <= 2
    invariants.check()


def secret(name: str) -> Channel:
    return channel_manage.create(name, scene.admin(), privacy="private")
