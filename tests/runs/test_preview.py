"""Previews say what a run and its publication would do, and do nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels import services as channel_manage
from channels.models import Channel
from mirrors.models import Mirror, Preview, Snapshot
from runs import preview
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.rogue import failing

pytestmark = pytest.mark.django_db(transaction=True)


def previewed(channel: Channel, mirror: Mirror, *, new: bool = False, **terms: Any) -> Preview:
    """What the form shows for `mirror` with these filters."""
    asked = preview.request(
        channel,
        upstream=mirror.upstream,
        mode=mirror.mode,
        terms=terms,
        asker=scene.admin(),
        mirror=None if new else mirror,
    )
    preview.execute(asked.pk, interrupted=lambda: False)
    asked.refresh_from_db()
    return asked


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_a_preview_is_what_then_happens(small: FakeConda, mode: str) -> None:
    channel = scene.channel(filters={"exclude_specs": ["zlib"]})
    mirror = scene.mirror(
        channel, small.channel, mirror_mode=mode, filters={"exclude_licenses": ["gpl"]}
    )
    before = invariants.served(channel)
    asked = previewed(channel, mirror, exclude_licenses=["gpl"])
    assert (asked.state, asked.percent) == ("completed", 100)
    assert invariants.served(channel) == before
    done = scene.run_now(mirror)
    told = asked.result["count"]
    for key in ("mirror_filtered", "channel_filtered", "active_planned"):
        assert told[key] == done.counts[key], key
    revision = channel.revisions.get(number=2)
    assert (asked.result["added"], asked.result["removed"]) == (revision.added, revision.removed)
    assert asked.result["listed"] == done.counts["listed"] == 4
    invariants.check(channel)


def test_a_preview_of_an_edit_counts_what_it_takes_away(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    result = previewed(channel, mirror, subdirs=["noarch"], exclude_specs=["six<1.16"]).result
    assert (result["added"], result["replaced"]) == (0, 0)
    assert result["examples"]["removed"] == ["six-1.15.0-0.tar.bz2"]
    invariants.check(channel)


def test_a_second_mirror_is_previewed_behind_the_first(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    result = previewed(channel, mirror, new=True).result
    assert result["count"]["channel_filtered"] == {"duplicate": 4}
    assert (result["added"], result["removed"]) == (0, 0)


def test_a_preview_in_a_frozen_channel_compares_with_what_clients_see(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    channel_manage.freeze(channel, actor="admin")
    assert previewed(channel, mirror).result["added"] == 4
    invariants.check(channel)


def test_an_upstream_that_fails_is_told(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    small.behave("*", failing(403))
    asked = previewed(channel, mirror)
    assert asked.state == "failed"
    assert "403" in asked.error
    assert not Snapshot.objects.exists()


def test_N20_texts_that_a_database_cannot_store_are_told_all_the_same(small: FakeConda) -> None:
    index = json.loads(small.index("noarch"))
    record = small.record("noarch", "six-1.16.0-0.conda")
    index["packages.conda"]["six-1\x00-0.conda"] = record
    index["packages.conda"]["nul\x00-1-0.conda"] = record
    index["packages.conda"]["six-2.0-0.conda"] = {
        **record,
        "version": "2.0",
        "license": "GPL\x00-3.0",
    }
    small.set(small.path("noarch", "repodata.json"), json.dumps(index).encode())
    for form in (".zst", ".bz2"):
        small.remove(small.path("noarch", f"repodata.json{form}"))
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    asked = previewed(channel, mirror, exclude_licenses=["gpl", "other"])
    assert (asked.state, asked.error) == ("completed", "")
    assert asked.result["count"]["mirror_filtered"]["invalid"] == 2
    done = scene.run_now(mirror)
    assert (done.state, done.error) == ("completed", "")
    assert done.counts["mirror_filtered"] == {"invalid": 2}
    invariants.check(channel)


def test_cve_filters_are_previewed_with_the_word_that_they_do_nothing_yet(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    shown = previewed(channel, mirror, cve_score_threshold=5.0)
    assert any("CVE filters leave nothing out" in text for text in shown.result["warnings"])
    assert not any("CVE" in text for text in previewed(channel, mirror).result["warnings"])


def test_a_run_logs_that_its_cve_filters_do_nothing_yet(small: FakeConda) -> None:
    filters = {"exclude_non_curated_cve": True}
    run = scene.run_now(scene.mirror(scene.channel(), small.channel, filters=filters))
    lines = run.log.filter(level="warning").values_list("text", flat=True)
    assert any("CVE filters leave nothing out" in text for text in lines)
