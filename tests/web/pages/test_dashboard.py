"""The dashboard: whose channels it shows, and what can be done with their mirrors."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from channels import services
from mirrors import run_control
from mirrors.models import Run
from tests import scene
from tests.web.client import person

pytestmark = pytest.mark.django_db(transaction=True)
SOURCE = "https://mirror.example.org/conda/main"


@pytest.fixture(autouse=True)
def allowed(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org",)


def dashboard(name: str, role: str) -> str:
    client = Client()
    client.force_login(person(name, role))
    return client.get("/").content.decode()


def test_my_channels_of_an_administrator_are_all_that_they_manage() -> None:
    services.create("geology", person("gina", "author"))
    page = dashboard("admin", "admin")
    assert "My Channels" in page
    assert "geology" in page


def test_an_author_sees_their_own_channels_only() -> None:
    services.create("geology", person("gina", "author"))
    services.create("physics", person("paul", "author"))
    page = dashboard("gina", "author")
    assert "/channels/geology/" in page
    assert "/channels/physics/" not in page


def test_my_channels_is_the_heading_also_where_one_owns_none() -> None:
    assert ">My Channels</h2>" in dashboard("rita", "reader")
    services.create("geology", person("gina", "author"))
    page = dashboard("rita", "reader")
    assert ">My Channels</h2>" in page
    assert "You own no channels. These are the channels you can read." in page
    assert "You own no channels." not in dashboard("gina", "author")


def test_a_line_of_a_mirror_has_its_actions() -> None:
    channel = scene.channel("geology")
    mirror = scene.mirror(channel, SOURCE, "rocks")
    run_control.request_run(mirror, cause="manual", actor="admin")
    page = dashboard("admin", "admin")
    assert "Actions for rocks" in page
    for action in ("edit", "stop", "details", "delete"):
        assert f'id="{action}-{mirror.pk}"' in page
        assert f'id="{action}-running-{mirror.pk}"' in page
    assert f"/channels/geology/mirrors/{mirror.pk}/stop/?next=%2F" in page


def test_who_may_only_read_gets_no_actions() -> None:
    scene.mirror(scene.channel("geology"), SOURCE, "rocks")
    page = dashboard("rita", "reader")
    assert "rocks" in page
    assert "Actions for rocks" not in page


def test_each_channel_shows_its_first_mirrors_however_many_another_has() -> None:
    full, small = scene.channel("full"), scene.channel("small")
    for number in range(7):
        scene.mirror(full, SOURCE, f"a{number}")
    late = scene.mirror(small, SOURCE, "z")
    run_control.request_run(late, cause="manual", actor="admin")
    Run.objects.update(state="failed", error="The index is gone.\nMore.")
    page = dashboard("admin", "admin")
    assert "The first 5 of 7 mirrors." in page
    assert page.count("<strong>a") == 5
    assert page.count("<strong>z</strong>") == 2
    assert "The index is gone." in page
