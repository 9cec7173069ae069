"""What people do with mirrors."""

from __future__ import annotations

import pytest

from channels import services as channel_manage
from channels.errors import Stale, WrongState
from channels.models import Channel, Generation
from history.models import Event
from mirrors import form_warnings, run_control, services
from mirrors.models import Mirror
from tests import scene
from tests.mirrors.mirror_forms import SOURCE, make_mirror, requested_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed_upstreams")]


def test_a_mirror_gets_the_defaults_of_the_form(channel: Channel) -> None:
    mirror = make_mirror(channel)
    assert (mirror.mode, mirror.kind, mirror.cron) == ("passive", "conda", "0 0 1 * *")
    assert mirror.cron_timezone == "UTC"
    assert mirror.next_run_at is not None
    assert (mirror.next_run_at.day, mirror.next_run_at.hour) == (1, 0)
    assert not mirror.runs.exists()
    event = Event.objects.get(type="mirror_created")
    assert (event.mirror_id, event.actor) == (mirror.pk, "admin")
    assert event.meta["after"]["source_root"] == SOURCE


def test_run_now_makes_a_pending_run(channel: Channel) -> None:
    assert make_mirror(channel, run_now=True).runs.get().state == "pending"


def test_a_mirrors_name_is_unique_on_the_server_and_free_after_deletion(channel: Channel) -> None:
    mirror = make_mirror(channel, "approved software")
    other = scene.channel("other")
    with pytest.raises(WrongState, match="exists on this server"):
        make_mirror(other, "approved software")
    services.delete(mirror, actor="ann")
    again = make_mirror(other, "approved software")
    services.delete(again, actor="ann")
    assert make_mirror(channel, "approved software").name == "approved software"


def test_an_edit_keeps_what_it_does_not_name_and_replaces_filters_whole(channel: Channel) -> None:
    mirror = make_mirror(channel, filters={"subdirs": ["noarch"], "exclude_specs": ["zlib"]})
    before, generation = requested_version(channel), Generation.objects.get(pk=1).number
    mirror = services.edit(mirror, {"filters": {"exclude_specs": ["six"]}}, actor="ann")
    assert mirror.filter.terms["subdirs"] == []
    assert mirror.filter.terms["exclude_specs"] == ["six"]
    assert (mirror.name, mirror.cron, mirror.upstream.url) == ("m", "0 0 1 * *", SOURCE)
    assert requested_version(channel) > before
    assert Generation.objects.get(pk=1).number > generation
    event = Event.objects.get(type="mirror_updated")
    assert event.meta["before"]["filters"]["exclude_specs"] == ["zlib"]
    assert event.meta["after"]["filters"]["exclude_specs"] == ["six"]
    assert not mirror.skip_guard


def test_a_changed_source_skips_the_guard_once_and_drops_the_hold(channel: Channel) -> None:
    mirror = make_mirror(channel)
    Mirror.objects.update(held={"noarch": {"snapshot": None, "reason": "It is empty."}})
    mirror = services.edit(mirror, {"source_root": SOURCE}, actor="ann")
    assert mirror.held
    mirror = services.edit(mirror, {"source_root": SOURCE + "2"}, actor="ann")
    assert mirror.skip_guard
    assert mirror.held == {}


def test_run_now_during_a_run_asks_for_one_more(channel: Channel) -> None:
    mirror = make_mirror(channel, run_now=True)
    mirror = services.edit(mirror, {"run_now": True}, actor="ann")
    assert mirror.run_again
    assert mirror.runs.count() == 1


def test_an_edit_of_an_older_version_is_refused(channel: Channel) -> None:
    mirror = make_mirror(channel)
    services.edit(mirror, {"cron": "0 1 * * *"}, actor="ann", expected=1)
    with pytest.raises(Stale):
        services.edit(mirror, {"cron": "0 2 * * *"}, actor="bob", expected=1)


def test_deleting_a_mirror_stops_its_run_and_takes_its_packages(channel: Channel) -> None:
    mirror = make_mirror(channel, run_now=True)
    before = requested_version(channel)
    services.delete(mirror, actor="ann")
    mirror.refresh_from_db()
    assert mirror.deleted_at
    assert mirror.next_run_at is None
    assert mirror.runs.get().state == "stopped"
    assert requested_version(channel) > before
    event = Event.objects.get(type="mirror_deleted")
    assert event.data["mirror"] == "m"
    with pytest.raises(WrongState, match="deleted"):
        services.edit(mirror, {"cron": "0 1 * * *"}, actor="ann")
    with pytest.raises(WrongState):
        run_control.request_run(mirror, cause="manual", actor="ann")


def test_deleting_a_channel_deletes_its_mirrors(channel: Channel) -> None:
    mirror = make_mirror(channel, run_now=True)
    services.delete_channel(channel, actor="ann")
    mirror.refresh_from_db()
    assert mirror.deleted_at
    assert not Channel.objects.filter(deleted_at=None).exists()


def test_a_form_that_will_disappoint_is_saved_with_a_warning(channel: Channel) -> None:
    mirror = make_mirror(channel, filters={"subdirs": ["linux-64"]}, cron="0 * * * *")
    assert len(mirror.warnings) == 2
    assert "noarch" in mirror.warnings[0]
    assert "more often than daily" in mirror.warnings[1]
    channel_manage.edit(channel, {"filters": {"types": ["cran"]}}, actor="ann")
    channel.refresh_from_db()
    form_warnings.update_for_channel(channel)
    mirror.refresh_from_db()
    assert "allows only the types CRAN" in mirror.warnings[0]


def test_a_hundred_thousand_specs_in_one_body_are_fine(channel: Channel) -> None:
    specs = [f"package-{number}" for number in range(100_000)]
    mirror = make_mirror(channel, filters={"only_specs": specs})
    assert len(mirror.filter.terms["only_specs"]) == 100_000
    told = Event.objects.get(type="mirror_created").meta["after"]["filters"]["only_specs"]
    assert (len(told), told[-1]) == (101, "and 99,900 more")
