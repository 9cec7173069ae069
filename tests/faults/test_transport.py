"""Family N: what an upstream can do to a run while bytes are on their way."""

from __future__ import annotations

import bz2
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from django.conf import LazySettings
from django.db import connection

from channels.models import Blob, Channel
from history.models import Event
from mirrors import run_control, services
from mirrors.models import Mirror, Run
from runs import execute
from tests import invariants, scene
from tests.certificates import Authority
from tests.condatree import FakeConda
from tests.rogue import Behaviour, failing, html, redirecting
from tests.upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

INDEX = "repodata.json.zst"
SIX = "six-1.16.0-0.conda"
"""The file that something happens to."""


@pytest.fixture
def active(conda: FakeConda) -> Mirror:
    """An active mirror that has not run."""
    return scene.mirror(scene.channel(), conda.channel, mirror_mode="active")


@pytest.fixture
def running(conda: FakeConda, active: Mirror) -> Mirror:
    """An active mirror whose channel lists four files, with a fifth upstream since.

    The upstream has one form of its index, so that no other takes the place of a broken one.
    """
    scene.run_now(active)
    conda.add("noarch", "new", "1")
    conda.publish(forms=["zst"])
    conda.forget()
    return active


def fails(mirror: Mirror, *words: str) -> Run:
    """A run that says these words and changes nothing that clients see.

    It fails; or, where only one section cannot be had that was published before, holds that one.
    """
    before = invariants.served(mirror.channel)
    ended = scene.run_now(mirror)
    assert ended.state == "failed" or ended.held, ended.counts
    said = " ".join([ended.error, *(str(hold["reason"]) for hold in ended.held.values())])
    for word in words:
        assert word in said, said
    assert "upstream-secret-body" not in said
    scene.publish(mirror.channel)
    assert invariants.served(mirror.channel) == before
    invariants.check(mirror.channel)
    return ended


def recovers(conda: FakeConda, mirror: Mirror) -> None:
    """Once the upstream behaves, the next run brings what is missing and nothing twice."""
    for path in conda.paths():
        conda.behave(path)
    healed = scene.run_now(mirror)
    assert (healed.state, healed.counts["failed"]) == ("completed", 0)
    assert healed.counts["active"] == healed.counts["listed"]
    invariants.check(mirror.channel)


def one_file_fails(conda: FakeConda, mirror: Mirror, *words: str) -> Run:
    """A run that brings everything but one file, which is counted and not listed."""
    done = scene.run_now(mirror)
    assert (done.state, done.error) == ("completed", "")
    assert (done.counts["active"], done.counts["failed"]) == (3, 1)
    failure = done.failures.get()
    assert (failure.section, failure.filename) == ("noarch", SIX)
    for word in words:
        assert word in failure.message, failure.message
    assert set(scene.listed(mirror.channel)) == {"six-1.15.0-0.tar.bz2"}
    invariants.check(mirror.channel)
    return done


def test_N01_an_upstream_that_is_down_fails_the_run_and_the_channel_stays(
    conda: FakeConda, running: Mirror
) -> None:
    conda.stop()
    fails(running, "127.0.0.1", "refused")


def test_N01_a_name_that_does_not_resolve_is_named(
    conda: FakeConda, running: Mirror, settings: LazySettings
) -> None:
    settings.UPSTREAM_ALLOW = (conda.url, "http://nowhere.invalid")
    services.edit(running, {"source_root": "http://nowhere.invalid/channel"}, actor="admin")
    running.refresh_from_db()
    fails(running, "nowhere.invalid")


def test_N01_a_certificate_nobody_knows_fails_the_run(
    conda: FakeConda, running: Mirror, settings: LazySettings, tmp_path: Path
) -> None:
    with FakeConda(tls=Authority(tmp_path).server("127.0.0.1")) as secret:
        settings.UPSTREAM_ALLOW = (conda.url, secret.url)
        services.edit(running, {"source_root": secret.channel}, actor="admin")
        running.refresh_from_db()
        fails(running, "certificate")


@pytest.mark.parametrize(
    "fault",
    [Behaviour(reset_at=50, times=1), Behaviour(length=99_999, times=1)],
    ids=["reset", "length too large"],
)
@pytest.mark.parametrize("where", ["index", "file"])
def test_N02_a_broken_transfer_is_resumed(
    conda: FakeConda, active: Mirror, fault: Behaviour, where: str
) -> None:
    conda.behave(conda.path("noarch", INDEX if where == "index" else SIX), replace(fault))
    done = scene.run_now(active)
    assert (done.state, done.counts["active"], done.counts["failed"]) == ("completed", 4, 0)
    invariants.check(active.channel)


@pytest.mark.parametrize(
    "fault",
    [Behaviour(length=100), Behaviour(cut_at=100, no_length=True, ignore_range=True)],
    ids=["length too small", "cut without length"],
)
def test_N03_a_file_that_ends_too_early_is_one_failure(
    conda: FakeConda, active: Mirror, fault: Behaviour
) -> None:
    conda.behave(conda.path("noarch", SIX), fault)
    one_file_fails(conda, active)
    recovers(conda, active)


@pytest.mark.parametrize("form", ["zst", "bz2"])
@pytest.mark.parametrize("kind", ["truncated", "trailing"])
def test_N04_an_index_that_is_cut_or_goes_on_behind_its_end_changes_nothing(
    conda: FakeConda, running: Mirror, form: str, kind: str
) -> None:
    conda.publish(forms=[form])
    text = conda.index("noarch").encode()
    packed = zstandard.compress(text) if form == "zst" else bz2.compress(text)
    body = packed[:-20] if kind == "truncated" else packed + b"trailing garbage"
    conda.behave(conda.path("noarch", f"repodata.json.{form}"), Behaviour(body=body, etag='"x"'))
    fails(running)
    recovers(conda, running)


def test_N04_a_truncated_package_is_one_failure(conda: FakeConda, active: Mirror) -> None:
    whole = conda._files[conda.path("noarch", SIX)][0]
    assert isinstance(whole, bytes)
    conda.behave(conda.path("noarch", SIX), Behaviour(body=whole[:-10]))
    one_file_fails(conda, active)
    recovers(conda, active)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (html(), "HTML"),
        (Behaviour(body=b""), "empty"),
        (Behaviour(body=zstandard.compress(b'{"no": "index"}')), ""),
        (Behaviour(body=zstandard.compress(b'["a list"]')), ""),
        (
            Behaviour(
                body=zstandard.compress(
                    b'{"info":{"subdir":"win-64"},"packages":{},"packages.conda":{}}'
                )
            ),
            "win-64",
        ),
    ],
    ids=["log-in page", "nothing", "no packages", "no object", "another subdir"],
)
def test_N07_what_is_no_index_changes_nothing(
    conda: FakeConda, running: Mirror, fault: Behaviour, word: str
) -> None:
    conda.behave(conda.path("noarch", INDEX), replace(fault, etag='"other"'))
    fails(running, word)
    recovers(conda, running)


def test_N08_a_redirect_to_what_is_not_allowed_is_not_followed(
    conda: FakeConda, running: Mirror
) -> None:
    with FakeUpstream({"/x": b"inner"}) as inner:
        for address in (f"{inner.url}/x", "file:///etc/passwd", "http://127.0.0.1:1/x"):
            conda.behave(conda.path("noarch", INDEX), redirecting(address))
            fails(running)
        assert inner.count() == 0
    recovers(conda, running)


def test_N08_a_redirect_loop_ends(conda: FakeConda, running: Mirror) -> None:
    conda.behave(
        conda.path("noarch", INDEX), redirecting(f"{conda.url}{conda.path('noarch', INDEX)}")
    )
    fails(running, "redirect")
    recovers(conda, running)


def test_N08_a_file_behind_a_redirect_within_the_policy_is_taken(
    conda: FakeConda, active: Mirror, settings: LazySettings
) -> None:
    body = conda._files[conda.path("noarch", SIX)][0]
    with FakeUpstream({"/cdn": body}) as cdn:
        settings.UPSTREAM_ALLOW = (conda.url, cdn.url)
        conda.behave(conda.path("noarch", SIX), redirecting(f"{cdn.url}/cdn"))
        assert scene.run_now(active).counts["active"] == 4
    invariants.check(active.channel)


@pytest.mark.parametrize("status", [401, 403])
def test_N09_a_refused_index_is_asked_for_once_and_changes_nothing(
    conda: FakeConda, running: Mirror, status: int
) -> None:
    conda.behave(conda.path("noarch", INDEX), failing(status))
    fails(running, str(status))
    assert conda.count(conda.path("noarch", INDEX)) == 1
    recovers(conda, running)


@pytest.mark.parametrize("status", [404, 410])
def test_N09_a_channel_that_is_not_there_is_an_error_and_not_empty(
    conda: FakeConda, status: int
) -> None:
    conda.behave("*", failing(status))
    channel = scene.channel()
    fails(scene.mirror(channel, conda.channel), "has no index")
    for path in conda.paths():
        assert conda.count(path) <= 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("after", ["0", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "315360000"])
def test_N10_a_busy_upstream_is_waited_for(
    conda: FakeConda, active: Mirror, status: int, after: str
) -> None:
    for path in (conda.path("noarch", INDEX), conda.path("noarch", SIX)):
        conda.behave(path, failing(status, retry_after=after, times=1))
    done = scene.run_now(active)
    assert (done.state, done.counts["active"]) == ("completed", 4), done.error
    invariants.check(active.channel)


def test_N10_an_upstream_that_stays_busy_fails_the_run_with_the_reason(
    conda: FakeConda, running: Mirror
) -> None:
    conda.behave(conda.path("noarch", INDEX), failing(503, retry_after="1"))
    fails(running, "503")
    assert conda.count(conda.path("noarch", INDEX)) <= 5
    recovers(conda, running)


def test_N11_a_drip_is_one_failure(
    conda: FakeConda, active: Mirror, settings: LazySettings
) -> None:
    settings.UPSTREAM_LIMITS = replace(
        settings.UPSTREAM_LIMITS, min_rate=1 << 30, rate_window=0.05, read_timeout=0.05, retries=0
    )
    slow = Behaviour(hold_at=5)
    conda.behave(conda.path("noarch", SIX), slow)
    one_file_fails(conda, active)
    slow.release()


def test_N11_slow_headers_fail_the_run(
    conda: FakeConda, running: Mirror, settings: LazySettings
) -> None:
    settings.UPSTREAM_LIMITS = replace(
        settings.UPSTREAM_LIMITS, header_timeout=0.05, read_timeout=0.05, retries=0
    )
    slow = Behaviour(hold_headers=True)
    conda.behave(conda.path("noarch", INDEX), slow)
    fails(running)
    slow.release()


def test_N11_a_run_with_slow_headers_can_be_stopped(conda: FakeConda, running: Mirror) -> None:
    slow = Behaviour(hold_headers=True)
    conda.behave(conda.path("noarch", INDEX), slow)
    row = run_control.request_run(running, cause="manual", actor="admin")

    def work() -> None:
        try:
            execute.execute(row.pk, interrupted=lambda: False)
        finally:
            connection.close()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert slow.held.wait(60)
    run_control.stop(running, actor="admin")
    worker.join(60)
    row.refresh_from_db()
    assert row.state == "stopped"
    slow.release()
    invariants.check(running.channel)


def test_N13_an_endless_file_is_one_failure(conda: FakeConda, active: Mirror) -> None:
    conda.behave(conda.path("noarch", SIX), Behaviour(endless=True, no_length=True))
    one_file_fails(conda, active)
    recovers(conda, active)


def test_N13_an_endless_index_is_cut_at_the_cap(
    conda: FakeConda, running: Mirror, settings: LazySettings
) -> None:
    settings.UPSTREAM_LIMITS = replace(settings.UPSTREAM_LIMITS, index_cap=100_000)
    conda.behave(conda.path("noarch", INDEX), Behaviour(endless=True, no_length=True, etag='"e"'))
    fails(running)
    recovers(conda, running)


@pytest.mark.parametrize("form", ["zst", "bz2"])
def test_N14_a_bomb_is_cut_at_the_cap(
    conda: FakeConda, running: Mirror, settings: LazySettings, form: str
) -> None:
    settings.UPSTREAM_LIMITS = replace(settings.UPSTREAM_LIMITS, index_cap=5 << 20)
    conda.publish(forms=[form])
    start = b'{"info":{"subdir":"noarch"},"packages":{"'
    text = start + b"a" * (64 << 20)
    bomb = zstandard.compress(text) if form == "zst" else bz2.compress(text)
    assert len(bomb) < 100_000
    conda.behave(conda.path("noarch", f"repodata.json.{form}"), Behaviour(body=bomb, etag='"b"'))
    fails(running)
    assert not [path for path in Path(settings.DATA).rglob("*") if _large(path)]
    recovers(conda, running)


def _large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 5 << 20


class Lost:
    """What the upstream can lose at once, by name."""

    @staticmethod
    def empty(conda: FakeConda) -> None:
        for name in conda.records("noarch"):
            conda.unlist("noarch", name)
        conda.publish()

    @staticmethod
    def gone(conda: FakeConda) -> None:
        for form in ("", ".zst", ".bz2"):
            conda.remove(conda.path("noarch", f"repodata.json{form}"))

    @staticmethod
    def shrunk(conda: FakeConda) -> None:
        for number in range(25):
            conda.unlist("noarch", f"many-{number}-0.conda")
        conda.publish()


@pytest.mark.parametrize("how", ["empty", "gone", "shrunk"])
def test_N18_an_upstream_that_lost_much_is_held_until_somebody_releases_it(
    conda: FakeConda, how: str
) -> None:
    for number in range(30):
        conda.add("noarch", "many", str(number))
    conda.publish()
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    getattr(Lost, how)(conda)
    conda.add("linux-64", "fresh", "1")
    conda.publish() if how != "gone" else None
    held = scene.run_now(mirror)
    mirror.refresh_from_db()
    assert (held.state, list(held.held), list(mirror.held)) == ("completed", ["noarch"], ["noarch"])
    assert mirror.held["noarch"]["reason"]
    assert Event.objects.filter(type="mirror_held", run_id=held.pk).count() == 1
    now = invariants.served(channel)
    same = [path for path in before if "/noarch/" in path]
    assert {path: now[path] for path in same} == {path: before[path] for path in same}
    if how != "gone":
        assert "fresh-1-0.conda" in scene.listed(channel, "linux-64"), "the others go on"
    invariants.check(channel)
    run_control.release(mirror, actor="admin")
    scene.publish(channel)
    assert len(scene.listed(channel)) == {"empty": 0, "gone": 0, "shrunk": 7}[how]
    assert Event.objects.filter(type="mirror_released").count() == 1
    after = scene.run_now(mirror)
    assert (after.state, after.held) == ("completed", {})
    invariants.check(channel)


def test_N18_rules_that_leave_everything_out_are_no_loss_of_the_upstream(
    conda: FakeConda, running: Mirror
) -> None:
    services.edit(running, {"filters": {"exclude_specs": ["*"]}}, actor="admin")
    running.refresh_from_db()
    done = scene.run_now(running)
    assert (done.state, done.held) == ("completed", {})
    assert scene.listed(running.channel) == {}
    assert done.counts["mirror_filtered"] == {"exclude_specs": 5}
    assert Channel.objects.get().current == 3
    assert Blob.objects.filter(file=True).count() == 4
    invariants.check(running.channel)
