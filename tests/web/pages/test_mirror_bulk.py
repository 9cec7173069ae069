"""Several mirrors at once, with the result for each."""

from __future__ import annotations

import pytest

from channels.models import Channel
from mirrors import run_control
from mirrors.models import Run
from tests import scene
from tests.web.pages.mirror_pages import SOURCE, TAB, browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_several_mirrors_are_stopped_at_once_with_the_outcome_of_each(channel: Channel) -> None:
    one, two = scene.mirror(channel, SOURCE, "one"), scene.mirror(channel, f"{SOURCE}/2", "two")
    run_control.request_run(one, cause="manual", actor="admin")
    client = browser()
    address = f"{TAB}bulk/?do=stop&mirror={one.pk}&mirror={two.pk}"
    asked = text(client.get(address))
    assert "Stop 2 mirrors?" in asked
    assert "one, two" in asked
    done = text(client.post(address))
    assert "Stopped" in done
    assert "Was not running" in done
    assert "Stop: 1 of 2 mirrors" in done


def test_all_that_match_can_be_run_and_nothing_else_is(channel: Channel) -> None:
    for name in ("a-1", "a-2", "b-1"):
        scene.mirror(channel, f"{SOURCE}/{name}", name)
    text(browser().post("/mirrors/bulk/?do=run&all=1&q=a-"))
    assert set(Run.objects.values_list("mirror__name", flat=True)) == {"a-1", "a-2"}


def test_bulk_with_nothing_ticked_says_so(channel: Channel) -> None:
    assert "No mirror is selected" in text(browser().get(f"{TAB}bulk/?do=delete"))
    assert browser().get(f"{TAB}bulk/?do=dance").status_code == 403
