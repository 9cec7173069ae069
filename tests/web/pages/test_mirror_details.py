"""Mirroring Details: a run that goes, one that ended, and none."""

from __future__ import annotations

import pytest
from django.utils import timezone

from channels.models import Channel
from mirrors import run_control
from mirrors.models import Cause, Failure, Mirror, Run
from tests import scene
from tests.web.pages.mirror_pages import SOURCE, TAB, browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_a_mirror_that_never_ran_has_details_that_say_so(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    assert "has not run yet" in text(browser().get(f"{TAB}{mirror.pk}/"))


def test_details_follow_a_run_while_it_goes(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    Run.objects.filter(pk=run.pk).update(state="running", step=1)
    part = text(browser().get(f"{TAB}{mirror.pk}/runs/1/live/"))
    assert 'hx-trigger="every 2s"' in part
    assert "Fetch remote index" in part
    assert "<html" not in part


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause.MANUAL, "ann"),
        (Cause.SCHEDULE, "the schedule"),
        (Cause.RESTART, "ann, as a restart"),
        (Cause.EDIT, "ann, with a change of the mirror"),
        (Cause.CREATE, "ann, with the creation of the mirror"),
    ],
)
def test_a_run_says_who_asked_for_it_and_how(channel: Channel, cause: Cause, words: str) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run_control.request_run(mirror, cause=cause, actor="ann")
    assert f"<dt>Triggered by</dt><dd>{words}</dd>" in text(browser().get(f"{TAB}{mirror.pk}/"))
    assert f'data-label="Triggered by">{words}</td>' in text(
        browser().get(f"{TAB}{mirror.pk}/runs/")
    )


def test_hostile_strings_of_an_upstream_show_as_text(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    evil = "<script>alert(1)</script>\u202e<img src=x onerror=alert(2)>" + "x" * 10_000
    Run.objects.filter(pk=run.pk).update(state="failed", error=evil)
    Failure.objects.create(run=run, section="noarch", filename="<b>f</b>", message=evil)
    held = {"noarch": {"snapshot": None, "reason": evil}}
    Mirror.objects.filter(pk=mirror.pk).update(held=held, warnings=[evil])
    client = browser()
    for address in (TAB, "/mirrors/", f"{TAB}{mirror.pk}/", f"{TAB}{mirror.pk}/release/"):
        page = text(client.get(address))
        assert "<script>alert" not in page
        assert "<img" not in page.replace('<img src="/static', "")
        assert "\u202e" not in page
        assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("kind", "state", "sentence"),
    [
        ("python_simple", "completed", "No projects yet"),
        ("conda", "completed", "The source lists no files."),
        ("conda", "stopped", "This run ended before it counted any files."),
    ],
)
def test_details_say_why_nothing_was_counted(
    channel: Channel, kind: str, state: str, sentence: str
) -> None:
    mirror = scene.mirror(channel, SOURCE, "m", mirror_mode="passive", mirror_type=kind)
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    Run.objects.filter(pk=run.pk).update(
        state=state, started_at=timezone.now(), ended_at=timezone.now()
    )
    page = text(browser().get(f"{TAB}{mirror.pk}/"))
    assert sentence in " ".join(page.split())
