"""The pages about mirrors: who may open them, what they say, what their buttons do."""

from __future__ import annotations

import csv
import html
import io
import json
import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from channels import services as channel_manage
from channels.models import Channel
from ecosystems import registry
from filters.models import Filter
from history.models import Event
from mirrors import run_control, services
from mirrors.models import Cause, Failure, Kind, Mirror, Preview, Run, Upstream
from runs import preview
from tests import scene
from tests.condatree import FakeConda
from tests.rogue import failing
from tests.web.client import person
from web.pages.run_counts import file_summary

pytestmark = pytest.mark.django_db

SOURCE = "https://mirror.example.org/conda/main"
TAB = "/channels/main/mirrors/"


@pytest.fixture(autouse=True)
def allowed(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org", "http://127.0.0.1:*")


@pytest.fixture
def channel() -> Channel:
    return scene.channel("main")


@pytest.fixture
def conda() -> Iterator[FakeConda]:
    with FakeConda() as upstream:
        upstream.add("noarch", "six", "1.16.0")
        upstream.add("noarch", "copied", "1.0", license="GPL-3.0-only")
        upstream.add("linux-64", "tool", "2.1")
        upstream.publish()
        yield upstream


def browser(name: str = "admin", role: str = "author") -> Client:
    """A signed-in browser."""
    client = Client()
    client.force_login(person(name, role))
    return client


def text(response: Any, *, status: int = 200) -> str:
    assert response.status_code == status, response.content.decode()[:2000]
    return str(response.content.decode())


def form(**fields: Any) -> dict[str, Any]:
    """The Create mirror form as a browser sends it when little is filled in."""
    return {
        "mirror_mode": "passive",
        "mirror_name": "m",
        "source_root": SOURCE,
        "proxy": "",
        "mirror_type": "conda",
        "subdirs": ["noarch"],
        "frequency": "0 0 1 * *",
        "cron": "",
        "cron_timezone": "UTC",
        **fields,
    }


def test_a_row_shows_name_mode_type_state_and_times(channel: Channel) -> None:
    scene.mirror(channel, SOURCE, "approved_software")
    page = text(browser().get(TAB))
    for words in ("approved_software", "Passive", "conda", "Never run", "At 00:00", "admin"):
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
    Run.objects.filter(pk=run.pk).update(stop_requested_at=timezone.now() - Run.STUCK)
    assert menu() == always | {"marked"}
    Run.objects.filter(pk=run.pk).update(state="stopped")
    assert menu() == always | {"restart"}
    Run.objects.filter(pk=run.pk).update(state="failed")
    assert menu() == always
    held = {"noarch": {"snapshot": None, "reason": "noarch is empty now."}}
    Mirror.objects.filter(pk=mirror.pk).update(held=held)
    assert menu() == always | {"release"}


def test_a_run_that_does_not_stop_is_marked_as_stopped_after_ten_minutes(
    channel: Channel,
) -> None:
    mirror = scene.mirror(channel, SOURCE, "m")
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    asked = timezone.now() - Run.STUCK + timedelta(minutes=1)
    going = Run.objects.filter(pk=run.pk)
    going.update(
        state="stopping", step=1, steps=[[1, asked.isoformat(), None]], stop_requested_at=asked
    )
    client = browser()
    address = f"{TAB}{mirror.pk}/mark-stopped/"
    assert "10 minutes after it was asked" in text(client.post(address, follow=True))
    assert going.get().state == "stopping"

    going.update(stop_requested_at=timezone.now() - Run.STUCK)
    assert "Mark m as stopped?" in text(client.get(address))
    assert "m marked as stopped." in text(client.post(address, follow=True))
    marked = going.get()
    assert (marked.state, marked.fence) == ("stopped", run.fence + 1)
    assert marked.steps[0][2] == marked.ended_at.isoformat()
    event = Event.objects.get(type="mirror_stopped")
    assert (event.actor, event.run_id, event.meta["marked"]) == ("admin", run.pk, True)
    assert "10 minutes after it was asked" in text(client.post(address, follow=True))
    run_control.restart(mirror, actor="admin")


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
    upstream = Upstream.objects.create(kind=Kind.CONDA, url=SOURCE, key="k")
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
        assert len(queries) <= 15, [one["sql"][:120] for one in queries]


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


def test_details_of_a_run_add_up_and_link_to_their_lists(
    channel: Channel, conda: FakeConda
) -> None:
    mirror = scene.mirror(
        channel, conda.channel, "m", filters={"exclude_licenses": ["GPL3"], "keep_legacy": True}
    )
    scene.run_now(mirror)
    client = browser()
    page = text(client.get(f"{TAB}{mirror.pk}/runs/1/"))
    for words in ("Mirroring Details", "Completed", "Excluded licenses", "Total", "On demand"):
        assert words in page
    summary = file_summary(mirror.runs.get(), None)
    assert summary
    assert summary.sum == summary.listed.count == 3
    assert "hx-trigger" not in page
    assert text(client.get(f"{TAB}{mirror.pk}/")).count("Mirroring Details") >= 1
    listed = text(client.get(f"{TAB}{mirror.pk}/runs/1/files/?reason=mirror.license"))
    assert "copied-1.0-0.conda" in listed
    assert "six-1.16.0" not in listed
    assert "GPL" in listed
    both = text(client.get(f"{TAB}{mirror.pk}/runs/1/files/?reason=mirror."))
    assert "copied-1.0-0.conda" in both
    assert client.get(f"{TAB}{mirror.pk}/runs/7/").status_code == 404


def test_details_tell_what_a_run_downloaded_from_what_was_here(
    channel: Channel, conda: FakeConda
) -> None:
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    scene.run_now(mirror)
    conda.add("noarch", "later", "1.0")
    conda.publish()
    scene.run_now(mirror)
    first, second = mirror.runs.order_by("number")

    def mirrored(run: Run) -> dict[str, int]:
        found = file_summary(run, None)
        assert found
        assert found.sum == found.listed.count
        return {part.label: part.count for stage in found.stages for part in stage.parts}

    assert mirrored(first) == {"Downloaded by this run": 3}
    assert mirrored(second) == {"Downloaded by this run": 1, "Already downloaded": 3}
    page = text(browser().get(f"{TAB}{mirror.pk}/runs/2/"))
    assert "Already downloaded" in page
    assert "+1" in page  # listed one more than the run before
    compared = file_summary(second, first)
    assert compared
    assert [one.change for one in compared.changes] == ["", "", ""]  # two fewer added says nothing


def test_details_and_history_tell_what_a_run_changed_and_what_stays(
    channel: Channel, conda: FakeConda
) -> None:
    gone = conda.add("noarch", "gone", "1.0")
    conda.add("noarch", "same", "1.0")
    conda.publish()
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    scene.run_now(mirror)
    conda.drop("noarch", gone)
    conda.add("noarch", "same", "1.0", payload=500)
    new = [conda.add("noarch", name, "1.0") for name in ("new", "newer")]
    conda.publish()
    for name in new:
        conda.behave(conda.path("noarch", name), failing(404, times=1))

    def changed(run: Run) -> dict[str, int]:
        found = file_summary(run, None)
        assert found
        return {one.reason or one.label: one.count for one in (*found.changes, found.stays)}

    def page(run: Run) -> str:
        return text(browser().get(f"{TAB}{mirror.pk}/runs/{run.number}/"))

    run = scene.run_now(mirror)
    kept = "Kept although the source removed it"
    assert changed(run) == {
        "Added to the channel": 0,
        "replaced": 1,
        "Removed from the channel": 0,
        "stays": 1,
    }
    assert kept in page(run)
    run = scene.run_now(mirror)
    assert changed(run) == {"added": 2, "Replaced in the channel": 0, "removed": 1, kept: 0}
    shown = page(run)
    assert kept not in shown
    assert [f"#{one}" in shown for one in ("added", "replaced", "removed")] == [True, False, True]
    told = Event.objects.filter(type="mirror_completed", run_id=run.pk).get().meta["counts"]
    assert [told[key] for key in ("added", "replaced", "removed")] == [2, 0, 1]


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


def test_exports_keep_formulas_from_spreadsheets(channel: Channel, conda: FakeConda) -> None:
    mirror = scene.mirror(channel, conda.channel, "m")
    run = scene.run_now(mirror)
    Failure.objects.create(
        run=run, section="noarch", filename="=cmd|' /C calc'!A0", message="+1 \x1b[31mred"
    )
    client = browser()
    answer = client.get(f"{TAB}{mirror.pk}/runs/1/files.csv?reason=failed")
    table = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert table[0] == ["section", "file", "outcome", "detail", "size"]
    assert table[1][1].startswith("'=cmd")
    assert table[1][3].startswith("'+1 ")
    assert "\x1b" not in table[1][3]
    whole = client.get(f"{TAB}{mirror.pk}/runs/1/files.json")
    assert len(json.loads(whole.getvalue())) == 3
    assert json.loads(client.get(f"{TAB}{mirror.pk}/runs/1/files.json?reason=x").getvalue()) == []
    log = client.get(f"{TAB}{mirror.pk}/runs/1/log.txt").getvalue().decode()
    assert "Fetching the index" in log


def test_lists_that_are_not_kept_any_more_say_so(channel: Channel, conda: FakeConda) -> None:
    mirror = scene.mirror(channel, conda.channel, "m")
    run = scene.run_now(mirror)
    Run.objects.filter(pk=run.pk).update(snapshots={"noarch": 999_999})
    client = browser()
    assert "no longer kept" in text(client.get(f"{TAB}{mirror.pk}/runs/1/files/"))
    assert client.get(f"{TAB}{mirror.pk}/runs/1/files.csv").status_code == 404


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
    assert f'id="release-here" href="{release}"' in details
    client.post(release)
    mirror.refresh_from_db()
    assert mirror.held == {}
    details = text(client.get(f"{TAB}{mirror.pk}/"))
    assert "It is no longer held." in details
    assert "release-here" not in details


def test_past_runs_show_what_failed_in_them_and_what_was_held(
    channel: Channel, conda: FakeConda
) -> None:
    lost = conda.path("noarch", "six-1.16.0-0.conda")
    conda.behave(lost, failing(404))
    mirror = scene.mirror(channel, conda.channel, "m", mirror_mode="active")
    scene.run_now(mirror)
    for name in ("six-1.16.0-0.conda", "copied-1.0-0.conda"):
        conda.unlist("noarch", name)
    conda.publish()
    scene.run_now(mirror)
    for page in (f"{TAB}{mirror.pk}/runs/", f"{TAB}{mirror.pk}/runs/1/"):
        shown = text(browser().get(page))
        # The run of the page itself has a badge too.
        own = int(page.endswith("/1/"))
        assert shown.count("Completed with errors") >= 1 + own
        assert shown.count(" Held</span>") == 1


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


def test_what_a_form_begins_is_told_from_a_change(channel: Channel) -> None:
    mirror = scene.mirror(channel, SOURCE, "m", run_now=True)
    run_control.stop(mirror, actor="admin")
    services.edit(mirror, {"run_now": True}, actor="admin")
    assert list(mirror.runs.order_by("number").values_list("cause", flat=True)) == [
        Cause.CREATE,
        Cause.EDIT,
    ]


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


# The form.


def test_the_form_has_the_fields_of_the_document_in_its_order(channel: Channel) -> None:
    page = text(browser().get(f"{TAB}create/"))
    body = page.split('id="mirror-form"')[1]
    places = [
        body.index(f">{words}<")
        for words in (
            "Mode", "Name", "External Source Channel", "Type", "Platforms",
            "Keep Legacy Packages", "CVE Filters", "Package Filters",
            "Only include the following package names", "Exclude Packages", "Include Packages",
            "Date Range", "View Channel Filters", "Frequency", "Run Now", "Submit", "Cancel",
        )
    ]  # fmt: skip
    assert places[:-2] == sorted(places[:-2])
    assert "Freeze the channel first" in page


def test_the_hint_to_freeze_is_quiet_where_clients_have_nothing_to_keep(
    channel: Channel, conda: FakeConda
) -> None:
    address = f"{TAB}create/"
    page = text(browser().get(address))
    assert "Freeze the channel first" in page
    assert 'class="banner"' not in page
    scene.run_now(scene.mirror(channel, conda.channel, "m"))
    page = text(browser().get(address))
    assert "Freeze the channel first" in page
    assert 'class="banner"' in page
    overview = text(browser().get("/channels/main/"))
    assert 'Mirror completed</a> <span class="clip">m</span>' in overview


def test_a_mirror_is_created_from_the_form_and_the_browser_lands_on_its_row(
    channel: Channel,
) -> None:
    answer = browser().post(
        f"{TAB}create/",
        form(
            mirror_name="approved_software",
            subdirs=["noarch", "linux-64"],
            keep_legacy="on",
            exclude_specs="p*, q*\nopenssl >=1,<3",
            include_specs="python",
            exclude_licenses=["GPL", "AGPL"],
            date_from="2020-01-01",
            cve_score_threshold="7.5",
            frequency="custom",
            cron="30 2 * * 1",
            cron_timezone="Europe/Berlin",
            run_now="on",
        ),
    )
    mirror = Mirror.objects.get(name="approved_software")
    assert answer.headers["Location"] == f"{TAB}#mirror-{mirror.pk}"
    assert (mirror.mode, mirror.cron, mirror.cron_timezone) == (
        "passive", "30 2 * * 1", "Europe/Berlin",
    )  # fmt: skip
    terms = mirror.filter.terms
    assert terms["subdirs"] == ["noarch", "linux-64"]
    assert terms["exclude_specs"] == ["p*", "q*", "openssl >=1,<3"]
    assert terms["include_specs"] == ["python"]
    assert terms["exclude_licenses"] == ["GPL", "AGPL"]
    assert (terms["keep_legacy"], terms["date_from"]) == (True, "2020-01-01")
    assert terms["cve_score_threshold"] == 7.5
    assert mirror.runs.get().state == "pending"


def test_without_run_now_nothing_runs(channel: Channel) -> None:
    browser().post(f"{TAB}create/", form())
    mirror = Mirror.objects.get()
    assert (mirror.cron, mirror.runs.count()) == ("0 0 1 * *", 0)


def test_a_subchannel_has_mirrors_of_its_own(channel: Channel) -> None:
    channel_manage.create("staging", scene.admin(), parent=channel)
    client = browser()
    client.post("/channels/main/staging/mirrors/create/", form())
    assert Mirror.objects.get().channel.path == "main/staging"
    assert "m</a>" in text(client.get("/channels/main/staging/mirrors/"))


def test_what_is_wrong_is_told_at_its_field_and_what_was_typed_stays(channel: Channel) -> None:
    answer = browser().post(
        f"{TAB}create/",
        form(
            mirror_name="",
            source_root="https://elsewhere.example/x",
            exclude_specs="good\nbad ==",
            frequency="custom",
            cron="61 * * * *",
            date_from="2024-01-01",
            date_to="2023-01-01",
        ),
    )
    page = text(answer, status=422)
    assert "This could not be saved" in page
    assert 'href="#id_mirror_name"' in page
    assert 'value="https://elsewhere.example/x"' in page
    assert 'value="61 * * * *"' in page
    assert "bad ==" in page
    named = browser().post(
        f"{TAB}create/", form(exclude_specs="good\nbad ==", frequency="custom", cron="0 0 31 2 *")
    )
    page = text(named, status=422)
    assert "does not fire within 5 years" in page
    named = text(browser().post(f"{TAB}create/", form(exclude_specs="good\nbad ==")), status=422)
    assert "“bad ==” (entry 2)" in named
    assert Mirror.objects.count() == 0


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


def test_a_taken_name_is_told_at_the_name(channel: Channel) -> None:
    scene.mirror(channel, SOURCE, "m")
    page = text(browser().post(f"{TAB}create/", form()), status=422)
    assert "A mirror with this name already exists on this server." in page
    assert "exclude_specs" in page


def test_only_named_packages_stand_alone(channel: Channel) -> None:
    client = browser()
    client.post(f"{TAB}create/", form(mirror_name="a", only="on", only_specs="six,tool"))
    assert Mirror.objects.get(name="a").filter.terms["only_specs"] == ["six", "tool"]
    # Names that are filled in without the tick are not meant.
    client.post(f"{TAB}create/", form(mirror_name="b", only_specs="six"))
    assert Mirror.objects.get(name="b").filter.terms["only_specs"] == []
    refused = client.post(
        f"{TAB}create/", form(mirror_name="c", only="on", only_specs="six", exclude_specs="p*")
    )
    assert "cannot stand beside" in text(refused, status=422)
    empty = client.post(f"{TAB}create/", form(mirror_name="d", only="on"))
    assert "Enter at least one package" in text(empty, status=422)


def test_edit_shows_everything_as_it_was_with_the_mode_locked(channel: Channel) -> None:
    mirror = scene.mirror(
        channel, "https://ann:secret@mirror.example.org/conda/main", "m", mirror_mode="active",
        cron="5 4 * * 3", cron_timezone="Asia/Tokyo", proxy="http://bob:hidden@proxy.example:3128",
        filters={
            "subdirs": ["win-64"], "projects": ["six"], "include_licenses": ["MIT"],
            "date_to": "2024-05-05", "keep_legacy": True,
        },
    )  # fmt: skip
    client = browser()
    page = text(client.get(f"{TAB}{mirror.pk}/edit/"))
    assert "secret" not in page
    assert "hidden@" not in page
    assert "https://***@mirror.example.org/conda/main" in page
    assert "http://***@proxy.example:3128" in page
    assert "5 4 * * 3" in page
    assert "cannot be changed" in page
    assert 'value="active"' in page.split('value="passive"')[0]
    mode = page.split('id="mode-title"')[1].split("</fieldset>")[0]
    assert mode.count("disabled") >= 2
    # Submitted as it was shown, nothing changes but what was changed.
    before = dict(mirror.filter.terms)
    sent = form(
        mirror_name="renamed", source_root="https://***@mirror.example.org/conda/main",
        proxy="http://***@proxy.example:3128", subdirs=["win-64"], only="on", only_specs="six",
        include_licenses=["MIT"], date_to="2024-05-05", keep_legacy="on", frequency="custom",
        cron="5 4 * * 3", cron_timezone="Asia/Tokyo", version="1", mirror=str(mirror.pk),
    )  # fmt: skip
    assert client.post(f"{TAB}{mirror.pk}/edit/", sent).status_code == 302
    mirror = Mirror.objects.get(pk=mirror.pk)
    assert (mirror.name, mirror.mode, mirror.cron_timezone) == ("renamed", "active", "Asia/Tokyo")
    assert mirror.filter.terms == {**before, "projects": [], "only_specs": ["six"]}
    # Somebody else has saved meanwhile.
    page = text(client.post(f"{TAB}{mirror.pk}/edit/", sent), status=422)
    assert "changed since you read it" in page


def test_with_the_channels_filter_conflicts_are_said_in_words(channel: Channel) -> None:
    channel_manage.edit(channel, {"filters": {"subdirs": ["win-64"]}}, actor="admin")
    client = browser()
    assert "win-64" in text(client.get(f"{TAB}create/")).split('id="channel-filters"')[1]
    said = text(client.post(f"{TAB}check/", form(subdirs=["noarch"])))
    assert "have none in common" in said
    assert "none in common" not in text(client.post(f"{TAB}check/", form(subdirs=["win-64"])))


def test_while_one_types_specs_and_frequency_are_answered(channel: Channel) -> None:
    client = browser()
    said = text(
        client.post(
            f"{TAB}check/",
            form(exclude_specs="six\nbad ==", frequency="custom", cron="*/5 * * * *"),
        )
    )
    assert 'data-wrong="bad =="' in said
    assert 'data-wrong="six"' not in said
    assert "Every 5 minutes" in said
    assert "more often than daily" in said
    said = text(client.post(f"{TAB}check/", form(cron_timezone="Europe/Berlin")))
    assert said.count(", then ") == 2
    assert "(Europe/Berlin)" in said
    said = text(client.post(f"{TAB}check/", form(frequency="custom", cron="* * *")))
    assert "exactly five fields" in said
    assert text(client.post(f"{TAB}check/", {"mirror_type": "conda"}))


def test_the_connection_test_names_what_is_there(channel: Channel, conda: FakeConda) -> None:
    client = browser()
    found = text(client.post(f"{TAB}test/", form(source_root=conda.channel, mirror_name="")))
    assert "This is a conda source" in found
    assert "<dt>noarch</dt>" in found
    assert "<dt>linux-64</dt>" in found
    meant = text(client.post(f"{TAB}test/", form(source_root=f"{conda.channel}/linux-64")))
    assert f'data-source-root="{conda.channel}"' in meant
    nothing = text(client.post(f"{TAB}test/", form(source_root=f"{conda.url}/nothing")))
    assert "no conda index" in nothing
    for kind in set(registry.kinds()) - {"conda"}:
        wrong = text(client.post(f"{TAB}test/", form(source_root=conda.channel, mirror_type=kind)))
        assert "This is a conda source: select that Type" in wrong
    refused = text(client.post(f"{TAB}test/", form(source_root="https://elsewhere.example/x")))
    assert "elsewhere.example" in refused


def test_a_preview_counts_by_rule_and_touches_nothing(channel: Channel, conda: FakeConda) -> None:
    client = browser()
    begun = text(
        client.post(
            f"{TAB}preview/",
            form(
                mirror_name="", source_root=conda.channel, mirror_mode="active", subdirs=[],
                exclude_licenses=["GPL3"],
            ),
        )
    )  # fmt: skip
    row = Preview.objects.get()
    assert f"preview/{row.pk}/" in begun
    assert 'hx-trigger="every 1s"' in begun
    events = Event.objects.count()
    preview.execute(row.pk, interrupted=lambda: False)
    shown = text(client.get(f"{TAB}preview/{row.pk}/"))
    assert "hx-trigger" not in shown
    assert "1 by the mirror's filter: Excluded licenses" in shown
    assert "Added: 2 files" in shown
    assert "six-1.16.0-0.conda" in shown
    assert Mirror.objects.count() == 0
    assert Event.objects.count() == events
    channel.refresh_from_db()
    assert channel.current == 1
    other = browser("reader", "reader")
    assert other.get(f"{TAB}preview/{row.pk}/").status_code == 403


def test_a_preview_is_cancelled_and_a_bad_form_says_why_there_is_none(channel: Channel) -> None:
    client = browser()
    client.post(f"{TAB}preview/", form())
    row = Preview.objects.get()
    assert "was cancelled" in text(client.post(f"{TAB}preview/{row.pk}/cancel/"))
    bad = text(client.post(f"{TAB}preview/", form(exclude_specs="bad ==", source_root="")))
    assert "To see a preview, correct these fields" in bad
    assert "External Source Channel" in bad
    assert Preview.objects.count() == 1


def test_what_a_run_removed_is_listed_by_the_difference_of_its_revisions(
    channel: Channel, conda: FakeConda
) -> None:
    mirror = scene.mirror(channel, conda.channel, "m", filters={"keep_legacy": True})
    scene.run_now(mirror)
    conda.drop("noarch", "six-1.16.0-0.conda")
    conda.publish()
    run = scene.run_now(mirror)
    client = browser()
    before, after = run.counts["revisions"]
    address = f"/channels/main/revisions/{before}..{after}/"
    assert f'href="{address}#removed">1</a>' in text(client.get(f"{TAB}{mirror.pk}/"))
    assert "six-1.16.0-0.conda" in text(client.get(address))
    channel.revisions.filter(number=before).delete()
    assert address not in text(client.get(f"{TAB}{mirror.pk}/"))


def test_a_duplicate_begins_as_the_mirror_is_but_for_its_name_and_logins(channel: Channel) -> None:
    source = "https://ann:s3cret@mirror.example.org/conda/main"
    mirror = scene.mirror(
        channel, source, "rocks", mirror_mode="active", cron="30 2 * * 1-5",
        filters={"subdirs": ["linux-64"], "exclude_specs": ["numpy <2"]},
    )  # fmt: skip
    client = browser()
    page = text(client.get(f"{TAB}create/?like={mirror.pk}"))
    for words in (
        'value="rocks_copy"', "30 2 * * 1-5", "numpy &lt;2", f'value="{SOURCE}"',
        "Credentials are not copied",
    ):  # fmt: skip
        assert words in page
    assert "s3cret" not in page
    assert "***@" not in page
    sent = {
        "mirror_mode": "active", "mirror_name": "rocks_copy", "source_root": SOURCE,
        "mirror_type": "conda", "frequency": "0 0 * * *", "subdirs": ["linux-64"],
    }  # fmt: skip
    assert client.post(f"{TAB}create/?like={mirror.pk}", sent).status_code == 302
    copy = Mirror.objects.get(name="rocks_copy")
    assert (copy.mode, copy.filter.terms["subdirs"]) == ("active", ["linux-64"])
    assert client.get(f"{TAB}create/?like=12345").status_code == 404


def test_the_form_is_shown_as_a_call_of_the_api_that_does_the_same(channel: Channel) -> None:
    client = browser()
    sent = {
        "mirror_mode": "passive", "mirror_name": "it's", "source_root": SOURCE,
        "mirror_type": "conda", "frequency": "0 0 * * *", "exclude_specs": "numpy <2\nq*",
        "cve_score_threshold": "0",
    }  # fmt: skip
    page = html.unescape(text(client.post(f"{TAB}call/", sent)))
    command = page.split("<code>")[-1].split("</code>")[0]
    words = shlex.split(command)
    assert words[:4] == ["curl", "-X", "POST", f"{settings.PUBLIC_URL}/api/channels/main/mirrors"]
    body = json.loads(words[words.index("-d") + 1])
    assert body["filters"] == {"exclude_specs": ["numpy <2", "q*"], "cve_score_threshold": 0}
    assert not Mirror.objects.exists()
    client.post("/api/channels/main/mirrors", body, content_type="application/json")
    mirror = Mirror.objects.get(name="it's")
    assert mirror.filter.terms["exclude_specs"] == ["numpy <2", "q*"]
    edited = html.unescape(text(client.post(f"{TAB}call/", {**sent, "mirror": mirror.pk})))
    assert f"curl -X PUT {settings.PUBLIC_URL}/api/channels/main/mirrors/{mirror.pk} " in edited
    assert "mirror_mode" not in edited
    assert "Enter the URL of the source." in text(client.post(f"{TAB}call/", {}))
