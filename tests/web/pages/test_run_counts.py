"""The counts of a run add up, and lead to the lists behind them."""

from __future__ import annotations

import pytest

from channels.models import Channel
from history.models import Event
from mirrors.models import Run
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import failing
from tests.web.pages.mirror_pages import TAB, browser, text
from web.pages.run_counts import file_summary

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_details_of_a_run_add_up_and_link_to_their_lists(
    channel: Channel, conda: FakeConda
) -> None:
    mirror = scene.mirror(
        channel, conda.channel, "m", filters={"exclude_licenses": ["GPL3"], "keep_legacy": True}
    )
    scene.run_now(mirror)
    client = browser()
    page = text(client.get(f"{TAB}{mirror.pk}/runs/1/"))
    for words in ("Mirroring Details", "Completed", "Excluded licenses", "Total", "On demand"):
        assert words in page
    summary = file_summary(mirror.runs.get(), None)
    assert summary
    assert summary.sum == summary.listed.count == 3
    assert "hx-trigger" not in page
    assert text(client.get(f"{TAB}{mirror.pk}/")).count("Mirroring Details") >= 1
    listed = text(client.get(f"{TAB}{mirror.pk}/runs/1/files/?reason=mirror.license"))
    assert "copied-1.0-0.conda" in listed
    assert "six-1.16.0" not in listed
    assert "GPL" in listed
    both = text(client.get(f"{TAB}{mirror.pk}/runs/1/files/?reason=mirror."))
    assert "copied-1.0-0.conda" in both
    assert client.get(f"{TAB}{mirror.pk}/runs/7/").status_code == 404


def test_details_tell_what_a_run_downloaded_from_what_was_here(
    channel: Channel, conda: FakeConda
) -> None:
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    scene.run_now(mirror)
    conda.add("noarch", "later", "1.0")
    conda.publish()
    scene.run_now(mirror)
    first, second = mirror.runs.order_by("number")

    def mirrored(run: Run) -> dict[str, int]:
        found = file_summary(run, None)
        assert found
        assert found.sum == found.listed.count
        return {part.label: part.count for stage in found.stages for part in stage.parts}

    assert mirrored(first) == {"Downloaded by this run": 3}
    assert mirrored(second) == {"Downloaded by this run": 1, "Already downloaded": 3}
    page = text(browser().get(f"{TAB}{mirror.pk}/runs/2/"))
    assert "Already downloaded" in page
    assert "+1" in page  # listed one more than the run before
    compared = file_summary(second, first)
    assert compared
    assert [one.change for one in compared.changes] == ["", "", ""]  # two fewer added says nothing


def test_details_and_history_tell_what_a_run_changed_and_what_stays(
    channel: Channel, conda: FakeConda
) -> None:
    gone = conda.add("noarch", "gone", "1.0")
    conda.add("noarch", "same", "1.0")
    conda.publish()
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    scene.run_now(mirror)
    conda.drop("noarch", gone)
    conda.add("noarch", "same", "1.0", payload=500)
    new = [conda.add("noarch", name, "1.0") for name in ("new", "newer")]
    conda.publish()
    for name in new:
        conda.behave(conda.path("noarch", name), failing(404, times=1))

    def changed(run: Run) -> dict[str, int]:
        found = file_summary(run, None)
        assert found
        return {one.reason or one.label: one.count for one in (*found.changes, found.stays)}

    def page(run: Run) -> str:
        return text(browser().get(f"{TAB}{mirror.pk}/runs/{run.number}/"))

    run = scene.run_now(mirror)
    kept = "Kept although the source removed it"
    assert changed(run) == {
        "Added to the channel": 0,
        "replaced": 1,
        "Removed from the channel": 0,
        "stays": 1,
    }
    assert kept in page(run)
    run = scene.run_now(mirror)
    assert changed(run) == {"added": 2, "Replaced in the channel": 0, "removed": 1, kept: 0}
    shown = page(run)
    assert kept not in shown
    assert [f"#{one}" in shown for one in ("added", "replaced", "removed")] == [True, False, True]
    told = Event.objects.filter(type="mirror_completed", run_id=run.pk).get().meta["counts"]
    assert [told[key] for key in ("added", "replaced", "removed")] == [2, 0, 1]


def test_what_a_run_removed_is_listed_by_the_difference_of_its_revisions(
    channel: Channel, conda: FakeConda
) -> None:
    mirror = scene.mirror(channel, conda.channel, "m", filters={"keep_legacy": True})
    scene.run_now(mirror)
    conda.drop("noarch", "six-1.16.0-0.conda")
    conda.publish()
    run = scene.run_now(mirror)
    client = browser()
    before, after = run.counts["revisions"]
    address = f"/channels/main/revisions/{before}..{after}/"
    assert f'href="{address}#removed">1</a>' in text(client.get(f"{TAB}{mirror.pk}/"))
    assert "six-1.16.0-0.conda" in text(client.get(address))
    channel.revisions.filter(number=before).delete()
    assert address not in text(client.get(f"{TAB}{mirror.pk}/"))
