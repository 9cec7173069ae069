"""Publications: what changed is judged, what clients see is today's judgement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from unittest import mock

import pytest
from django.conf import LazySettings

from channels import blobs, rollback
from channels import services as channel_manage
from channels.models import Blob, Channel, Package, Publication, Revision, Shard
from history.models import Event
from mirrors import run_control, services
from mirrors.models import AcceptedSnapshot, Mirror, Run, Snapshot
from publishing import judge, publish
from runs import execute
from runs.context import RunContext
from tests import invariants, scene
from tests.condatree import FakeConda
from tests.rogue import failing

pytestmark = pytest.mark.django_db(transaction=True)

PUBLISH = 7
"""The step in which a run sees to it that its channel is published."""


def filtered(mirror: Mirror, **terms: object) -> None:
    services.edit(mirror, {"filters": terms}, actor="admin")
    mirror.refresh_from_db()


def test_an_edit_acts_without_a_run_and_can_be_withdrawn(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    small.forget()
    filtered(mirror, exclude_specs=["six"])
    scene.publish(channel)
    assert scene.listed(channel) == {}
    invariants.check(channel)
    filtered(mirror)
    scene.publish(channel)
    assert invariants.served(channel) == before
    assert small.count() == 0
    invariants.check(channel)


def test_what_a_wider_channel_filter_lets_in_is_downloaded_by_the_next_run(
    small: FakeConda,
) -> None:
    channel = scene.channel(filters={"exclude_specs": ["zlib"]})
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    assert scene.run_now(mirror).counts["channel_filtered"] == {"exclude_specs": 1}
    channel_manage.edit(channel, {"filters": {}}, actor="admin")
    scene.publish(channel)
    assert "zlib-1.3-0.conda" not in scene.listed(channel, "linux-64")
    done = scene.run_now(mirror)
    assert (done.counts["active"], done.counts["channel_filtered"]) == (4, {})
    assert "zlib-1.3-0.conda" in scene.listed(channel, "linux-64")
    invariants.check(channel)


def test_a_run_that_finds_nothing_new_counts_by_todays_rules(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    channel_manage.edit(channel, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    scene.publish(channel)
    again = scene.run_now(mirror)
    assert (again.counts["passive"], again.counts["channel_filtered"]) == (3, {"exclude_specs": 1})
    assert "Nothing has changed since the last run." in again.log.values_list("text", flat=True)
    invariants.check(channel)


def test_what_a_worker_publishes_for_a_run_is_told_as_the_runs(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, "m")
    scene.run_now(mirror)
    small.add("noarch", "later", "1.0")
    small.publish()
    row = run_control.request_run(mirror, cause="manual", actor="admin")

    def publishing(self: RunContext, number: int) -> None:
        if number == PUBLISH:
            scene.publish(channel)
        step(self, number)

    step = RunContext.step
    with mock.patch.object(RunContext, "step", publishing):
        execute.execute(row.pk, interrupted=lambda: False)
    told = Event.objects.get(type="artifact_registered", data__name="later")
    assert (told.run_id, told.folded) == (row.pk, True)
    reasons = channel.revisions.order_by("number").values_list("reason", flat=True)
    assert list(reasons) == ["Channel created", "Run 1 of m", "Run 2 of m"]


def test_what_two_runs_publish_together_is_told_as_neither(small: FakeConda) -> None:
    channel = scene.channel()
    mirrors = [scene.mirror(channel, small.channel, name) for name in ("one", "two")]
    scene.run_now(mirrors[0])
    channel_manage.edit(channel, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    for mirror in mirrors:
        row = run_control.request_run(mirror, cause="manual", actor="admin")
        Run.objects.filter(pk=row.pk).update(
            state="running", requested_version=channel.request_publication()
        )
    scene.publish(channel)
    assert channel.revisions.get(number=channel.current).reason == "Published"


def test_a_file_that_failed_is_fetched_by_the_next_run_of_an_unchanged_upstream(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    path = small.path("linux-64", "zlib-1.3-0.conda")
    small.behave(path, failing(404))
    assert scene.run_now(mirror).counts["failed"] == 1
    assert scene.run_now(mirror).counts["failed"] == 1
    small.behave(path)
    done = scene.run_now(mirror)
    assert (done.counts["failed"], done.counts["active"]) == (0, 4)
    assert len(scene.listed(channel, "linux-64")) == 2
    invariants.check(channel)


def test_only_names_that_changed_are_judged(
    small: FakeConda, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    asked: list[str] = []
    real = judge.apply_rules

    def noting(section: judge.SectionInputs, names: Sequence[str]) -> list[judge.PackageRecords]:
        asked.extend(names)
        return real(section, names)

    monkeypatch.setattr(judge, "apply_rules", noting)
    small.add("linux-64", "zlib", "1.4")
    small.publish()
    scene.run_now(mirror)
    assert asked == ["zlib"]
    assert len(scene.listed(channel, "linux-64")) == 3
    invariants.check(channel)


def test_a_publication_that_changes_nothing_writes_no_revision(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = [model.objects.count() for model in (Revision, Package, Shard, Blob)]
    filtered(mirror, exclude_specs=["nothing-of-this-name"])
    scene.publish(channel)
    assert [model.objects.count() for model in (Revision, Package, Shard, Blob)] == before
    assert channel.published_version == channel.requested_version
    invariants.check(channel)


def test_unfreezing_after_a_rollback_shows_todays_judgement(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    scene.run_now(mirror)
    first = invariants.served(channel)
    small.add("noarch", "six", "1.17.0")
    small.drop("linux-64", "zlib-1.3-0.conda")
    small.publish()
    scene.run_now(mirror)
    latest = invariants.served(channel)
    rollback.roll_back(Channel.objects.get(pk=channel.pk), 2, actor="admin")
    assert invariants.served(channel) == first
    invariants.check(channel)
    assert scene.run_now(mirror).state == "completed"
    assert invariants.served(channel) == first
    channel.refresh_from_db()
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert invariants.served(channel) == latest
    invariants.check(channel)


def test_a_rollback_to_before_a_file_arrived_finds_it_again(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, mirror_mode="active")
    path = small.path("noarch", "six-1.16.0-0.conda")
    small.behave(path, failing(404))
    scene.run_now(mirror)
    small.behave(path)
    scene.run_now(mirror)
    assert len(scene.listed(channel)) == 2
    rollback.roll_back(Channel.objects.get(pk=channel.pk), 2, actor="admin")
    assert len(scene.listed(channel)) == 1
    channel.refresh_from_db()
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert len(scene.listed(channel)) == 2
    invariants.check(channel)


def test_a_deleted_mirror_takes_its_packages_and_leaves_the_others(
    small: FakeConda, settings: LazySettings
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    with FakeConda() as second:
        settings.UPSTREAM_ALLOW = (small.url, second.url)
        second.add("osx-64", "zlib", "1.3")
        second.publish()
        scene.run_now(scene.mirror(channel, second.channel))
        services.delete(mirror, actor="admin")
        scene.publish(channel)
        assert set(scene.listed(channel, "osx-64")) == {"zlib-1.3-0.conda"}
        assert scene.listed(channel) == {}
        assert not Package.objects.at(channel.current).filter(section="linux-64").exists()
        invariants.check(channel)


def test_a_parents_filter_acts_in_its_subchannels(small: FakeConda) -> None:
    parent = scene.channel("parent")
    sub = scene.channel("sub", parent=parent)
    scene.run_now(scene.mirror(sub, small.channel))
    channel_manage.edit(parent, {"filters": {"exclude_specs": ["six"]}}, actor="admin")
    assert publish.wants(sub)
    scene.publish(sub)
    scene.publish(parent)
    assert scene.listed(sub) == {}
    invariants.check()


def test_a_publication_that_cannot_read_its_snapshot_fails_and_the_next_heals(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    before = invariants.served(channel)
    small.add("noarch", "six", "1.17.0")
    small.publish()
    pack = Snapshot.objects.get(section="noarch").pack_id
    path = blobs.path(pack)
    whole = path.read_bytes()
    path.unlink()
    services.edit(mirror, {"filters": {"exclude_specs": ["zlib"]}}, actor="admin")
    from publishing import inputs

    inputs._packs.clear()
    with pytest.raises(FileNotFoundError):
        publish.publish(channel, stop=lambda: None)
    assert Publication.objects.latest("pk").state == "failed"
    path.write_bytes(whole)
    assert invariants.served(channel) == before
    scene.publish(channel)
    assert set(scene.listed(channel, "linux-64")) == {"numpy-2.0-0.conda"}
    invariants.check(channel)


def test_a_file_listed_otherwise_is_replaced_in_every_form(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    small.change("linux-64", "numpy-2.0-0.conda", depends=["six", "zlib"])
    small.publish(removed=["numpy-1.0-0.conda"])
    scene.run_now(mirror)
    assert channel.revisions.get(number=3).replaced == 1
    assert scene.listed(channel, "linux-64")["numpy-2.0-0.conda"]["depends"] == ["six", "zlib"]
    assert AcceptedSnapshot.objects.count() == 2
    invariants.check(channel)


def test_a_frozen_channel_stays_and_tells_how_many_files_rules_would_change(
    small: FakeConda,
) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel)
    scene.run_now(mirror)
    channel.refresh_from_db()
    channel_manage.freeze(channel, actor="admin")
    before = invariants.served(channel)
    filtered(mirror, exclude_specs=["six"])
    scene.publish(channel)
    removed = len(small.records("noarch"))
    assert channel.pending_changes == {"added": 0, "replaced": 0, "removed": removed, "malware": 0}
    assert channel.requested_version > channel.published_version
    assert not publish.wants(channel)
    assert invariants.served(channel) == before
    channel_manage.unfreeze(channel, actor="admin")
    scene.publish(channel)
    assert channel.pending_changes == {}
    assert scene.listed(channel) == {}
    invariants.check(channel)


def test_what_a_run_lists_is_told_as_its_own(small: FakeConda) -> None:
    channel = scene.channel()
    run = scene.run_now(scene.mirror(channel, small.channel))
    events = Event.objects.filter(type="artifact_registered", channel_id=channel.pk)
    assert {event.run_id for event in events} == {run.pk}


def test_files_beside_the_index_change_without_any_record(small: FakeConda) -> None:
    channel = scene.channel()
    mirror = scene.mirror(channel, small.channel, filters={"exclude_specs": ["noise"]})

    def upstream_says(exports: str, summary: str) -> None:
        listed = {"zlib-1.3-0.conda": {"run_exports": {"weak": [exports]}}}
        body = {"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": listed}
        small.set(small.path("linux-64", "run_exports.json"), json.dumps(body).encode())
        packages = {"packages": {"zlib": {"summary": summary}}, "subdirs": ["linux-64"]}
        small.set(f"{small.root}/channeldata.json", json.dumps(packages).encode())
        # The index changes too, in what is left out of the channel.
        small.add("linux-64", "noise", exports)
        small.publish()
        scene.run_now(mirror)

    upstream_says("1", "old")
    upstream_says("2", "new")
    exports = json.loads(scene.document(channel, "linux-64", "run_exports.json"))
    assert exports["packages.conda"]["zlib-1.3-0.conda"]["run_exports"] == {"weak": ["2"]}
    summary = json.loads(scene.document(channel, "", "channeldata.json"))
    assert summary["packages"]["zlib"]["summary"] == "new"
    invariants.check(channel)
    revision = channel.current
    small.publish()
    scene.run_now(mirror)
    channel.refresh_from_db()
    assert channel.current == revision, "nothing that clients see is different"
