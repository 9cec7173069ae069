"""Lists of mirrors: rows, filters, what the menu offers, who sees what."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels import services as channel_manage
from channels.models import Channel
from filters.models import Filter
from mirrors import run_control
from mirrors.models import Mirror, MirrorType, Run, Upstream
from tests import scene
from tests.web.pages.mirror_pages import SOURCE, TAB, browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("allowed")]


def test_a_row_shows_name_mode_type_state_and_times(channel: Channel) -> None:
    scene.mirror(channel, SOURCE, "approved_software")
    page = text(browser().get(TAB))
    schedule = "Monthly, on the 1st at 00:00"
    for words in ("approved_software", "Passive", "conda", "Never run", schedule, "admin"):
        assert words in page
    assert "hx-trigger" not in page.split("<tbody>")[1].split("</tbody>")[0]


def test_the_menu_has_what_the_state_allows_and_nothing_else(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    client = browser()

    def menu() -> set[str]:
        row = text(client.get(f"{TAB}{mirror.pk}/row/"))
        ids = [part.split('"')[0] for part in row.split('role="menuitem" id="')[1:]]
        return {one.rsplit("-", 1)[0] for one in ids}

    always = {"edit", "duplicate", "details", "delete"}
    assert menu() == always
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    assert menu() == always | {"stop"}
    Run.objects.filter(pk=run.pk).update(state="stopping", stop_requested_at=timezone.now())
    assert menu() == always
    Run.objects.filter(pk=run.pk).update(stop_requested_at=timezone.now() - Run.STUCK_AFTER)
    assert menu() == always | {"marked"}
    Run.objects.filter(pk=run.pk).update(state="stopped")
    assert menu() == always | {"restart"}
    Run.objects.filter(pk=run.pk).update(state="failed")
    assert menu() == always
    held = {"noarch": {"snapshot": None, "reason": "noarch is empty now."}}
    Mirror.objects.filter(pk=mirror.pk).update(held=held)
    assert menu() == always | {"release"}


def test_a_row_is_polled_only_while_its_state_can_change(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    client = browser()
    for state, polled in (
        ("pending", True), ("running", True), ("stopping", True), ("stopped", False),
        ("completed", False), ("failed", False),
    ):  # fmt: skip
        Run.objects.filter(pk=run.pk).update(state=state, step=6, percent=43)
        row = text(client.get(f"{TAB}{mirror.pk}/row/"))
        assert ('hx-trigger="every 2s"' in row) == polled, state
        assert ("Step 6 of 8: Download packages" in row) == polled, state
        assert ('value="43"' in row) == polled, state


def test_the_row_of_a_deleted_mirror_is_empty_so_that_it_leaves_the_page(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    client = browser()
    client.post(f"{TAB}{mirror.pk}/delete/")
    assert text(client.get(f"{TAB}{mirror.pk}/row/")) == ""


def test_all_repository_mirrors_is_for_mirror_manage_only(channel: Channel) -> None:
    scene.mirror(channel, SOURCE, "m")
    page = text(browser().get("/mirrors/"))
    assert "All Repository Mirrors</h1>" in page
    assert 'href="/channels/main/"' in page
    other = browser("reader", "reader")
    refused = text(other.get("/mirrors/"), status=403)
    assert "“mirror” is “manage”" in refused
    assert "All Repository Mirrors" not in text(other.get("/channels/"))
    assert Client().get("/mirrors/").status_code == 302


def test_a_reader_sees_rows_without_the_actions_that_change(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    reader = browser("reader", "reader")
    page = text(reader.get(TAB))
    assert "Details" in page
    for words in ("Delete", "Edit", "Create a mirror", "Run selected"):
        assert f">{words}<" not in page
    for path in ("create/", f"{mirror.pk}/edit/", f"{mirror.pk}/stop/", f"{mirror.pk}/delete/"):
        assert reader.get(TAB + path).status_code == 403, path


def test_mirrors_of_a_channel_one_may_not_know_of_are_404(channel: Channel) -> None:
    closed = channel_manage.create("closed", scene.admin(), privacy="private")
    mirror = scene.mirror(closed, SOURCE, "m")
    reader = browser("reader", "reader")
    for path in ("", f"{mirror.pk}/", f"{mirror.pk}/edit/"):
        assert reader.get(f"/channels/closed/mirrors/{path}").status_code == 404, path
    # A mirror of another channel is not found through one that may be seen.
    assert browser().get(f"{TAB}{mirror.pk}/").status_code == 404


def test_the_list_is_filtered_sorted_and_counted_by_the_address(channel: Channel) -> None:
    for name in ("alpha", "beta", "gamma"):
        scene.mirror(channel, f"{SOURCE}/{name}", name)
    run = run_control.request_run(Mirror.objects.get(name="beta"), cause="manual", actor="admin")
    Run.objects.filter(pk=run.pk).update(state="failed", error="It is down.\nMore of it.")
    client = browser()

    def names(query: str) -> list[str]:
        page = text(client.get(f"/mirrors/?{query}"))
        return [part.split("<")[0].split(">")[1] for part in page.split('id="name-')[1:]]

    assert names("") == ["alpha", "beta", "gamma"]
    assert names("sort=-name") == ["gamma", "beta", "alpha"]
    assert names("q=gam") == ["gamma"]
    assert names("state=failed") == ["beta"]
    assert names("state=never+run") == ["alpha", "gamma"]
    assert names("mode=active") == []
    assert names("sort=nonsense&page=99") == ["alpha", "beta", "gamma"]
    page = text(client.get("/mirrors/?state=failed"))
    assert "It is down." in page
    assert "More of it." not in page
    assert "Clear filters" in text(client.get("/mirrors/?q=nobody"))


def test_a_thousand_mirrors_cost_a_handful_of_queries(channel: Channel) -> None:
    upstream = Upstream.objects.create(kind=MirrorType.CONDA, url=SOURCE, key="k")
    filters = Filter.objects.bulk_create([Filter() for _ in range(1000)])
    mirrors = Mirror.objects.bulk_create(
        Mirror(
            channel=channel, name=f"m{number:04}", upstream=upstream, filter=one,
            owner=scene.admin(), cron_timezone="UTC",
        )
        for number, one in enumerate(filters)
    )  # fmt: skip
    Run.objects.bulk_create(
        Run(mirror=one, number=number, state="completed", counts={"failed": 1})
        for one in mirrors
        for number in (1, 2)
    )
    client = browser()
    for address in ("/mirrors/", TAB, "/mirrors/?state=completed&sort=-state&page=3"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            text(client.get(address))
        # Two are for the warnings on advisories: whether there are any, and for all mirrors of the
        # page what their filters say of them.
        assert len(queries) <= 18, [one["sql"][:120] for one in queries]
