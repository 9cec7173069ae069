"""Stop, restart, release, delete and retry: what the dialogs say, and what follows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from channels.models import Channel
from history.models import Event
from mirrors import run_control
from mirrors.models import Failure, Mirror, Run, StepTimes
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import failing
from tests.web.pages.mirror_pages import SOURCE, TAB, browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_a_run_that_does_not_stop_is_marked_as_stopped_after_ten_minutes(
    channel: Channel,
) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    asked = timezone.now() - Run.STUCK_AFTER + timedelta(minutes=1)
    going = Run.objects.filter(pk=run.pk)
    going.update(
        state="stopping",
        step=1,
        steps=[StepTimes(number=1, started=asked.isoformat(), ended=None)],
        stop_requested_at=asked,
    )
    client = browser()
    address = f"{TAB}{mirror.pk}/mark-stopped/"
    assert "10 minutes after it was asked" in text(client.post(address, follow=True))
    assert going.get().state == "stopping"

    going.update(stop_requested_at=timezone.now() - Run.STUCK_AFTER)
    assert "Mark m as stopped?" in text(client.get(address))
    assert "m marked as stopped." in text(client.post(address, follow=True))
    marked = going.get()
    assert (marked.state, marked.fence) == ("stopped", run.fence + 1)
    assert marked.steps[0]["ended"] == marked.ended_at.isoformat()
    event = Event.objects.get(type="mirror_stopped")
    assert (event.actor, event.run_id, event.meta["marked"]) == ("admin", run.pk, True)
    assert "10 minutes after it was asked" in text(client.post(address, follow=True))
    run_control.restart(mirror, actor="admin")


def test_stop_says_what_is_kept_and_answers_at_once(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    Run.objects.filter(pk=run.pk).update(state="running")
    client = browser()
    asked = text(client.get(f"{TAB}{mirror.pk}/stop/"))
    assert "Stop m?" in asked
    assert "are kept" in asked
    assert "Stop mirror</button>" in asked
    answer = client.post(f"{TAB}{mirror.pk}/stop/", follow=True)
    assert "Stopping" in text(answer)
    # Asked again when it has ended: no error, a sentence.
    Run.objects.filter(pk=run.pk).update(state="completed")
    assert "had already ended" in text(client.post(f"{TAB}{mirror.pk}/stop/", follow=True))


def test_restart_of_what_was_not_stopped_is_a_sentence(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    answer = browser().post(f"{TAB}{mirror.pk}/restart/", follow=True)
    assert "Only a stopped mirror can be restarted" in text(answer)


def test_the_dialog_comes_back_to_the_list_it_was_opened_in_and_to_no_other_host(
    channel: Channel,
) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    client = browser()
    back = client.post(f"{TAB}{mirror.pk}/stop/?next=/mirrors/%3Fstate%3Dfailed")
    assert back.headers["Location"] == f"/mirrors/?state=failed#mirror-{mirror.pk}"
    back = client.post(f"{TAB}{mirror.pk}/stop/?next=https://elsewhere.example/")
    assert back.headers["Location"] == f"{TAB}#mirror-{mirror.pk}"


def test_delete_names_what_is_lost(channel: Channel, conda: FakeConda) -> None:
    mirror = scene.mirror(channel, conda.channel, "m")
    scene.run_now(mirror)
    client = browser()
    asked = text(client.get(f"{TAB}{mirror.pk}/delete/"))
    assert "The 3 files it mirrored to main are removed from the channel" in asked
    assert client.post(f"{TAB}{mirror.pk}/delete/").status_code == 302
    assert not Mirror.objects.filter(pk=mirror.pk, deleted_at=None).exists()


def test_held_says_why_and_release_lets_it_pass(channel: Channel, conda: FakeConda) -> None:
    mirror = scene.mirror(channel, conda.channel, "m")
    scene.run_now(mirror)
    for name in ("six-1.16.0-0.conda", "copied-1.0-0.conda"):
        conda.unlist("noarch", name)
    conda.publish()
    scene.run_now(mirror)
    client = browser()
    row = text(client.get(f"{TAB}{mirror.pk}/row/"))
    assert "Held" in row
    release = f"{TAB}{mirror.pk}/release/"
    for page in (row, text(client.get(release)), text(client.get(f"{TAB}{mirror.pk}/"))):
        assert "noarch is empty now" in page
        assert "noarch: noarch" not in page
    details = text(client.get(f"{TAB}{mirror.pk}/"))
    assert "Clients keep the previously accepted packages" in details
    assert f'id="release-details" href="{release}"' in details
    client.post(release)
    mirror.refresh_from_db()
    assert mirror.held == {}
    details = text(client.get(f"{TAB}{mirror.pk}/"))
    assert "It is no longer held." in details
    assert "release-details" not in details


def test_a_failed_file_has_its_cause_and_can_be_tried_again(
    channel: Channel, conda: FakeConda
) -> None:
    path = conda.path("linux-64", "tool-2.1-0.conda")
    conda.behave(path, failing(404))
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    run = scene.run_now(mirror)
    assert run.counts["failed"] == 1
    client = browser()
    page = text(client.get(f"{TAB}{mirror.pk}/runs/1/"))
    assert "1 file failed" in page
    assert "tool-2.1-0.conda" in page
    assert Failure.objects.get().message[:40] in page
    answer = client.post(f"{TAB}{mirror.pk}/retry/")
    assert answer.headers["Location"] == f"{TAB}{mirror.pk}/runs/2/"
    assert Run.objects.get(mirror=mirror, number=2).state == "pending"
