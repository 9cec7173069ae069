"""Runs of mirrors, from the index to what clients see."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from channels import blobs
from channels.models import Blob, Package, Revision, Shard
from history.models import Event
from mirrors import run_control
from mirrors.models import Run
from runs.context import RunContext
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import failing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def conda(settings: object) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)  # type: ignore[attr-defined]
        server.add("noarch", "six", "1.16.0")
        server.add("noarch", "six", "1.15.0", ext=".tar.bz2")
        server.add("linux-64", "zlib", "1.3", license="Zlib")
        server.add("linux-64", "numpy", "2.0", depends=("six",), license="GPL-3.0-only")
        server.publish()
        yield server


def test_a_passive_run_lists_everything_and_downloads_nothing(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    run = scene.run_now(mirror)
    assert (run.state, run.error) == ("completed", "")
    assert set(scene.listed(channel)) == set(conda.records("noarch"))
    assert set(scene.listed(channel, "linux-64")) == set(conda.records("linux-64"))
    assert run.counts["passive"] == run.counts["listed"] == 4
    assert not Blob.objects.filter(file=True).exists()
    channel.refresh_from_db()
    assert channel.current == 2
    assert [step["number"] for step in run.steps] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_records_are_published_byte_for_byte(conda: FakeConda) -> None:
    channel = scene.channel()
    scene.run_now(scene.mirror(channel, conda.channel))
    published = scene.document(channel, "linux-64", "repodata.json").decode()
    for record in conda.records("linux-64").values():
        assert json.dumps(record, separators=(",", ":")) in published


def test_an_active_run_downloads_everything_verified(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, mirror_mode="active")
    run = scene.run_now(mirror)
    assert (run.state, run.error) == ("completed", "")
    assert run.counts["active"] == run.counts["active_planned"] == 4
    for subdir in ("noarch", "linux-64"):
        for record in scene.listed(channel, subdir).values():
            assert blobs.path(record["sha256"]).stat().st_size == record["size"]
    kinds = set(Event.objects.filter(channel_id=channel.pk).values_list("type", flat=True))
    assert {"artifact_registered", "artifact_generated", "mirror_completed"} <= kinds


def test_filters_leave_out_and_count_by_reason(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(
        channel,
        conda.channel,
        filters={"exclude_specs": ["six<1.16"], "exclude_licenses": ["gpl3"]},
    )
    run = scene.run_now(mirror)
    assert set(scene.listed(channel)) == {"six-1.16.0-0.conda"}
    assert set(scene.listed(channel, "linux-64")) == {"zlib-1.3-0.conda"}
    assert run.counts["mirror_filtered"] == {"exclude_specs": 1, "license": 1}
    assert run.counts["passive"] + scene.filtered(run.counts) == run.counts["listed"]


def test_a_run_that_finds_nothing_new_writes_nothing(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel)
    first = scene.run_now(mirror)

    def rows() -> list[int]:
        events = Event.objects.filter(type__startswith="artifact")
        return [
            m.count()
            for m in (Shard.objects, Package.objects, Revision.objects, Blob.objects, events)
        ]

    before = rows()
    again = scene.run_now(mirror)
    assert again.state == "completed"
    assert rows() == before
    assert again.counts == first.counts | {"added": 0, "revisions": []}


def last_line(run: Run) -> tuple[str, str]:
    line = run.log.latest("pk")
    return line.level, line.text


def test_the_log_ends_with_how_the_run_ended(conda: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, conda.channel, filters={"exclude_specs": ["zlib"]})
    assert last_line(scene.run_now(mirror)) == (
        "info",
        "Completed: 4 files listed, 3 mirrored, 0 failed;"
        " in the channel 3 added, 0 replaced, 0 removed.",
    )
    conda.stop()
    failed = scene.run_now(mirror)
    assert last_line(failed) == ("error", f"Failed: {failed.error}")


def test_the_log_says_that_files_failed_and_that_an_index_is_held(conda: FakeConda) -> None:
    mirror = scene.mirror(scene.channel(), conda.channel, mirror_mode="active")
    conda.behave(conda.path("linux-64", "zlib-1.3-0.conda"), failing(404, times=1))
    text = last_line(scene.run_now(mirror))[1]
    assert text.startswith("Completed with errors: 4 files listed, 3 mirrored, 1 failed;")
    scene.run_now(mirror)
    for filename in conda.records("linux-64"):
        conda.unlist("linux-64", filename)
    conda.publish()
    held = scene.run_now(mirror)
    texts = list(held.log.order_by("pk").values_list("text", flat=True))
    assert texts[-2] == "Nothing else has changed since the last run."
    assert texts[-1].startswith("Completed, with something held: 4 files listed,")


def test_the_log_of_a_stopped_run_ends_with_the_stop(
    conda: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RunContext.step

    def stopped_while_reading(self: RunContext, number: int) -> None:
        if number == 2:
            run_control.stop(self.run.mirror, actor="admin")
        step(self, number)

    monkeypatch.setattr(RunContext, "step", stopped_while_reading)
    run = scene.run_now(scene.mirror(scene.channel(), conda.channel))
    assert run.state == "stopped"
    assert last_line(run) == ("info", "Stopped.")
