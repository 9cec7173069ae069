"""Family W: workers that die, sleep, are told twice or told to stop."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import LazySettings
from django.db import connection
from django.utils import timezone

from channels.errors import WrongState
from channels.models import Blob, Channel, Document, Publication
from channels.revision_documents import RevisionDocuments
from history.models import Event
from mirrors import run_control, services
from mirrors.models import Mirror, Run
from mirrorserver import environment
from publishing import publish
from runs import accept_snapshots, execute
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.processes import Worker
from tests.rogue import Behaviour
from workers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

PLACES = (
    "runs.fetch.Fetch.fetch",
    "runs.fetch.Fetch.read",
    "runs.accept_snapshots.accept_or_hold",
    "runs.execute.compare",
    "runs.download.Download.run",
    "channels.blobs.commit",
    "channels.blobs.register",
    "channels.revision_builder.RevisionBuilder.section",
    "channels.revision_documents.RevisionDocuments.write",
    "channels.revision_builder.RevisionBuilder.commit",
    "runs.execute.finish",
)
"""Where a worker is killed: at least one place in each of the eight steps."""

BRINGING = ("channels.blobs.commit", "channels.blobs.register")
"""Places with files under way, which are not finished and may be fetched again."""


def request(mirror: Mirror) -> Run:
    return run_control.request_run(mirror, cause="manual", actor="admin")


def work(row: Run) -> Run:
    """What a worker does with a run, in this process."""
    execute.execute(row.pk, interrupted=lambda: False)
    row.refresh_from_db()
    return row


class Threads:
    """Workers of this process, beside the test."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object]) -> threading.Thread:
        def whole() -> None:
            try:
                work()
            finally:
                connection.close()

        thread = threading.Thread(target=whole, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("place", PLACES)
def test_W01_a_run_whose_worker_is_killed_is_begun_again_by_one_round(
    conda: FakeConda, place: str
) -> None:
    channel = scene.channel()
    row = request(scene.mirror(channel, conda.channel, mirror_mode="active"))
    before = invariants.served(channel)
    with Worker("run", row.pk, pause=place) as worker:
        worker.reached()
        worker.kill()
    published = place == "runs.execute.finish"
    assert (invariants.served(channel) == before) is not published
    dispatch.dispatch_round()
    row.refresh_from_db()
    assert (row.state, row.attempt) == ("pending", 1)
    assert not Publication.objects.filter(state="running").exists()
    work(row)
    assert (row.state, row.error, row.counts["active"]) == ("completed", "", 4)
    assert sum(channel.revisions.values_list("added", flat=True)) == 4
    if place not in BRINGING:
        assert all(number == 1 for number in downloads(conda).values())
    invariants.check(channel)


def test_W02_a_run_that_kills_its_worker_each_time_fails_with_the_cause(conda: FakeConda) -> None:
    channel = scene.channel()
    row = request(scene.mirror(channel, conda.channel))
    for _ in range(3):
        with Worker("run", row.pk, pause="runs.accept_snapshots.accept_or_hold") as worker:
            worker.reached()
            worker.kill()
        dispatch.dispatch_round()
        row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "The worker was lost. 3 times.")
    invariants.check(channel)


@pytest.mark.parametrize(
    "place",
    [
        "runs.snapshot_rows.SnapshotRows.save",
        "runs.fetch.Fetch._read_root",
        "runs.accept_snapshots.accept_or_hold",
        "runs.download.Download.run",
        "channels.revision_builder.RevisionBuilder.section",
        "channels.revision_documents.RevisionDocuments.write",
        "channels.revision_builder.RevisionBuilder.commit",
        "runs.execute.finish",
        "runs.finish.end",
    ],
)
def test_W03_a_worker_that_slept_past_its_lease_writes_nothing_when_it_wakes(
    conda: FakeConda, settings: LazySettings, place: str
) -> None:
    channel = scene.channel()
    row = request(scene.mirror(channel, conda.channel, mirror_mode="active"))
    with Worker("run", row.pk, pause=place) as sleeper:
        sleeper.reached()
        sleeper.freeze()
        sleeper.go_on()
        settings.LEASE_SECONDS = 0
        dispatch.reap()
        dispatch.reap()
        settings.LEASE_SECONDS = 60
        work(row)
        assert (row.state, row.counts["active"]) == ("completed", 4)
        before = list(invariants.dump())
        sleeper.thaw()
        code, output = sleeper.finish()
    assert code == 0, output
    assert list(invariants.dump()) == before
    invariants.check(channel)


def test_W04_a_run_that_is_delivered_twice_is_done_once(conda: FakeConda) -> None:
    channel = scene.channel()
    row = request(scene.mirror(channel, conda.channel, mirror_mode="active"))
    with Worker("run", row.pk, pause="runs.accept_snapshots.accept_or_hold") as first:
        first.reached()
        execute.execute(row.pk, interrupted=lambda: False)
        assert Run.objects.get(pk=row.pk).fence == 1
        first.go_on()
        code, output = first.finish()
    assert code == 0, output
    work(row)
    assert (row.state, row.fence, row.counts["active"]) == ("completed", 1, 4)
    assert all(number == 1 for number in downloads(conda).values())
    invariants.check(channel)


def test_W04_a_publication_is_done_by_one_of_all_who_are_told(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    with Worker(
        "publish", channel.pk, pause="channels.revision_builder.RevisionBuilder.commit"
    ) as first:
        first.reached()
        assert not publish.publish(channel, stop=lambda: None)
        first.go_on()
        code, output = first.finish()
    assert code == 0, output
    assert not publish.publish(channel, stop=lambda: None)
    numbers = channel.revisions.order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3]
    assert scene.listed(channel) == {}
    invariants.check(channel)


class Broker:
    """The suite's broker: down while asked for, and what waits in it."""

    def __init__(self) -> None:
        url = environment.load().redis_url
        self._redis = redis.Redis.from_url(url) if url else None
        self._queue = environment.load().data / "broker" / "queue"

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        if self._redis is not None:
            self._redis.delete("celery")
            # A Redis that is full refuses to write.
            self._redis.config_set("maxmemory", 1)
            try:
                yield
            finally:
                self._redis.config_set("maxmemory", 0)
            return
        shutil.rmtree(self._queue, ignore_errors=True)
        self._queue.parent.mkdir(exist_ok=True)
        self._queue.write_text("a file where the broker wants its folder")
        try:
            yield
        finally:
            self._queue.unlink()
            self._queue.mkdir()

    def messages(self) -> list[bytes]:
        if self._redis is not None:
            return [bytes(one) for one in self._redis.lrange("celery", 0, -1)]
        return [path.read_bytes() for path in self._queue.iterdir()]


def test_W05_run_now_without_a_broker_waits_and_is_told_of_again(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker()
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    with broker.down():
        row = request(mirror)
    assert (row.state, Run.objects.get(pk=row.pk).state) == ("pending", "pending")
    assert not any(b"execute_run" in message for message in broker.messages())
    monkeypatch.setattr(dispatch, "_enqueued", {})
    dispatch.dispatch_round()
    assert sum(b"execute_run" in message for message in broker.messages()) == 1
    assert work(row).state == "completed"
    invariants.check(channel)


def test_W06_two_clocks_and_hours_without_one_begin_one_run(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, cron="0 * * * *")
    past = timezone.now() - timedelta(hours=7)
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=past)
    two = Threads()
    for _ in range(2):
        two.start(dispatch.start_due)
    two.join()
    assert [(row.slot, row.cause) for row in mirror.runs.all()] == [(past, "schedule")]
    mirror.refresh_from_db()
    assert mirror.next_run_at
    assert mirror.next_run_at > timezone.now()
    work(mirror.runs.get())
    invariants.check(channel)


def test_W08_a_slot_during_a_run_is_skipped_and_told(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, cron="0 * * * *")
    row = request(mirror)
    slot = timezone.now() - timedelta(minutes=5)
    Mirror.objects.filter(pk=mirror.pk).update(next_run_at=slot)
    dispatch.start_due()
    dispatch.start_due()
    assert mirror.runs.count() == 1
    skipped = Event.objects.get(type="mirror_skipped", mirror_id=mirror.pk)
    assert (skipped.run_id, skipped.meta["slot"]) == (row.pk, slot.isoformat())
    work(row)
    dispatch.dispatch_round()
    assert mirror.runs.count() == 1, "a skipped slot is not made up for"
    invariants.check(channel)


def test_W09_a_run_nobody_has_begun_stops_at_once(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    row = request(mirror)
    for _ in range(2):
        run_control.stop(mirror, actor="admin")
    row.refresh_from_db()
    assert row.state == "stopped"
    assert work(row).state == "stopped"
    assert conda.count() == 0
    invariants.check(channel)


@pytest.mark.parametrize("where", ["index", "file"])
def test_W09_a_run_stops_while_the_upstream_keeps_it_waiting(conda: FakeConda, where: str) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    path = conda.path("noarch", "repodata.json.zst" if where == "index" else "six-1.16.0-0.conda")
    slow = Behaviour(hold_at=10)
    conda.behave(path, slow)
    row = request(mirror)
    before = invariants.served(channel)
    worker = Threads()
    worker.start(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert slow.held.wait(60)
    for _ in range(2):
        run_control.stop(mirror, actor="admin")
    worker.join()
    row.refresh_from_db()
    assert (row.state, row.error) == ("stopped", "")
    assert invariants.served(channel) == before
    slow.release()
    conda.behave(path)
    scene.publish(channel)
    assert (
        len(scene.listed(channel)) + len(_linux(channel)) == Blob.objects.filter(file=True).count()
    )
    restarted = run_control.restart(mirror, actor="admin")
    assert work(restarted).counts["active"] == 4
    finished = downloads(conda)
    finished.pop(path, None)
    assert all(number == 1 for number in finished.values())
    invariants.check(channel)


def test_W09_a_run_stops_in_the_middle_of_its_publication(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    row = request(mirror)
    before = invariants.served(channel)
    reached, go_on = threading.Event(), threading.Event()
    real = RevisionDocuments.write

    def slowly(*args: Any) -> None:
        reached.set()
        assert go_on.wait(60)
        real(*args)

    monkeypatch.setattr(RevisionDocuments, "write", slowly)
    monkeypatch.setattr("runs.context.CHECK_SECONDS", 0)
    worker = Threads()
    worker.start(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert reached.wait(60)
    assert [r.state for r in (run_control.stop(mirror, actor="x"),) if r] == ["stopping"]
    go_on.set()
    worker.join()
    row.refresh_from_db()
    assert row.state == "stopped"
    assert invariants.served(channel) == before
    scene.publish(channel)
    assert len(scene.listed(channel)) == 2
    invariants.check(channel)


def test_a_run_marked_as_stopped_writes_nothing_when_its_worker_goes_on(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    row = request(mirror)
    reached, go_on = threading.Event(), threading.Event()
    real = accept_snapshots.accept_or_hold

    def slowly(*args: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return real(*args)

    monkeypatch.setattr(accept_snapshots, "accept_or_hold", slowly)
    worker = Threads()
    worker.start(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert reached.wait(60)
    run_control.stop(mirror, actor="admin")
    long_ago = timezone.now() - Run.STUCK_AFTER
    Run.objects.filter(pk=row.pk).update(stop_requested_at=long_ago)
    run_control.mark_stopped(mirror, actor="admin")
    again = run_control.restart(mirror, actor="admin")
    go_on.set()
    worker.join()
    row.refresh_from_db()
    assert row.state == "stopped"
    execute.execute(again.pk, interrupted=lambda: False)
    again.refresh_from_db()
    assert again.state == "completed"
    invariants.check(channel)


def test_W09_a_stop_for_a_dead_worker_is_carried_out_by_one_round(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    row = request(mirror)
    with Worker("run", row.pk, pause="runs.accept_snapshots.accept_or_hold") as worker:
        worker.reached()
        worker.kill()
    run_control.stop(mirror, actor="admin")
    dispatch.dispatch_round()
    row.refresh_from_db()
    assert row.state == "stopped"
    invariants.check(channel)


def test_W10_a_restart_clicked_twice_is_one_run_that_downloads_nothing_again(
    conda: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    path = conda.path("noarch", "six-1.16.0-0.conda")
    slow = Behaviour(hold_at=10)
    conda.behave(path, slow)
    row = request(mirror)
    worker = Threads()
    worker.start(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert slow.held.wait(60)
    run_control.stop(mirror, actor="admin")
    worker.join()
    conda.behave(path)
    slow.release()
    answers: list[Run | WrongState] = []
    together = threading.Barrier(2)

    def click() -> None:
        together.wait(60)
        try:
            answers.append(run_control.restart(mirror, actor="admin"))
        except WrongState as refused:
            answers.append(refused)

    clicks = Threads()
    for _ in range(2):
        clicks.start(click)
    clicks.join()
    begun = [one for one in answers if isinstance(one, Run)]
    refused = [one for one in answers if isinstance(one, WrongState)]
    assert (len(begun), len(refused)) == (1, 1)
    assert refused[0].run_id == begun[0].pk
    assert Event.objects.filter(type="mirror_restarted").count() == 1
    assert work(begun[0]).counts["active"] == 4
    finished = downloads(conda)
    assert finished.pop(path) == 2
    assert set(finished.values()) == {1}
    invariants.check(channel)


def test_W11_a_worker_that_shuts_down_hands_its_run_back(conda: FakeConda) -> None:
    channel = scene.channel()
    row = request(scene.mirror(channel, conda.channel, mirror_mode="active"))
    execute.execute(row.pk, interrupted=lambda: conda.count() > 0)
    row.refresh_from_db()
    assert (row.state, row.attempt) == ("pending", 0)
    assert work(row).state == "completed"
    invariants.check(channel)


def test_W11_a_stop_is_not_lost_when_the_worker_shuts_down_at_the_same_time(
    conda: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    row = request(mirror)

    def interrupted() -> bool:
        if conda.count() == 0:
            return False
        run_control.stop(mirror, actor="admin")
        return True

    execute.execute(row.pk, interrupted=interrupted)
    row.refresh_from_db()
    assert row.state == "stopped"
    invariants.check(channel)


def downloads(conda: FakeConda) -> dict[str, int]:
    """How often each package file was asked for."""
    paths = [path for path in conda.paths() if path.endswith((".conda", ".tar.bz2"))]
    return {path: number for path in paths if (number := conda.count(path))}


def _linux(channel: Channel) -> dict[str, Any]:
    try:
        return scene.listed(channel, "linux-64")
    except Document.DoesNotExist:
        return {}
