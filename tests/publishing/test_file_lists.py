"""The files behind the numbers of a run, and why one file is (not) in a channel."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from channels.errors import WrongState
from channels.models import Channel
from mirrors import services
from mirrors.models import Mirror, Run, Snapshot
from publishing import explain, file_lists
from publishing.diff import compare
from publishing.download_plan import DownloadPlan
from publishing.inputs import gather
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.rogue import failing
from tests.wsgi import Client, application

pytestmark = pytest.mark.django_db(transaction=True)

LEFT_OUT = {"exclude_specs": ["six<1.16"], "exclude_licenses": ["gpl"]}


@pytest.fixture
def mirror(small: FakeConda) -> Mirror:
    channel = scene.channel(filters={"exclude_specs": ["zlib"]})
    return scene.mirror(channel, small.channel, mirror_mode="active", filters=LEFT_OUT)


@pytest.fixture
def done(small: FakeConda, mirror: Mirror) -> Run:
    small.add("noarch", "broken", "1")
    small.publish()
    small.behave(small.path("noarch", "broken-1-0.conda"), failing(404))
    return scene.run_now(mirror)


def test_the_lists_of_a_run_are_as_long_as_its_counts(done: Run) -> None:
    reasons = Counter(line.reason for line in file_lists.files(done))
    counts = done.counts
    assert reasons == {
        "active": counts["active"],
        "missing": counts["failed"],
        "mirror.exclude_specs": counts["mirror_filtered"]["exclude_specs"],
        "mirror.license": counts["mirror_filtered"]["license"],
        "channel.exclude_specs": counts["channel_filtered"]["exclude_specs"],
    }
    [failed] = file_lists.files(done, "failed")
    assert failed.filename == "broken-1-0.conda"
    assert "404" in failed.detail or "no such file" in failed.detail
    invariants.check()


def test_lists_are_of_the_filter_the_run_began_with(done: Run, mirror: Mirror) -> None:
    before = list(file_lists.files(done))
    services.edit(mirror, {"filters": {}}, actor="admin")
    scene.publish(mirror.channel)
    assert list(file_lists.files(done)) == before


def test_lists_of_snapshots_that_are_gone_say_so(done: Run) -> None:
    done.snapshots = {"noarch": 999_999}
    with pytest.raises(WrongState, match="no longer kept"):
        list(file_lists.files(done))
    assert Snapshot.objects.count() == 2


@pytest.mark.parametrize(
    ("query", "state", "rule"),
    [
        ("six-1.16.0-0.conda", "active", ""),
        ("six-1.15.0-0.tar.bz2", "left_out", "exclude_specs"),
        ("numpy", "left_out", "license"),
        ("ZLIB", "left_out", "exclude_specs"),
        ("broken", "missing", ""),
    ],
)
def test_why_says_what_the_lists_say(
    done: Run, mirror: Mirror, query: str, state: str, rule: str
) -> None:
    [answer] = explain.why(mirror.channel, query).items
    assert (answer["state"], answer["rule"]) == (state, rule)
    assert bool(answer["detail"]) is bool(rule)


def test_nobody_knows_why_of_what_no_upstream_lists(done: Run, mirror: Mirror) -> None:
    assert explain.why(mirror.channel, "unheard-of") == explain.Answers([])
    assert explain.why(mirror.channel, "six-9-0.conda") == explain.Answers([])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("noarch/six-1.15.0-0.tar.bz2", "left out by the filter of the mirror"),
        ("linux-64/zlib-1.3-0.conda", "left out by the channel's filter"),
        ("noarch/broken-1-0.conda", "has not downloaded it yet"),
        ("noarch/six-9-0.conda", "There is no six-9-0.conda"),
    ],
)
def test_a_clients_404_says_why(done: Run, mirror: Mirror, path: str, words: str) -> None:
    answer = Client(application).get(f"/api/repo/{mirror.channel.path}/{path}")
    assert answer.status == 404
    assert words in answer.detail


def test_what_is_compared_is_what_is_downloaded(
    small: FakeConda, mirror: Mirror, data: Path
) -> None:
    scene.run_now(mirror)
    small.add("noarch", "new", "1", payload=10)
    small.publish()
    scene.run_now(mirror)
    channel = Channel.objects.get(pk=mirror.channel_id)
    inputs = gather(channel)
    [ecosystem] = inputs.ecosystems()
    cases = [(inputs.section(ecosystem, one), None) for one in inputs.sections(ecosystem)]
    with DownloadPlan("test") as plan:
        found = compare(
            channel,
            cases,
            stop=lambda: None,
            progress=lambda _done, _total: None,
            mirror_id=mirror.pk,
            plan=plan,
        )
        assert (found.added, found.replaced, found.removed) == (0, 0, 0)
        assert (plan.files, list(plan)) == (0, [])
        assert found.kept_files == 2
    assert not plan.path.exists()
