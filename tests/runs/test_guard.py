"""Snapshots that a healthy upstream would not give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings

from channels.models import Channel
from history.models import Event
from mirrors import run_control, services
from mirrors.models import AcceptedSnapshot, Mirror, Run
from runs import execute
from runs.guard import Facts, objection
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.crantree import BUILT as CRAN_BUILT
from tests.crantree import FakeCran
from tests.runs.test_updates import files
from tests.simpletree import FakeSimple
from tests.upstream import Request
from tests.wsgi import Client, application

MONDAY, TUESDAY = "Mon, 02 Nov 2026 00:00:00 GMT", "Tue, 03 Nov 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (None, Facts(0), None),
        (None, None, None),
        (Facts(0), None, None),
        (Facts(5), None, "no longer has"),
        (Facts(5), Facts(0), "is empty now"),
        (Facts(100), Facts(80), None),
        (Facts(100), Facts(79), "shrank from 100 to 79"),
        (Facts(1000), Facts(900), None),
        (Facts(1000), Facts(899), "shrank from 1,000 to 899"),
        (Facts(5, TUESDAY), Facts(5, MONDAY), "is older"),
        (Facts(5, MONDAY), Facts(4, TUESDAY), None),
        (Facts(5, MONDAY), Facts(5, MONDAY), None),
        (Facts(5, TUESDAY, 100), Facts(6, MONDAY, 100), None),
        (Facts(5, TUESDAY), Facts(6, MONDAY), None),
        (Facts(5, TUESDAY, 100), Facts(5, MONDAY, 100), None),
        (Facts(5, TUESDAY, 200), Facts(6, MONDAY, 100), "is older"),
        (Facts(5, TUESDAY, 100), Facts(4, MONDAY, 100), "is older"),
        (Facts(5, "", 200), Facts(5, "", 100), "is older"),
        (Facts(5, "", 200), Facts(6, "", 100), None),
        (Facts(5, "yesterday", 200), Facts(5, "today", 200), None),
    ],
)
def test_what_the_guard_says(old: Facts | None, new: Facts | None, words: str | None) -> None:
    said = objection("noarch", old, new, least=20, share=0.1)
    assert (said is None) if words is None else (said is not None and words in said)


@pytest.mark.django_db(transaction=True)
def test_a_hold_is_told_once_and_ends_with_a_healthy_snapshot(
    small: FakeConda, settings: LazySettings
) -> None:
    settings.GUARD_MIN = 0
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    record = small.record("noarch", "six-1.16.0-0.conda")
    small.unlist("noarch", "six-1.16.0-0.conda")
    small.publish()
    for _ in range(2):
        held = scene.run_now(mirror)
        assert held.state == "completed"
        assert list(held.held) == ["noarch"]
    assert Event.objects.filter(type="mirror_held").count() == 1
    assert invariants.served(channel) == before
    small._records["noarch"]["six-1.16.0-0.conda"] = record
    small.publish()
    assert scene.run_now(mirror).held == {}
    mirror.refresh_from_db()
    assert mirror.held == {}
    invariants.check(channel)


@pytest.mark.django_db(transaction=True)
def test_a_changed_source_is_compared_with_nothing_once(
    small: FakeConda, settings: LazySettings
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    with FakeConda() as other:
        settings.UPSTREAM_ALLOW = (small.url, other.url)
        other.add("noarch", "tiny", "1")
        other.publish()
        services.edit(mirror, {"source_root": other.channel}, actor="admin")
        mirror.refresh_from_db()
        assert scene.run_now(mirror).held == {}
        assert set(scene.listed(channel)) == {"tiny-1-0.conda"}
        mirror.refresh_from_db()
        assert not mirror.skip_guard
        invariants.check(channel, fetch=True)


@pytest.mark.django_db(transaction=True)
def test_a_changed_source_that_has_no_index_at_all_changes_nothing(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    services.edit(mirror, {"source_root": f"{small.url}/nowhere"}, actor="admin")
    mirror.refresh_from_db()
    failed = scene.run_now(mirror)
    assert failed.state == "failed"
    assert "has no index of any of noarch" in failed.error
    scene.publish(channel)
    assert invariants.served(channel) == before
    invariants.check(channel, fetch=True)


@pytest.mark.django_db(transaction=True)
def test_a_source_changed_during_a_run_is_still_compared_with_nothing_afterwards(
    small: FakeConda, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    with FakeConda() as other:
        settings.UPSTREAM_ALLOW = (small.url, other.url)
        other.add("noarch", "tiny", "1")
        other.publish()
        small.add("noarch", "more", "1")
        small.publish()
        real = execute.accept_snapshots.check_source

        def edited(of: Mirror) -> None:
            monkeypatch.setattr(execute.accept_snapshots, "check_source", real)
            services.edit(mirror, {"source_root": other.channel}, actor="admin")

        monkeypatch.setattr(execute.accept_snapshots, "check_source", edited)
        assert scene.run_now(mirror).state == "completed"
        mirror.refresh_from_db()
        assert mirror.skip_guard
        assert scene.run_now(mirror).held == {}
        assert set(scene.listed(channel)) == {"tiny-1-0.conda"}
        invariants.check(channel, fetch=True)


@pytest.mark.django_db(transaction=True)
def test_sections_of_the_source_before_do_not_come_back_when_more_is_asked_for(
    small: FakeConda, settings: LazySettings
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    with FakeConda() as other:
        settings.UPSTREAM_ALLOW = (small.url, other.url)
        other.add("noarch", "tiny", "1")
        other.publish()
        body = {"source_root": other.channel, "filters": {"subdirs": ["noarch"]}}
        services.edit(mirror, body, actor="admin")
        mirror.refresh_from_db()
        scene.run_now(mirror)
        services.edit(mirror, {"filters": {"subdirs": []}}, actor="admin")
        scene.publish(channel)
        assert not AcceptedSnapshot.objects.filter(section="linux-64").exists()
        assert set(scene.listed(channel)) == {"tiny-1-0.conda"}
        invariants.check(channel, fetch=True)
    assert Run.objects.count() == 2


@pytest.mark.parametrize("gone", [0, 25, 30])
def test_files_that_the_upstream_took_back_never_count(gone: int) -> None:
    said = objection("simple", Facts(35), Facts(5), least=20, share=0.1, explained=gone)
    assert (said is None) == (gone >= 25)
    nothing = objection("simple", Facts(30), Facts(0), least=20, share=0.1, explained=gone)
    assert (nothing is None) == (gone == 30)


@pytest.mark.django_db(transaction=True)
def test_N19_an_index_rolled_back_without_a_date_is_held(small: FakeConda) -> None:
    mirror = scene.mirror(scene.channel(), small.channel)
    scene.run_now(mirror)
    newer = small.add("noarch", "six", "1.17.0", timestamp=1_800_000_000_000)
    small.publish()
    path = small.path("noarch", "repodata.json")

    def undated() -> None:
        for ending in ("", ".zst", ".bz2"):
            request = Request("GET", f"{path}{ending}", {})
            entry = small.entry(request)
            assert entry is not None
            small.set(request.path, entry.body, last_modified=None)

    undated()
    assert scene.run_now(mirror).held == {}
    small.unlist("noarch", newer)
    small.publish()
    undated()
    assert "is older" in scene.run_now(mirror).held["noarch"]["reason"]


@pytest.mark.django_db(transaction=True)
def test_files_in_the_list_of_removed_ones_are_not_held(
    small: FakeConda, settings: LazySettings
) -> None:
    settings.GUARD_MIN = 0
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    small.drop("noarch", "six-1.15.0-0.tar.bz2")
    small.publish(removed=["six-1.15.0-0.tar.bz2"])
    assert scene.run_now(mirror).held == {}
    assert set(scene.listed(channel)) == {"six-1.16.0-0.conda"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["active", "passive"])
def test_a_package_all_of_whose_files_were_removed_on_purpose_is_not_held(
    small: FakeConda, settings: LazySettings, mode: str
) -> None:
    settings.GUARD_MIN, settings.GUARD_SHARE = 0, 0.0
    small.add("noarch", "evil", "1.0", timestamp=1_800_000_000_000)
    small.add("noarch", "evil", "1.1", timestamp=1_800_000_000_000)
    small.publish()
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode=mode)
    scene.run_now(mirror)
    gone = [name for name in small.records("noarch") if name.startswith("evil")]
    for name in gone:
        small.drop("noarch", name)
    small.publish(removed=gone)
    assert scene.run_now(mirror).held == {}
    assert not any(name.startswith("evil") for name in scene.listed(channel))
    invariants.check(channel, fetch=True)


def of_python(simple: FakeSimple, channel: Channel) -> Mirror:
    body: dict[str, Any] = {"mirror_type": "python_simple"}
    body["filters"] = {"only_specs": ["six", "toml"]}
    return scene.mirror(channel, simple.index, **body)


@pytest.mark.django_db(transaction=True)
def test_a_quarantined_project_goes_at_once_and_is_refused_by_address(
    settings: LazySettings,
) -> None:
    settings.GUARD_MIN, settings.GUARD_SHARE = 0, 0.0
    with FakeSimple() as simple:
        settings.UPSTREAM_ALLOW = (simple.url,)
        late: dict[str, Any] = {"upload-time": "2026-01-01T00:00:00.000000Z"}
        evil = simple.add_wheel("six", "1.0", **late)
        good = simple.add_wheel("toml", "1.0")
        simple.publish()
        channel = scene.channel()
        mirror = of_python(simple, channel)
        scene.run_now(mirror)
        client = Client(application)
        base = f"/api/repo/{channel.path}/simple"
        assert client.get(f"{base}/six/{evil}").status == 200
        simple.drop("six", evil)
        simple.status["six"] = {"status": "quarantined"}
        simple.publish()
        assert scene.run_now(mirror).held == {}
        answer = client.get(f"{base}/six/{evil}")
        assert answer.status == 404
        assert "withdrawn" in answer.detail
        assert client.get(f"{base}/toml/{good}").status == 200


@pytest.mark.django_db(transaction=True)
def test_files_that_were_yanked_before_they_went_are_not_held(settings: LazySettings) -> None:
    settings.GUARD_MIN, settings.GUARD_SHARE = 0, 0.0
    with FakeSimple() as simple:
        settings.UPSTREAM_ALLOW = (simple.url,)
        late: dict[str, Any] = {"upload-time": "2026-01-01T00:00:00.000000Z"}
        yanked = simple.add_wheel("six", "2.0", yanked="broken", **late)
        other = simple.add_wheel("six", "1.9")
        kept = simple.add_wheel("six", "1.0")
        simple.publish()
        channel = scene.channel()
        mirror = of_python(simple, channel)
        scene.run_now(mirror)
        simple.drop("six", yanked)
        simple.publish()
        assert scene.run_now(mirror).held == {}
        assert files(channel) == {kept, other}
        # One that was not yanked is held, as ever.
        simple.drop("six", other)
        simple.publish()
        assert "shrank" in scene.run_now(mirror).held["simple"]["reason"]


@pytest.mark.django_db(transaction=True)
def test_N19_a_python_index_that_goes_back_is_held_until_it_is_released(
    settings: LazySettings,
) -> None:
    with FakeSimple() as simple:
        settings.UPSTREAM_ALLOW = (simple.url,)
        simple.add_wheel("toml", "1.0")
        simple.add_wheel("six", "1.0")
        simple.publish()
        channel = scene.channel()
        mirror = of_python(simple, channel)
        scene.run_now(mirror)
        late: dict[str, Any] = {"upload-time": "2026-01-01T00:00:00.000000Z"}
        newer = simple.add_wheel("six", "2.0", **late)
        simple.publish()
        assert scene.run_now(mirror).held == {}
        simple.drop("six", newer)
        simple.publish()
        back_and_on(mirror, "simple", lambda: simple.add_wheel("toml", "1.1"), simple.publish)


@pytest.mark.django_db(transaction=True)
def test_N19_an_r_index_that_goes_back_is_held_until_it_is_released(
    settings: LazySettings,
) -> None:
    with FakeCran() as cran:
        settings.UPSTREAM_ALLOW = (cran.url,)
        cran.add("aa", "1.0")
        cran.add("bb", "1.0")
        cran.publish()
        channel = scene.channel()
        mirror = scene.mirror(channel, cran.repository, mirror_type="CRAN")
        scene.run_now(mirror)
        cran.add("bb", "2.0", time=CRAN_BUILT + 1000)
        cran.publish()
        assert scene.run_now(mirror).held == {}
        # As if its disk were restored: neither the new file nor the archive has been there.
        cran._archived.clear()
        cran.add("bb", "1.0")
        cran._archived.clear()
        cran._publications -= 2
        cran.publish()
        cran._publications -= 1
        back_and_on(mirror, "src/contrib", lambda: cran.add("cc", "1.0"), cran.publish)


def back_and_on(
    mirror: Mirror, section: str, add: Callable[[], object], publish: Callable[[], object]
) -> None:
    """Held as older at each run; once released it is what the next one is compared with."""
    for _ in range(2):
        assert "is older" in scene.run_now(mirror).held[section]["reason"]
    run_control.release(mirror, actor="admin")
    scene.publish(mirror.channel)
    assert scene.run_now(mirror).held == {}
    add()
    publish()
    assert scene.run_now(mirror).held == {}
