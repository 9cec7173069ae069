"""The curation desk and a filter that acts, in a real browser; also with the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from advisories.models import Curation
from channels.models import Channel
from tests import scene
from tests.condatree import FakeConda
from tests.web import advisory_scene

pytestmark = pytest.mark.django_db(transaction=True)

PYYAML = "CVE-2020-14343"
FILE = "pyyaml-5.3.1-0.conda"


@pytest.fixture
def channel(conda: FakeConda, transactional_db: None, tmp_path: Path) -> Channel:
    return advisory_scene.filled(conda, tmp_path)


def test_a_score_filter_takes_a_file_out_and_a_decision_brings_it_back(
    channel: Channel, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/settings/")
    page.get_by_label("Highest CVE score").fill("9")
    page.get_by_role("button", name="Save").click()
    scene.publish(channel)
    assert FILE not in scene.listed(channel, "linux-64")
    page.goto(f"{live_server.url}/channels/main/packages/why/?q={FILE}")
    expect(page.get_by_text(PYYAML).first).to_be_visible()

    Channel.objects.filter(pk=channel.pk).update(requested_version=channel.requested_version + 1)
    page.goto(f"{live_server.url}/channels/main/settings/")
    page.get_by_label("Highest CVE score").fill("")
    page.get_by_role("button", name="Save").click()
    scene.publish(channel)
    assert FILE in scene.listed(channel, "linux-64")


def test_the_desk_works_with_the_keyboard_alone(
    channel: Channel, admin_page: Page, axe: Callable[[Page], None], live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/cves/{PYYAML}/")
    axe(page)
    page.get_by_role("checkbox", name="pyyaml (conda)").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Status")).to_be_focused()
    page.keyboard.press("c")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("We never load files of others.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Decision saved.")).to_be_visible()
    assert Curation.objects.get().status == "cleared"
    expect(page.get_by_role("cell", name="We never load files of others.")).to_be_visible()
    axe(page)
