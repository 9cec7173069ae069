"""Rows of the catalogue for conda, Python and R alike, with every invariant after each."""

from __future__ import annotations

import bz2
import gzip
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import zstandard
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channels import services as channel_manage
from channels.models import Blob, Refusal
from mirrors import run_control, services, warnings
from mirrors.models import Mirror, Run
from runs import execute
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.faults.clients import get, listed
from tests.rogue import Behaviour, failing, html, redirecting
from tests.simpletree import FakeSimple
from tests.sources import FILES, Source
from tests.upstream import FakeUpstream
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def active(source: Source) -> Mirror:
    """An active mirror that has not run."""
    return source.mirror(scene.channel(), mirror_mode="active")


@pytest.fixture
def running(source: Source, active: Mirror) -> Mirror:
    """An active mirror that lists everything; the upstream has one file more since."""
    assert scene.run_now(active).counts["active"] == FILES
    source.add("numpy", "2.1")
    source.publish()
    source.server.forget()
    return active


@pytest.fixture
def passive(source: Source) -> Mirror:
    """A passive mirror that has run."""
    mirror = source.mirror(scene.channel())
    assert scene.run_now(mirror).counts["passive"] == FILES
    source.server.forget()
    return mirror


def fails(mirror: Mirror) -> Run:
    """A run that fails and changes nothing that clients see."""
    before = invariants.served(mirror.channel)
    failed = scene.run_now(mirror)
    assert failed.state == "failed", failed.counts
    assert failed.error
    assert "upstream-secret-body" not in failed.error
    scene.publish(mirror.channel)
    assert invariants.served(mirror.channel) == before
    invariants.check(mirror.channel)
    return failed


def recovers(source: Source, mirror: Mirror, files: int = FILES) -> None:
    """Once the upstream behaves, the next run brings everything."""
    source.server._behaviours.clear()
    healed = scene.run_now(mirror)
    assert (healed.state, healed.counts["failed"]) == ("completed", 0), healed.error
    assert healed.counts["active"] == healed.counts["listed"] == files
    invariants.check(mirror.channel)


def test_N01_an_upstream_that_is_down_leaves_the_channel_as_it_is(
    source: Source, running: Mirror
) -> None:
    source.server.stop()
    assert "127.0.0.1" in fails(running).error


@pytest.mark.parametrize(
    "fault",
    [Behaviour(reset_at=20, times=1), Behaviour(length=99_999, times=1)],
    ids=["reset", "length too large"],
)
@pytest.mark.parametrize("where", ["index", "file"])
def test_N02_a_broken_transfer_is_made_good_in_the_same_run(
    source: Source, active: Mirror, fault: Behaviour, where: str
) -> None:
    source.server.behave(source.index if where == "index" else source.file, replace(fault))
    done = scene.run_now(active)
    assert (done.state, done.counts["active"], done.counts["failed"]) == ("completed", FILES, 0)
    invariants.check(active.channel)


FAULTS = {
    "N03 length too small": Behaviour(length=100),
    "N03 cut without length": Behaviour(cut_at=100, no_length=True, ignore_range=True),
    "N07 log-in page": html(),
    "N07 nothing": Behaviour(body=b""),
    "N13 endless": Behaviour(endless=True, no_length=True),
    "N09 404": failing(404),
    "N09 403": failing(403),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_N03_N07_N09_N13_a_file_that_does_not_come_is_one_failure_and_is_not_listed(
    source: Source, active: Mirror, fault: Behaviour
) -> None:
    source.server.behave(source.file, replace(fault))
    done = scene.run_now(active)
    assert (done.state, done.error) == ("completed", "")
    assert (done.counts["active"], done.counts["failed"]) == (FILES - 1, 1)
    assert done.failures.get().filename == source.filename
    assert source.filename not in listed(active.channel)
    invariants.check(active.channel)
    recovers(source, active)


def test_N04_a_truncated_file_is_one_failure(source: Source, active: Mirror) -> None:
    source.server.behave(source.file, Behaviour(body=source.bytes()[:-10]))
    assert scene.run_now(active).counts["failed"] == 1
    invariants.check(active.channel)
    recovers(source, active)


@pytest.mark.parametrize(
    "fault",
    [html(), Behaviour(body=b""), failing(403), failing(500)],
    ids=["html", "", "403", "5xx"],
)
def test_N07_N09_an_index_of_which_no_form_can_be_had_never_empties_a_channel(
    source: Source, running: Mirror, fault: Behaviour
) -> None:
    for form in source.forms:
        source.server.behave(form, replace(fault, etag='"other"'))
    before = listed(running.channel)
    done = scene.run_now(running)
    # A project whose page is broken keeps the state it had; the others go on.
    assert done.state == "failed" or source.kind == "python_simple"
    said = " ".join(warnings.of(running))
    assert done.error or "127.0.0.1" in said or f"The page of {source.name}" in said
    assert source.filename in before
    assert source.filename in listed(running.channel)
    assert get(source) == (200, source.bytes())
    invariants.check(running.channel)
    recovers(source, running, FILES + 1)


def packed(form: str, text: bytes) -> bytes:
    """The text as a form of an index with this name carries it."""
    if form.endswith(".zst"):
        return zstandard.compress(text)
    pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(form[form.rfind(".") :])
    return pack(text) if pack else text


def right_text(source: Source) -> bytes:
    """The index that lists the file, unpacked."""
    server = source.server
    if isinstance(server, FakeConda):
        return server.index("noarch").encode()
    if isinstance(server, FakeCran):
        return server.index().encode()
    assert isinstance(server, FakeSimple)
    return server.entry_bytes(source.index)


def keeps_everything(source: Source, mirror: Mirror) -> None:
    """A run with such an index changes nothing, says so, and the next one heals."""
    done = scene.run_now(mirror)
    mirror.refresh_from_db()
    assert done.state == "failed" or done.held or warnings.of(mirror)
    assert source.filename in listed(mirror.channel)
    assert get(source) == (200, source.bytes())
    invariants.check(mirror.channel)
    recovers(source, mirror, FILES + 1)


def test_N14_an_index_that_unpacks_to_more_than_the_cap_changes_nothing(
    source: Source,
    running: Mirror,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 1 << 20
    settings.UPSTREAM_LIMITS = replace(settings.UPSTREAM_LIMITS, index_cap=most)
    monkeypatch.setattr("ecosystems.cran.fetch.INDEX_CAP", most)
    monkeypatch.setattr("ecosystems.python.requests.PAGE_CAP", most)
    text = right_text(source) + b" " * (8 << 20)
    for form in source.forms:
        source.server.behave(form, Behaviour(body=packed(form, text), etag='"bomb"'))
    keeps_everything(source, running)


@pytest.mark.parametrize("how", ["UTF-16", "no text", "nested"])
def test_N20_an_index_in_no_encoding_or_shape_that_is_one_changes_nothing(
    source: Source, running: Mirror, how: str
) -> None:
    text = {
        "UTF-16": right_text(source).decode().encode("utf-16"),
        "no text": b"\xe2\x82\xff" * 1000,
        "nested": b"[" * 200_000,
    }[how]
    for form in source.forms:
        source.server.behave(form, Behaviour(body=packed(form, text), etag='"odd"'))
    keeps_everything(source, running)


def test_N11_a_file_that_drips_is_one_failure(
    source: Source, active: Mirror, settings: LazySettings
) -> None:
    patient = settings.UPSTREAM_LIMITS
    settings.UPSTREAM_LIMITS = replace(
        patient, min_rate=1 << 30, rate_window=0.05, read_timeout=0.05, retries=0
    )
    slow = Behaviour(hold_at=5)
    source.server.behave(source.file, slow)
    done = scene.run_now(active)
    slow.release()
    assert (done.state, done.counts["failed"]) == ("completed", 1)
    assert source.filename not in listed(active.channel)
    invariants.check(active.channel)
    settings.UPSTREAM_LIMITS = patient
    recovers(source, active)


def test_N08_a_file_that_redirects_inside_is_one_failure(source: Source, active: Mirror) -> None:
    with FakeUpstream({"/x": b"inner"}) as inner:
        source.server.behave(source.file, redirecting(f"{inner.url}/x"))
        assert scene.run_now(active).counts["failed"] == 1
        assert inner.count() == 0
    invariants.check(active.channel)
    recovers(source, active)


@pytest.mark.parametrize("status", [429, 503])
def test_N10_a_busy_upstream_is_waited_for(source: Source, active: Mirror, status: int) -> None:
    for path in (source.index, source.file):
        source.server.behave(path, failing(status, retry_after="0", times=1))
    done = scene.run_now(active)
    assert (done.state, done.counts["active"]) == ("completed", FILES), done.error
    invariants.check(active.channel)


def test_N15_files_that_change_while_a_run_fetches_are_of_one_index(
    source: Source, active: Mirror
) -> None:
    """The plan is one index: a file that is of a newer one fails, and the next run has it."""
    right = source.bytes()
    source.server.behave(source.file, Behaviour(body=right[::-1], etag='"newer"'))
    done = scene.run_now(active)
    assert (done.counts["active"], done.counts["failed"]) == (FILES - 1, 1)
    assert source.filename not in listed(active.channel)
    assert not Blob.objects.filter(pk=hashlib.sha256(right[::-1]).hexdigest()).exists()
    invariants.check(active.channel)
    recovers(source, active)


def run_while_the_index_is_replaced(source: Source, mirror: Mirror, file: bytes = b"") -> Run:
    """A run whose index is on its way while the upstream replaces `source.file`.

    `file`: what lies there afterwards, where it is not what the new index says.
    """
    held = Behaviour(hold_at=10, times=1)
    source.server.behave(source.index, held)
    row = run_control.request_run(mirror, cause="manual", actor="admin")

    def work() -> None:
        try:
            execute.execute(row.pk, interrupted=lambda: False)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        assert held.held.wait(60)
        source.rebuild()
        if file:
            source.server.set(source.file, file)
        held.release()
        working.result()
    row.refresh_from_db()
    assert row.state == "completed", row.error
    return row


def test_N15_an_index_that_is_replaced_while_it_is_sent_is_the_old_one_whole(
    source: Source, active: Mirror
) -> None:
    """Upstream's new bytes are read once more, and come with the new index only."""
    old = source.bytes()
    done = run_while_the_index_is_replaced(source, active)
    assert (done.outcome, done.counts["active"], done.counts["failed"]) == ("errors", FILES - 1, 1)
    assert source.server.count(source.file) == 2, "read once more, past all caches"
    assert source.filename not in listed(active.channel)
    assert not Blob.objects.filter(pk=hashlib.sha256(source.bytes()).hexdigest()).exists()
    invariants.check(active.channel)
    recovers(source, active)
    assert get(source) == (200, source.bytes())
    assert source.bytes() != old


def test_N15_files_of_the_old_index_are_taken_though_the_new_one_is_out(
    source: Source, active: Mirror
) -> None:
    old = source.bytes()
    done = run_while_the_index_is_replaced(source, active, file=old)
    assert (done.outcome, done.counts["active"]) == ("ok", FILES), done.failures.first()
    assert get(source) == (200, old)
    invariants.check(active.channel)


def test_N15_while_an_index_is_held_files_of_a_newer_one_are_not_mixed_into_the_old(
    source: Source, active: Mirror
) -> None:
    """What the guard holds is not planned from: a file that is missing is one of the old index."""
    old = source.bytes()
    source.server.behave(source.file, failing(404))
    assert scene.run_now(active).counts["failed"] == 1
    source.server.behave(source.file)
    before = invariants.served(active.channel)
    source.rebuild()
    source.unlist()
    held = scene.run_now(active)
    assert (held.state, held.outcome, bool(held.held)) == ("completed", "errors", True), held.error
    assert (held.counts["active"], held.counts["failed"]) == (FILES - 1, 1)
    assert invariants.served(active.channel) == before
    assert not Blob.objects.filter(pk=hashlib.sha256(source.bytes()).hexdigest()).exists()
    invariants.check(active.channel)
    # What the old index says is still taken where the upstream gives it.
    source.server.set(source.file, old)
    held = scene.run_now(active)
    assert (held.outcome, bool(held.held), held.counts["active"]) == ("held", True, FILES)
    assert get(source) == (200, old)
    invariants.check(active.channel)


def test_N17_bytes_of_another_generation_never_replace_what_is_here(
    source: Source, running: Mirror
) -> None:
    source.server.behave(source.file, Behaviour(body=source.bytes()[::-1]))
    done = scene.run_now(running)
    assert (done.state, done.counts["failed"]) == ("completed", 0)
    assert get(source) == (200, source.bytes())
    invariants.check(running.channel)


def test_N18_an_upstream_that_is_suddenly_empty_is_held(source: Source, running: Mirror) -> None:
    before = listed(running.channel)
    source.unlist()
    held = scene.run_now(running)
    running.refresh_from_db()
    assert held.state in ("completed", "failed")
    assert running.held or held.error
    assert listed(running.channel) == before
    invariants.check(running.channel)
    if running.held:
        run_control.release(running, actor="admin")
        scene.publish(running.channel)
        assert source.filename not in listed(running.channel)
        invariants.check(running.channel)


@pytest.mark.parametrize("wrong", ["equal length", "short", "empty"])
def test_P02_wrong_bytes_are_not_given_and_not_kept(
    source: Source, passive: Mirror, wrong: str
) -> None:
    right = source.bytes()
    body = {"equal length": right[:-1] + bytes([right[-1] ^ 1]), "short": b"x", "empty": b""}[wrong]
    source.server.behave(source.file, Behaviour(body=body))
    answer = Client(application).get(f"/api/repo/main/{source.path}")
    assert answer.status == 502
    assert source.filename in answer.detail
    assert not Blob.objects.filter(file=True).exists()
    invariants.check(passive.channel)
    source.server.behave(source.file)
    Refusal.objects.all().delete()
    assert get(source) == (200, right)
    invariants.check(passive.channel, fetch=True)


def test_P04_without_the_upstream_an_active_channel_gives_everything(
    source: Source, active: Mirror
) -> None:
    scene.run_now(active)
    source.server.stop()
    assert get(source)[0] == 200
    invariants.check(active.channel, fetch=True)


def test_P04_without_the_upstream_a_passive_channel_says_so(
    source: Source, passive: Mirror
) -> None:
    source.server.stop()
    for _ in range(3):
        answer = Client(application).get(f"/api/repo/main/{source.path}")
        assert answer.status == 502
        assert "could not be fetched from the upstream" in answer.detail
    assert Refusal.objects.count() == 1
    invariants.check(passive.channel)


def test_P05_a_storm_of_misses_asks_no_upstream_and_hits_go_on(
    source: Source, passive: Mirror
) -> None:
    client = Client(application)
    missing = f"/api/repo/main/{source.path}".replace("1.16.0", "9.9.9")
    first = client.get(missing)
    assert (first.status, source.server.count()) == (404, 0)
    with CaptureQueriesContext(connection) as asked:
        for _ in range(20):
            assert client.get(missing).body == first.body
    assert len(asked) <= 20, "one look at the generation each, at most"
    assert source.server.count() == 0
    assert get(source) == (200, source.bytes())
    invariants.check(passive.channel)


def test_P06_asking_about_a_file_fetches_nothing(source: Source, passive: Mirror) -> None:
    client = Client(application)
    head = client.head(f"/api/repo/main/{source.path}")
    assert (head.status, source.server.count()) == (200, 0)
    whole = client.get(f"/api/repo/main/{source.path}")
    part = client.get(f"/api/repo/main/{source.path}", range="bytes=-10")
    assert (part.status, part.body) == (206, whole.body[-10:])
    assert source.server.count(source.file) == 1
    invariants.check(passive.channel)


@pytest.mark.parametrize("who", ["mirror", "channel"])
def test_P08_what_a_rule_refuses_is_in_no_index_and_at_no_address(
    source: Source, passive: Mirror, who: str
) -> None:
    assert get(source)[0] == 200
    if who == "mirror":
        terms = {"filters": {**source.body.get("filters", {}), "exclude_specs": [source.name]}}
        services.edit(passive, terms, actor="admin")
    else:
        terms = {"filters": {"exclude_specs": [source.name]}}
        channel_manage.edit(passive.channel, terms, actor="admin")
    scene.publish(passive.channel)
    answer = Client(application).get(f"/api/repo/main/{source.path}")
    assert answer.status == 404
    assert "left out by" in answer.detail
    assert source.filename not in listed(passive.channel)
    invariants.check(passive.channel, fetch=True)
