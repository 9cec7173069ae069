"""Family C: two who do something at the same time."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection

from channels import rollback
from channels import services as channel_manage
from channels.errors import Stale, WrongState
from channels.models import Blob, Channel, Package
from channels.revision_documents import RevisionDocuments
from history.models import Event
from mirrors import run_control, services
from mirrors.models import Mirror, Run
from publishing import publish
from runs import execute
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.rogue import Behaviour
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

SIX = "six-1.16.0-0.conda"


def beside(work: Callable[[], object]) -> threading.Thread:
    """`work` in a thread with a database connection of its own."""

    def whole() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=whole, daemon=True)
    thread.start()
    return thread


def held_run(conda: FakeConda, mirror: Mirror) -> tuple[Run, Behaviour, threading.Thread]:
    """A run that waits in the middle of a file, in a thread."""
    slow = Behaviour(hold_at=10)
    conda.behave(conda.path("noarch", SIX), slow)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    thread = beside(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert slow.held.wait(60)
    return row, slow, thread


def ended(row: Run, thread: threading.Thread) -> Run:
    thread.join(60)
    assert not thread.is_alive()
    row.refresh_from_db()
    return row


def during_publication(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Have `change` happen in the middle of the next publication that builds documents."""
    real = RevisionDocuments.write

    def changed(*args: Any) -> None:
        monkeypatch.setattr(RevisionDocuments, "write", real)
        change()
        real(*args)

    monkeypatch.setattr(RevisionDocuments, "write", changed)


def test_C01_of_two_requests_one_wins_and_the_other_hears_of_it(conda: FakeConda) -> None:
    mirror = scene.mirror(scene.channel(), conda.channel)
    begun: list[Run] = []
    refused: list[WrongState] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait(60)
        try:
            begun.append(run_control.request_run(mirror, cause="manual", actor="admin"))
        except WrongState as error:
            refused.append(error)

    for thread in [beside(ask) for _ in range(4)]:
        thread.join(60)
    assert (len(begun), len(refused)) == (1, 3)
    assert {error.run_id for error in refused} == {begun[0].pk}
    execute.execute(begun[0].pk, interrupted=lambda: False)
    invariants.check()


def test_C02_of_two_mirrors_the_older_gives_the_file_and_it_stays_so(
    conda: FakeConda, settings: LazySettings
) -> None:
    with FakeConda() as second:
        settings.UPSTREAM_ALLOW = (conda.url, second.url)
        second.add("noarch", "six", "1.16.0", payload=500)
        second.add("noarch", "extra", "1")
        second.publish()
        channel = scene.channel()
        older = scene.mirror(channel, conda.channel, "older", mirror_mode="active")
        newer = scene.mirror(channel, second.channel, "newer", mirror_mode="active")
        wanted = conda.record("noarch", SIX)["sha256"]
        for mirror in (newer, older, newer, older, newer):
            done = scene.run_now(mirror)
            assert done.state == "completed"
            if mirror.runs.count() > 1 or mirror == older:
                listed = scene.listed(channel)
                assert listed[SIX]["sha256"] == wanted
                assert "extra-1-0.conda" in listed
        assert done.counts["channel_filtered"] == {"duplicate": 1}
        answer = Client(application).get(f"/api/repo/{channel.path}/noarch/{SIX}")
        assert hashlib.sha256(answer.body).hexdigest() == wanted
        invariants.check(channel)
        services.delete(older, actor="admin")
        scene.publish(channel)
        scene.run_now(newer)
        listed = scene.listed(channel)
        assert listed[SIX]["sha256"] == second.record("noarch", SIX)["sha256"]
        invariants.check(channel)


def test_C03_a_mirror_deleted_during_its_run_brings_nothing_back(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    row, slow, thread = held_run(conda, mirror)
    services.delete(mirror, actor="admin")
    assert ended(row, thread).state == "stopped"
    slow.release()
    scene.publish(channel)
    assert scene.listed(channel) == {}
    assert not Package.objects.at(channel.current).filter(shard__isnull=False).exists()
    with pytest.raises(WrongState):
        run_control.request_run(Mirror.objects.get(pk=mirror.pk), cause="manual", actor="admin")
    kinds = list(Event.objects.filter(mirror_id=mirror.pk).values_list("type", flat=True))
    assert {"mirror_created", "mirror_started", "mirror_stopped", "mirror_deleted"} <= set(kinds)
    invariants.check(channel)


def test_C03_a_channel_deleted_during_a_run_and_its_publication_stays_deleted(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    during_publication(
        monkeypatch, lambda: services.delete_channel(Channel.objects.get(pk=channel.pk), actor="x")
    )
    done = scene.run_now(mirror)
    channel.refresh_from_db()
    assert done.state in ("stopped", "completed")
    assert channel.current == 1
    answer = Client(application).get(f"/api/repo/{channel.path}/noarch/repodata.json")
    # As for a private channel: who has no credential does not learn whether it exists.
    assert answer.status == 401
    assert not publish.publish(channel, stop=lambda: None)
    again = scene.channel()
    assert scene.listed(again) == {}
    invariants.check(again)


def test_C04_an_edit_during_a_run_counts_at_once_and_the_run_fetches_what_it_began_with(
    conda: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    row, slow, thread = held_run(conda, mirror)
    services.edit(mirror, {"filters": {"exclude_specs": ["numpy"]}}, actor="admin")
    slow.release()
    assert ended(row, thread).state == "completed"
    assert row.filters.get("exclude_specs", []) == []
    assert Blob.objects.filter(file=True).count() == 4
    assert set(scene.listed(channel, "linux-64")) == {"zlib-1.3-0.conda"}
    assert row.counts["mirror_filtered"] == {"exclude_specs": 1}
    invariants.check(channel)


@pytest.mark.parametrize("filters", [{"subdirs": ["noarch"]}, {"exclude_specs": ["six"]}])
def test_C04_an_edit_in_the_middle_of_a_publication_is_published_next(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch, filters: dict[str, Any]
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    during_publication(
        monkeypatch, lambda: services.edit(mirror, {"filters": filters}, actor="admin")
    )
    assert scene.run_now(mirror).state == "completed"
    scene.publish(channel)
    rows = Package.objects.at(channel.current).filter(channel=channel, shard__isnull=False)
    names = set(rows.values_list("name", flat=True))
    assert names == ({"six"} if "subdirs" in filters else {"numpy", "zlib"})
    invariants.check(channel)


def test_C04_the_second_of_two_editors_is_told(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    seen = mirror.version
    services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="a", expected=seen)
    with pytest.raises(Stale):
        services.edit(mirror, {"filters": {"exclude_specs": ["zlib"]}}, actor="b", expected=seen)
    mirror.filter.refresh_from_db()
    assert mirror.filter.terms["exclude_specs"] == ["six"]
    scene.publish(channel)
    invariants.check(channel)


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_C05_a_channel_frozen_in_the_middle_of_a_publication_keeps_its_pointer(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode=mode)
    before = invariants.served(channel)
    during_publication(monkeypatch, lambda: channel_manage.freeze(channel, actor="admin"))
    done = scene.run_now(mirror)
    assert done.state == "completed"
    assert done.counts[mode] == done.counts["listed"] == 4
    assert invariants.served(channel) == before
    invariants.check(channel)
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert len(scene.listed(channel)) == 2
    invariants.check(channel)


def test_C05_bytes_arrive_in_a_frozen_channel_and_unfreezing_shows_the_latest(
    conda: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    row, slow, thread = held_again(conda, mirror)
    channel_manage.freeze(Channel.objects.get(pk=channel.pk), actor="admin")
    before = invariants.served(channel)
    slow.release()
    assert ended(row, thread).state == "completed"
    assert (row.counts["active"], row.counts["listed"]) == (5, 5)
    assert invariants.served(channel) == before
    assert Blob.objects.filter(file=True).count() == 5
    answer = Client(application).get(f"/api/repo/{channel.path}/noarch/new-1-0.conda")
    assert answer.status == 404, "it is here, but no publication lists it"
    channel_manage.unfreeze(Channel.objects.get(pk=channel.pk), actor="admin")
    scene.publish(channel)
    assert "new-1-0.conda" in scene.listed(channel)
    invariants.check(channel)


def held_again(conda: FakeConda, mirror: Mirror) -> tuple[Run, Behaviour, threading.Thread]:
    """A further run, which waits in the middle of a new file."""
    conda.add("noarch", "new", "1")
    conda.publish()
    slow = Behaviour(hold_at=10)
    conda.behave(conda.path("noarch", "new-1-0.conda"), slow)
    row = run_control.request_run(mirror, cause="manual", actor="admin")
    thread = beside(lambda: execute.execute(row.pk, interrupted=lambda: False))
    assert slow.held.wait(60)
    return row, slow, thread


def test_C05_a_rollback_during_a_run_stays_until_it_is_unfrozen(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    services.edit(mirror, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    scene.publish(channel)
    mirror.refresh_from_db()
    row, slow, thread = held_again(conda, mirror)
    rollback.roll_back(Channel.objects.get(pk=channel.pk), 2, actor="admin")
    before = invariants.served(channel)
    slow.release()
    assert ended(row, thread).state == "completed"
    assert invariants.served(channel) == before
    assert "zlib-1.3-0.conda" in scene.listed(channel, "linux-64")
    invariants.check(channel)
    channel_manage.unfreeze(Channel.objects.get(pk=channel.pk), actor="admin")
    scene.publish(channel)
    assert "zlib-1.3-0.conda" not in scene.listed(channel, "linux-64")
    assert "new-1-0.conda" in scene.listed(channel)
    invariants.check(channel)


def test_C06_a_client_that_installs_through_publications_misses_nothing(
    conda: FakeConda,
) -> None:
    """Its index is one of the published ones, and every file of it can be had."""
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    end, started, errors = threading.Event(), threading.Event(), list[str]()
    sets = set[frozenset[str]]()

    def install() -> None:
        client = Client(application)
        base = f"/api/repo/{channel.path}/noarch"
        while not end.is_set():
            answer = client.get(f"{base}/repodata.json")
            records = json.loads(answer.body)
            files = {**records["packages"], **records["packages.conda"]}
            sets.add(frozenset(files))
            for name, record in files.items():
                got = client.get(f"{base}/{name}")
                if hashlib.sha256(got.body).hexdigest() != record["sha256"]:
                    errors.append(f"{got.status} {name}")
            started.set()

    client = beside(install)
    assert started.wait(60)
    published = {frozenset(scene.listed(channel))}
    for number in range(6):
        conda.add("noarch", "six", f"2.{number}")
        conda.unlist("noarch", next(iter(conda.records("noarch"))))
        conda.publish()
        assert scene.run_now(mirror).state == "completed"
        published.add(frozenset(scene.listed(channel)))
    end.set()
    client.join(60)
    assert errors == []
    assert sets <= published
    invariants.check(channel)
