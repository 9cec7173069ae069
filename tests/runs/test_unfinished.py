"""What people and clocks do in the middle of an unfinished update takes nothing away either."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from channels import rollback
from channels import services as channel_manage
from channels.models import Channel
from mirrors import run_control
from mirrors.models import Mirror, Run
from runs import execute, preview
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.faults.test_concurrency import ended
from tests.rogue import Behaviour, failing
from tests.runs import test_cran
from tests.runs.test_updates import NEW, OLD, conda, files, held_at, publish_now, updated
from tests.simpletree import FakeSimple
from tests.wsgi import Client, application

__all__ = ["conda"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def channel(settings: Any) -> Channel:
    settings.DOWNLOAD_THREADS = 1
    return scene.channel()


@pytest.fixture
def mirror(channel: Channel, conda: FakeConda) -> Mirror:
    """An active mirror that has run once, whose upstream has something new."""
    made = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(made)
    updated(conda)
    return made


@pytest.fixture
def middle(conda: FakeConda, mirror: Mirror) -> Iterator[tuple[Run, Behaviour, Any]]:
    """Its second run, which waits in the middle of the last new file."""
    row, slow, thread = held_at(conda, mirror, "d-1.0-0.conda")
    yield row, slow, thread
    slow.release()
    thread.join(60)


def done(middle: tuple[Run, Behaviour, Any]) -> Run:
    """Let the run go on to its end."""
    row, slow, thread = middle
    slow.release()
    return ended(row, thread)


def test_a_channel_frozen_in_the_middle_shows_what_it_showed_until_it_is_unfrozen(
    channel: Channel, middle: tuple[Run, Behaviour, Any]
) -> None:
    before = invariants.served(channel)
    channel_manage.freeze(channel, actor="admin")
    assert done(middle).state == "completed"
    scene.publish(channel)
    assert invariants.served(channel) == before
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert set(scene.listed(channel)) == NEW
    invariants.check(channel)


def test_a_channel_frozen_in_the_middle_of_an_update_that_fails_keeps_it_all(
    conda: FakeConda, channel: Channel, mirror: Mirror
) -> None:
    channel_manage.freeze(channel, actor="admin")
    for name in NEW:
        conda.behave(conda.path("noarch", name), failing(404))
    assert scene.run_now(mirror).outcome == "errors"
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert set(scene.listed(channel)) == OLD
    invariants.check(channel)


def test_a_rollback_in_the_middle_shows_the_earlier_state_and_keeps_it(
    channel: Channel, mirror: Mirror, middle: tuple[Run, Behaviour, Any]
) -> None:
    whole = channel.revisions.latest("number").number
    publish_now(channel)
    channel.refresh_from_db()
    rollback.roll_back(channel, whole, actor="admin")
    assert set(scene.listed(channel)) == OLD
    before = invariants.served(channel)
    assert done(middle).state == "completed"
    scene.publish(channel)
    assert invariants.served(channel) == before
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert set(scene.listed(channel)) == NEW
    invariants.check(channel)


def test_a_preview_in_the_middle_changes_nothing_and_counts_the_whole(
    channel: Channel, mirror: Mirror, middle: tuple[Run, Behaviour, Any]
) -> None:
    publish_now(channel)
    before = invariants.served(channel)
    asked = preview.request(
        channel,
        upstream=mirror.upstream,
        mode=mirror.mode,
        terms={},
        asker=scene.admin(),
        mirror=mirror,
    )
    preview.execute(asked.pk, interrupted=lambda: False)
    asked.refresh_from_db()
    assert asked.state == "completed"
    assert asked.result["count"]["active_planned"] == len(NEW)
    assert invariants.served(channel) == before
    assert done(middle).outcome == "ok"
    assert set(scene.listed(channel)) == NEW
    invariants.check(channel)


def test_a_filter_edited_in_the_middle_acts_at_once_and_on_nothing_else(
    conda: FakeConda, channel: Channel, mirror: Mirror, middle: tuple[Run, Behaviour, Any]
) -> None:
    body = {"filters": {"exclude_specs": ["c"]}}
    scene.services.edit(mirror, body, actor="admin")
    publish_now(channel)
    assert set(scene.listed(channel)) >= OLD - {"c-1.0-0.conda"}
    assert "c-1.0-0.conda" not in scene.listed(channel)
    done(middle)
    scene.publish(channel)
    assert set(scene.listed(channel)) == NEW
    invariants.check(channel)


def test_a_rule_that_lets_more_through_in_the_middle_removes_nothing(
    conda: FakeConda, channel: Channel, mirror: Mirror, middle: tuple[Run, Behaviour, Any]
) -> None:
    """The files that the new rule wants are not here before the next run."""
    channel_manage.edit(channel, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    publish_now(channel)
    assert set(scene.listed(channel)) >= OLD
    done(middle)
    scene.publish(channel)
    assert set(scene.listed(channel)) == NEW


def optional(conda: FakeConda, **exports: str) -> None:
    """What the upstream says beside its index of these packages."""
    listed = {f"{name}.conda": {"run_exports": {"weak": [text]}} for name, text in exports.items()}
    body = {"info": {"subdir": "noarch"}, "packages": {}, "packages.conda": listed}
    conda.set(conda.path("noarch", "run_exports.json"), json.dumps(body).encode())
    named = {name.split("-")[0]: {"summary": text} for name, text in exports.items()}
    data = {"channeldata_version": 1, "packages": named, "subdirs": ["noarch"]}
    conda.set(f"{conda.root}/channeldata.json", json.dumps(data).encode())


def beside(channel: Channel) -> tuple[dict[str, str], dict[str, str]]:
    """What clients are told of it: run exports by file, summaries by package."""
    exports = json.loads(scene.document(channel, "noarch", "run_exports.json"))["packages.conda"]
    data = json.loads(scene.document(channel, "", "channeldata.json"))["packages"]
    return (
        {name: one["run_exports"]["weak"][0] for name, one in exports.items()},
        {name: one["summary"] for name, one in data.items()},
    )


@pytest.mark.parametrize("gone", [False, True])
def test_optional_files_wait_with_the_records_they_speak_of(
    conda: FakeConda, channel: Channel, gone: bool
) -> None:
    optional(conda, **{"a-1.0-0": "a one", "c-1.0-0": "c one"})
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    scene.run_now(mirror)
    old = beside(channel)
    assert old == (
        {"a-1.0-0.conda": "a one", "c-1.0-0.conda": "c one"},
        {"a": "a one", "c": "c one"},
    )
    updated(conda)
    if gone:
        conda.remove(conda.path("noarch", "run_exports.json"))
        conda.remove(f"{conda.root}/channeldata.json")
    else:
        optional(conda, **{"a-2.0-0": "a two", "d-1.0-0": "d one"})
    for name in NEW:
        conda.behave(conda.path("noarch", name), failing(404))
    for _ in range(2):
        scene.run_now(mirror)
        assert set(scene.listed(channel)) == OLD
        exports, summaries = beside(channel)
        assert exports == old[0]
        assert summaries == (old[1] if gone else {"a": "a two", "c": "c one"})
    for name in NEW:
        conda.behave(conda.path("noarch", name))
    scene.run_now(mirror)
    assert set(scene.listed(channel)) == NEW
    if gone:
        documents = scene.Document.objects.at(channel.current).filter(channel=channel)
        assert not documents.filter(name="run_exports.json").exists()
        assert json.loads(scene.document(channel, "", "channeldata.json"))["packages"] == {}
        return
    assert beside(channel) == (
        {"a-2.0-0.conda": "a two", "d-1.0-0.conda": "d one"},
        {"a": "a two", "d": "d one"},
    )


def test_archived_versions_of_r_stay_in_their_table_until_the_new_ones_are_here(
    settings: Any, channel: Channel
) -> None:
    with FakeCran() as cran:
        settings.UPSTREAM_ALLOW = (cran.url,)
        cran.add("aa", "1.0")
        cran.add("aa", "1.1")
        cran.publish()
        mirror = test_cran.mirror(channel, cran, mirror_mode="active")
        scene.run_now(mirror)
        path = f"/api/repo/{channel.path}/cran/src/contrib/Archive/aa/aa_1.0.tar.gz"
        assert Client(application).get(path).status == 200
        before = scene.document(channel, "src/contrib", "Meta/archive.rds")
        # The upstream forgets its archive, and what is new does not come.
        cran._archived.clear()
        cran.remove(cran.archive_path("aa_1.0.tar.gz"))
        for name in ("bb", "cc"):
            cran.behave(cran.path(cran.add(name, "1.0")), failing(404))
        cran.publish()
        assert scene.run_now(mirror).outcome == "errors"
        assert scene.document(channel, "src/contrib", "Meta/archive.rds") == before
        assert Client(application).get(path).status == 200
        for name in ("bb", "cc"):
            cran.behave(cran.path(f"{name}_1.0.tar.gz"))
        assert scene.run_now(mirror).outcome == "ok"
        channel.refresh_from_db()
        names = scene.Document.objects.at(channel.current).filter(channel=channel)
        assert not names.filter(name="Meta/archive.rds").exists()


@pytest.mark.parametrize("kind", ["conda", "python_simple", "CRAN"])
@pytest.mark.parametrize("fault", ["fails", "stops", "held"])
def test_a_run_of_a_passive_mirror_that_does_not_complete_removes_nothing(
    settings: Any, channel: Channel, kind: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.GUARD_MIN, settings.GUARD_SHARE = 0, 0.0
    upstream, add, drop, body = UPSTREAMS[kind]()
    with upstream:
        settings.UPSTREAM_ALLOW = (upstream.url,)
        for name in ("aa", "bb", "cc"):
            add(name)
        upstream.publish()
        mirror = scene.mirror(channel, **body(), mirror_type=kind)
        assert scene.run_now(mirror).state == "completed"
        before = files(channel)
        assert len(before) == 3
        drop("cc")
        add("dd")
        drop("bb")
        upstream.publish()
        row = run_control.request_run(mirror, cause="manual", actor="admin")
        if fault != "held":
            fail_in_take(monkeypatch, mirror, stop=fault == "stops")
        execute.execute(row.pk, interrupted=lambda: False)
        row.refresh_from_db()
        expected = {"fails": "failed", "stops": "stopped", "held": "completed"}
        assert row.state == expected[fault]
        assert bool(row.held) == (fault == "held")
        publish_now(channel)
        assert files(channel) == before


def fail_in_take(monkeypatch: pytest.MonkeyPatch, mirror: Mirror, *, stop: bool) -> None:
    """After the index has been read, before any of it is accepted."""
    real = execute.Fetch.read

    def read(self: Any, *args: Any) -> None:
        real(self, *args)
        if not stop:
            raise OSError("the disk is gone")
        run_control.stop(mirror, actor="admin")
        monkeypatch.setattr("runs.context.CHECK_SECONDS", 0)

    monkeypatch.setattr(execute.Fetch, "read", read)


def _of_conda() -> tuple[Any, ...]:
    made = FakeConda()
    return (
        made,
        lambda name: made.add("noarch", name, "1.0"),
        lambda name: made.drop("noarch", f"{name}-1.0-0.conda"),
        lambda: {"source": made.channel},
    )


def _of_python() -> tuple[Any, ...]:
    made = FakeSimple()
    only = {"only_specs": ["aa", "bb", "cc", "dd"]}
    return (
        made,
        lambda name: made.add_wheel(name, "1.0", metadata=False),
        made.drop,
        lambda: {"source": made.index, "filters": only},
    )


def _of_cran() -> tuple[Any, ...]:
    made = FakeCran()

    def drop(name: str) -> None:
        del made._current["src/contrib"][f"{name}_1.0.tar.gz"]

    return made, lambda name: made.add(name, "1.0"), drop, lambda: {"source": made.repository}


UPSTREAMS = {"conda": _of_conda, "python_simple": _of_python, "CRAN": _of_cran}
