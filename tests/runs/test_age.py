"""Minimum age in mirrors of each type: what counts as a file's time, and what appears by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels.models import Channel
from mirrors.models import FileAppearance, Mirror, Run
from publishing import explain
from runs import execute
from tests import scene
from tests.condatree import FakeConda
from tests.crantree import FakeCran
from tests.runs import test_cran, test_python
from tests.simpletree import FakeSimple
from workers import dispatch

pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
WEEK = {"minimum_age_days": 7}
Travel = Callable[[float], datetime]


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Travel:
    """Sets the clock to so many days after the start."""

    def travel(days: float) -> datetime:
        now = START + timedelta(days=days)
        monkeypatch.setattr(timezone, "now", lambda: now)
        return now

    travel(0)
    return travel


@pytest.fixture
def conda(settings: Any) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("noarch", "a", "1.0")
        server.publish()
        yield server


@pytest.fixture
def simple(settings: Any) -> Iterator[FakeSimple]:
    with FakeSimple() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        yield server


@pytest.fixture
def cran(settings: Any) -> Iterator[FakeCran]:
    with FakeCran() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        yield server


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def round_of_dispatcher(channel: Channel) -> None:
    """What a worker does every few seconds, with the runs and publications that it begins."""
    dispatch.dispatch_round()
    channel.refresh_from_db()
    scene.publish(channel)
    for run in Run.objects.filter(state="pending"):
        execute.execute(run.pk, interrupted=lambda: False)
    channel.refresh_from_db()


def filtered(mirror: Mirror) -> dict[str, int]:
    counts: dict[str, int] = Mirror.objects.get(pk=mirror.pk).counts["mirror_filtered"]
    return counts


def test_a_conda_file_that_appears_is_listed_once_it_is_old_enough(
    conda: FakeConda, after: Travel
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active", filters=WEEK)
    scene.run_now(mirror)
    # It was there at the first run, and was built long before.
    assert set(scene.listed(channel)) == {"a-1.0-0.conda"}
    assert "indexed_timestamp" not in scene.listed(channel)["a-1.0-0.conda"]
    appeared = after(1)
    # A build time can be forged: it does not make the file older.
    conda.add("noarch", "a", "2.0")
    conda.publish()
    scene.run_now(mirror)
    assert set(scene.listed(channel)) == {"a-1.0-0.conda"}
    assert filtered(mirror) == {"minimum_age": 1}
    channel.refresh_from_db()
    assert channel.next_judge_at == appeared + timedelta(days=7)
    [_, answer] = explain.why(channel, "a").items
    assert (answer["by"], answer["rule"]) == ("mirror", "minimum_age")
    assert answer["detail"] == (
        "was first seen here on 2026-11-02 12:00 UTC, and is let through once it is 7 days old, "
        "on 2026-11-09 12:00 UTC"
    )
    refusal = explain.verdict(channel, "noarch", "a-2.0-0.conda")
    assert refusal is not None
    assert "first seen here on 2026-11-02" in refusal.message
    after(7.9)
    round_of_dispatcher(channel)
    assert set(scene.listed(channel)) == {"a-1.0-0.conda"}
    after(8)
    round_of_dispatcher(channel)
    assert set(scene.listed(channel)) == {"a-1.0-0.conda", "a-2.0-0.conda"}
    assert scene.listed(channel)["a-2.0-0.conda"]["indexed_timestamp"] == ms(appeared)
    assert channel.next_judge_at is None
    last = mirror.runs.order_by("-number")[0]
    assert (last.cause, last.asked_by) == ("age", "files that became old enough")


def test_a_time_that_the_server_states_counts_and_stays(conda: FakeConda, after: Travel) -> None:
    long_ago = ms(START) - 90 * 86_400_000
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, filters=WEEK)
    scene.run_now(mirror)
    after(1)
    conda.add("noarch", "b", "1.0", extra={"indexed_timestamp": long_ago})
    conda.add("noarch", "c", "1.0", extra={"indexed_timestamp": ms(START)}, timestamp=1)
    conda.publish()
    scene.run_now(mirror)
    listed = scene.listed(channel)
    assert set(listed) == {"a-1.0-0.conda", "b-1.0-0.conda"}
    assert listed["b-1.0-0.conda"]["indexed_timestamp"] == long_ago
    assert not FileAppearance.objects.exists()


def test_our_time_of_a_file_never_changes_though_the_mirror_is_made_anew(
    conda: FakeConda, after: Travel
) -> None:
    channel = scene.channel()
    first = scene.mirror(channel, conda.channel)
    scene.run_now(first)
    appeared = after(1)
    conda.add("noarch", "b", "1.0")
    conda.publish()
    scene.run_now(first)
    after(5)
    conda.add("noarch", "b", "2.0")
    conda.publish()
    scene.run_now(first)
    other = scene.channel("other")
    scene.run_now(scene.mirror(other, conda.channel))
    for listing in (scene.listed(channel), scene.listed(other)):
        assert listing["b-1.0-0.conda"]["indexed_timestamp"] == ms(appeared)
        assert listing["b-2.0-0.conda"]["indexed_timestamp"] == ms(START + timedelta(days=5))
        assert "indexed_timestamp" not in listing["a-1.0-0.conda"]
    assert FileAppearance.objects.count() == 2


def test_python_files_without_an_upload_time_get_the_day_on_which_we_first_saw_them(
    simple: FakeSimple, after: Travel
) -> None:
    unsaid: dict[str, Any] = {"upload-time": None}
    simple.add_sdist("six", "1.0", **unsaid)
    simple.add_sdist("six", "1.1", **{"upload-time": "2020-01-02T03:04:05.000006Z"})
    simple.publish()
    channel = scene.channel()
    mirror = test_python.mirror(channel, simple, filters={"projects": ["six"], **WEEK})
    scene.run_now(mirror)
    assert [file["filename"] for file in test_python.page(channel, "six")["files"]] == [
        "six-1.1.tar.gz"
    ]
    after(3)
    simple.add_sdist("six", "1.2", **unsaid)
    simple.publish()
    scene.run_now(mirror)
    after(7)
    round_of_dispatcher(channel)
    files = {file["filename"]: file for file in test_python.page(channel, "six")["files"]}
    assert files["six-1.0.tar.gz"]["upload-time"] == "2026-11-01T12:00:00.000Z"
    assert files["six-1.1.tar.gz"]["upload-time"] == "2020-01-02T03:04:05.000006Z"
    assert set(files) == {"six-1.0.tar.gz", "six-1.1.tar.gz"}
    after(10)
    round_of_dispatcher(channel)
    files = {file["filename"]: file for file in test_python.page(channel, "six")["files"]}
    assert files["six-1.2.tar.gz"]["upload-time"] == "2026-11-04T12:00:00.000Z"


def test_r_counts_from_publication_and_else_from_the_day_on_which_we_first_saw_the_file(
    cran: FakeCran, after: Travel
) -> None:
    published = int(START.timestamp()) - 86_400
    cran.add("aa", "1.0")
    cran.add("bb", "1.0", time=published)
    cran.publish()
    channel = scene.channel()
    mirror = test_cran.mirror(channel, cran, filters=WEEK)
    scene.run_now(mirror)
    assert set(test_cran.listed(channel)) == {"aa_1.0"}
    after(6)
    round_of_dispatcher(channel)
    assert set(test_cran.listed(channel)) == {"aa_1.0", "bb_1.0"}


def test_a_channels_age_holds_for_its_mirrors_and_an_exception_lets_one_package_through(
    conda: FakeConda, after: Travel
) -> None:
    exceptions = [{"spec": "b", "expires_at": "2026-11-03"}]
    channel = scene.channel(filters={**WEEK, "age_exceptions": exceptions})
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    after(1)
    conda.add("noarch", "b", "1.0")
    conda.add("noarch", "c", "1.0")
    conda.publish()
    scene.run_now(mirror)
    assert set(scene.listed(channel)) == {"a-1.0-0.conda", "b-1.0-0.conda"}
    [answer] = explain.why(channel, "b").items
    assert answer["detail"] == (
        "It is younger than the minimum age, and let through because the exception b names it."
    )
    # The exception has ended, at the end of its last day.
    after(2.5)
    round_of_dispatcher(channel)
    assert set(scene.listed(channel)) == {"a-1.0-0.conda"}
    after(8)
    round_of_dispatcher(channel)
    assert len(scene.listed(channel)) == 3


def test_a_record_that_is_signed_stays_as_it_was_signed(conda: FakeConda, after: Travel) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    scene.run_now(mirror)
    after(1)
    filename = conda.add("noarch", "b", "1.0")
    signed = {filename: {"key": {"signature": "ab" * 32}}}
    conda.publish(extra={"signatures": signed})
    scene.run_now(mirror)
    assert scene.listed(channel)[filename] == conda.record("noarch", filename)
