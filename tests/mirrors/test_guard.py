"""Snapshots that a healthy upstream would not give."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from history.models import Event
from mirrors import manage, run
from mirrors.guard import Facts, objection
from mirrors.models import Accepted, Mirror, Run
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.upstream import Request

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
        manage.edit(mirror, {"source_root": other.channel}, actor="admin")
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
    manage.edit(mirror, {"source_root": f"{small.url}/nowhere"}, actor="admin")
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
        real = run.intake.check_source

        def edited(of: Mirror) -> None:
            monkeypatch.setattr(run.intake, "check_source", real)
            manage.edit(mirror, {"source_root": other.channel}, actor="admin")

        monkeypatch.setattr(run.intake, "check_source", edited)
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
        manage.edit(mirror, body, actor="admin")
        mirror.refresh_from_db()
        scene.run_now(mirror)
        manage.edit(mirror, {"filters": {"subdirs": []}}, actor="admin")
        scene.publish(channel)
        assert not Accepted.objects.filter(section="linux-64").exists()
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
