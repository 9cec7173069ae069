"""Runs as people and the clock ask for them: one at a time, stopped, begun again."""

from __future__ import annotations

import pytest

from channels.errors import WrongState
from channels.models import Channel
from history.models import Event
from mirrors import run_control
from mirrors.models import Mirror
from tests.mirrors.mirror_forms import make_mirror

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed_upstreams")]


def test_a_second_run_is_refused_and_names_the_first(channel: Channel) -> None:
    mirror = make_mirror(channel)
    first = run_control.request_run(mirror, cause="manual", actor="ann")
    with pytest.raises(WrongState, match="already going") as caught:
        run_control.request_run(mirror, cause="manual", actor="bob")
    assert caught.value.run_id == first.pk
    assert mirror.runs.count() == 1


def test_a_run_that_no_worker_has_begun_stops_at_once(channel: Channel) -> None:
    mirror = make_mirror(channel, run_now=True)
    run = run_control.stop(mirror, actor="ann")
    assert run is not None
    assert (run.state, run.ended_at is not None) == ("stopped", True)
    assert Event.objects.get(type="mirror_stopped").actor == "ann"
    assert run_control.stop(mirror, actor="ann") is None, "nothing runs any more"


def test_a_run_at_work_is_asked_to_stop_once_however_often_somebody_asks(channel: Channel) -> None:
    mirror = make_mirror(channel, run_now=True)
    mirror.runs.update(state="running")
    first, second = (run_control.stop(mirror, actor="ann") for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.state, second.state) == ("stopping", "stopping")
    assert second.stop_requested_at == first.stop_requested_at


def test_a_run_can_be_marked_as_stopped_only_after_a_while(channel: Channel) -> None:
    mirror = make_mirror(channel, run_now=True)
    mirror.runs.update(state="running")
    run = run_control.stop(mirror, actor="ann")
    assert run is not None
    with pytest.raises(WrongState, match="can be marked as stopped") as caught:
        run_control.mark_stopped(mirror, actor="ann")
    assert caught.value.run_id == run.pk
    assert run_control.active_run(mirror) == run


def test_only_a_stopped_mirror_is_restarted(channel: Channel) -> None:
    mirror = make_mirror(channel)
    with pytest.raises(WrongState, match="not run yet"):
        run_control.restart(mirror, actor="ann")
    run_control.request_run(mirror, cause="manual", actor="ann")
    with pytest.raises(WrongState, match="pending"):
        run_control.restart(mirror, actor="ann")
    run_control.stop(mirror, actor="ann")
    again = run_control.restart(mirror, actor="ann")
    assert (again.number, again.cause, again.state) == (2, "restart", "pending")


def test_a_requested_run_is_begun_by_the_first_who_comes(channel: Channel) -> None:
    mirror = make_mirror(channel)
    Mirror.objects.filter(pk=mirror.pk).update(run_again=True)
    for _ in range(2):
        run_control.start_requested_run(mirror)
    assert [run.cause for run in mirror.runs.all()] == ["edit"]
    assert not Mirror.objects.get(pk=mirror.pk).run_again


def test_nothing_that_is_not_held_is_released(channel: Channel) -> None:
    with pytest.raises(WrongState, match="is held"):
        run_control.release(make_mirror(channel), actor="ann")


def test_a_section_that_was_held_as_gone_goes_when_it_is_released(channel: Channel) -> None:
    mirror = make_mirror(channel)
    Mirror.objects.update(held={"noarch": {"snapshot": None, "reason": "It is gone."}})
    assert run_control.release(mirror, actor="ann") == ["noarch"]
    assert mirror.held == {}
    assert Event.objects.get(type="mirror_released").meta["held"]["noarch"]["snapshot"] is None
