"""The pages of mirrors in a real browser: rows that are polled, dialogs, the form's fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from accounts.models import User
from channels import services as channel_manage
from mirrors import run_control
from mirrors.models import Failure, LogLine, Mirror, Run, StepTimes
from tests import scene
from tests.condatree import FakeConda

pytestmark = pytest.mark.django_db(transaction=True)

Check = Callable[[Page], None]
EVIL = "<script>alert(1)</script> \u202egnirts\u202c \x1b[31mred " + "long" * 2500


@pytest.fixture(autouse=True)
def allowed(settings: Any) -> None:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)


@pytest.fixture
def mirror(conda: FakeConda, transactional_db: None) -> Mirror:
    """A mirror whose run is on its way, as far as its rows say."""
    for at in range(30):
        conda.add("noarch", f"package{at:02}", "1.0", license="GPL-3.0-only" if at < 10 else "MIT")
    conda.add("linux-64", "tool", "2.1", depends=["package20"])
    conda.publish()
    channel = scene.channel("main")
    return scene.mirror(
        channel, conda.channel, "approved_software", filters={"exclude_licenses": ["GPL3"]}
    )


def running(mirror: Mirror, **fields: Any) -> Run:
    """A run that a worker seems to be at."""
    run = run_control.request_run(mirror, cause="manual", actor="admin")
    Run.objects.filter(pk=run.pk).update(**{"state": "running", "step": 1, **fields})
    return run


def becomes(run: Run, **fields: Any) -> None:
    Run.objects.filter(pk=run.pk).update(**fields)


def row(page: Page, name: str = "approved_software") -> Locator:
    return page.get_by_role("row").filter(has_text=name)


def test_a_poll_moves_words_and_bar_and_leaves_focus_and_an_open_menu_alone(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    run = running(mirror)
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/")
    expect(row(page)).to_contain_text("Step 1 of 8: Fetch remote index")
    page.get_by_role("checkbox", name="Select approved_software").check()
    page.get_by_role("button", name="Actions for approved_software").click()
    page.get_by_role("menuitem", name="Details").focus()
    becomes(run, step=6, percent=43, bytes=5_000_000)
    expect(row(page)).to_contain_text("Step 6 of 8: Download packages")
    bar = page.get_by_role("progressbar", name="Progress of approved_software")
    expect(bar).to_have_attribute("value", "43")
    expect(page.get_by_role("menuitem", name="Details")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Details")).to_be_focused()
    expect(page.get_by_role("checkbox", name="Select approved_software")).to_be_checked()
    # The entry that is gone takes nothing else with it: focus stays in the menu.
    page.get_by_role("menuitem", name="Stop").focus()
    becomes(run, state="completed")
    expect(row(page)).to_contain_text("Completed")
    expect(page.get_by_role("menuitem", name="Stop")).to_have_count(0)
    expect(page.get_by_role("menuitem", name="Edit")).to_be_focused()


def test_polling_ends_with_the_run_and_rests_in_a_hidden_page(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    run = running(mirror)
    page = admin_page
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/row/" in one.url else None)
    page.goto(f"{live_server.url}/channels/main/mirrors/")
    with page.expect_response("**/row/**"):
        pass
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    before = len(asked)
    page.wait_for_timeout(4500)
    assert len(asked) == before
    page.evaluate("delete document.hidden")
    becomes(run, state="completed")
    expect(row(page)).to_contain_text("Completed")
    before = len(asked)
    page.wait_for_timeout(4500)
    assert len(asked) == before


def test_stop_clicked_in_a_dialog_while_the_row_changes_under_it_is_heard(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    run = running(mirror)
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/")
    page.get_by_role("button", name="Actions for approved_software").click()
    page.get_by_role("menuitem", name="Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop approved_software?")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    becomes(run, step=6, percent=10)
    expect(page.locator("tr", has_text="approved_software")).to_contain_text("Step 6 of 8")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Stop mirror").click()
    expect(row(page)).to_contain_text("Stopping")
    run.refresh_from_db()
    assert run.state == "stopping"


def test_escape_closes_the_dialog_and_focus_returns_to_its_menu(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    run = running(mirror)
    page = admin_page
    page.goto(f"{live_server.url}/mirrors/")
    opener = page.get_by_role("button", name="Actions for approved_software")
    opener.focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Delete").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Delete approved_software?")
    becomes(run, step=2)
    expect(page.locator("tr", has_text="approved_software")).to_contain_text("Step 2 of 8")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()


def test_details_open_in_a_dialog_and_follow_the_log(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    run = running(
        mirror, step=2, steps=[StepTimes(number=1, started="2026-01-01T00:00:00+00:00", ended=None)]
    )
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/")
    page.get_by_role("button", name="Actions for approved_software").click()
    page.get_by_role("menuitem", name="Details").click()
    dialog = page.get_by_role("dialog", name="Mirroring Details")
    expect(dialog).to_contain_text("Step 2 of 8: Read remote packages")
    for at in range(60):
        LogLine.objects.create(run=run, text=f"line {at}")
    expect(dialog).to_contain_text("line 59")
    dialog.get_by_role("list", name="Log lines").scroll_into_view_if_needed()
    expect(dialog.get_by_text("line 59", exact=True)).to_be_in_viewport()
    becomes(run, state="stopped")
    expect(dialog).to_contain_text("Stopped")
    expect(dialog).to_be_visible()
    dialog.get_by_role("link", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_M07_hostile_strings_of_an_upstream_show_as_text_and_break_no_page(
    mirror: Mirror, admin_page: Page, live_server: Any, narrow: Check
) -> None:
    run = running(mirror, state="failed", error=EVIL)
    Failure.objects.create(run=run, section="noarch", filename=EVIL[:200], message=EVIL)
    LogLine.objects.create(run=run, level="error", text=EVIL)
    Mirror.objects.update(held={"noarch": {"snapshot": None, "reason": EVIL}}, warnings=[EVIL])
    page = admin_page
    for path in ("", f"{mirror.pk}/", f"{mirror.pk}/runs/1/files/?reason=failed"):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{live_server.url}/channels/main/mirrors/{path}")
        expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
        narrow(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_of_mirrors_is_accessible_and_fits_a_phone(
    theme: str, mirror: Mirror, admin_page: Page, live_server: Any, axe: Check, narrow: Check
) -> None:
    scene.run_now(mirror)
    other = scene.mirror(mirror.channel, mirror.upstream.url, "active", mirror_mode="active")
    running(other, step=6, percent=40)
    Mirror.objects.filter(pk=mirror.pk).update(
        held={"noarch": {"snapshot": None, "reason": "It is empty."}}, warnings=["Take care."]
    )
    page = admin_page
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    base = f"{live_server.url}/channels/main/mirrors/"
    one = f"{base}{mirror.pk}/"
    for address in (
        base, f"{live_server.url}/mirrors/", f"{live_server.url}/mirrors/?q=nobody",
        f"{base}create/", f"{one}edit/", one, f"{one}runs/", f"{one}runs/1/files/",
        f"{one}delete/", f"{base}{other.pk}/", f"{base}bulk/?do=run&mirror={mirror.pk}",
    ):  # fmt: skip
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(address)
        axe(page)
        narrow(page)


def test_an_open_menu_and_an_open_dialog_are_accessible(
    mirror: Mirror, admin_page: Page, live_server: Any, axe: Check
) -> None:
    scene.run_now(mirror)
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/")
    page.get_by_role("button", name="Actions for approved_software").click()
    axe(page)
    page.get_by_role("menuitem", name="Details").click()
    expect(page.get_by_role("dialog", name="Mirroring Details")).to_be_visible()
    axe(page)


# The form.


def test_every_field_has_the_name_of_the_document(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    for role, name in (
        ("group", "Mode"), ("radio", "Active"), ("radio", "Passive"), ("textbox", "Name"),
        ("textbox", "External Source Channel"), ("combobox", "Type"), ("group", "Platforms"),
        ("checkbox", "noarch"), ("checkbox", "Keep Legacy Packages"), ("group", "CVE Filters"),
        ("checkbox", "Only include the following package names"), ("group", "Date Range"),
        ("button", "View Channel Filters"), ("combobox", "Frequency"), ("checkbox", "Run Now"),
        ("button", "Cancel"), ("button", "Submit"), ("button", "Preview"),
        ("button", "Test connection"),
    ):  # fmt: skip
        found = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
        expect(found, f"{role} {name}").to_have_count(1)
    for name in ("Exclude Packages", "Include Packages", "Mode", "Platforms", "Date Range"):
        expect(page.get_by_label(name), name).to_have_count(1)
    expect(page.get_by_role("radio", name="Passive")).to_be_checked()
    expect(page.get_by_role("checkbox", name="noarch")).to_be_checked()
    page.get_by_role("checkbox", name="noarch").uncheck()
    expect(page.get_by_text("No platform is selected")).to_be_visible()
    page.get_by_role("checkbox", name="linux-64").check()
    expect(page.get_by_text("Without noarch, many packages")).to_be_visible()


def test_the_form_shows_what_a_type_has_and_says_what_it_lacks(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    kinds = page.get_by_role("combobox", name="Type").get_by_role("option").all_text_contents()
    assert "conda" in kinds
    for kind in set(kinds) - {"conda"}:
        page.get_by_role("combobox", name="Type").select_option(kind)
        expect(page.get_by_role("group", name="Platforms")).to_have_count(0)
        expect(page.get_by_role("checkbox", name="Keep Legacy Packages")).to_have_count(0)
        expect(page.get_by_role("group", name="CVE Filters")).to_be_visible()
        expect(page.get_by_text(re.compile(f"^{kind} mirrors have no", re.I))).to_be_visible()
    page.get_by_role("combobox", name="Type").select_option("conda")
    expect(page.get_by_role("group", name="Platforms")).to_be_visible()


def test_what_is_typed_is_answered_where_it_stands(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    channel_manage.edit(mirror.channel, {"filters": {"subdirs": ["win-64"]}}, actor="admin")
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    expect(page.get_by_text("have none in common")).to_be_visible()
    expect(page.get_by_text("Monthly, on the 1st at 00:00")).to_be_visible()
    page.get_by_role("combobox", name="Frequency").select_option("Custom cron")
    page.get_by_role("textbox", name="Cron expression").fill("*/10 * * * *")
    expect(page.get_by_text("Every 10 minutes")).to_be_visible()
    expect(page.get_by_text("more often than daily")).to_be_visible()
    exclude = page.get_by_role("combobox", name="Exclude Packages")
    exclude.fill("numpy ==")
    exclude.press("Tab")
    expect(page.get_by_text("“numpy ==”:")).to_be_visible()
    expect(page.locator(".tag-invalid")).to_have_text(re.compile("numpy =="))
    expect(exclude).to_be_focused()
    view = page.get_by_role("button", name="View Channel Filters")
    expect(view).to_have_attribute("aria-expanded", "false")
    view.click()
    expect(page.get_by_role("region", name="View Channel Filters")).to_contain_text("win-64")


def test_a_submit_that_is_refused_keeps_the_tags_and_leads_to_the_field(
    mirror: Mirror, admin_page: Page, live_server: Any, axe: Check
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    page.get_by_role("textbox", name="Name", exact=True).fill("other")
    page.get_by_role("textbox", name="External Source Channel").fill(mirror.upstream.url)
    exclude = page.get_by_role("combobox", name="Exclude Packages")
    for text in ("p*", "numpy =="):
        exclude.fill(text)
        exclude.press("Tab")
    page.get_by_role("button", name="Submit").click()
    alert = page.get_by_role("alert").filter(has_text="This could not be saved")
    expect(alert).to_be_focused()
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("other")
    expect(
        page.get_by_role("group").or_(page.locator(".ts-control")).filter(has_text="p*").first
    ).to_be_visible()
    axe(page)
    alert.get_by_role("link", name="Exclude Packages").click()
    expect(page.get_by_role("combobox", name="Exclude Packages")).to_be_focused()
    assert Mirror.objects.count() == 1


def test_thousands_of_pasted_names_are_saved_whole(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    page.get_by_role("textbox", name="Name", exact=True).fill("large")
    page.get_by_role("textbox", name="External Source Channel").fill(mirror.upstream.url)
    exclude = page.get_by_role("combobox", name="Exclude Packages")
    names = [f"name-{at}" for at in range(5000)]
    exclude.evaluate(
        """(box, text) => {
            const data = new DataTransfer();
            data.setData("text", text);
            box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        "\n".join(names),
    )
    page.get_by_role("button", name="Submit").click()
    expect(row(page, "large")).to_be_visible()
    assert Mirror.objects.get(name="large").filter.terms["exclude_specs"] == names


def test_names_are_imported_from_a_file_and_cleared(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    exclude = page.locator(".field").filter(
        has=page.get_by_role("combobox", name="Exclude Packages")
    )
    for content, entries in ((b"numpy\nscipy >=1,<2\n", 2), (b"six", 3)):
        with page.expect_file_chooser() as chosen:
            exclude.get_by_role("button", name="Import from a file").click()
        chosen.value.set_files({"name": "names.txt", "mimeType": "text/plain", "buffer": content})
        expect(exclude.locator(".ts-control .item")).to_have_count(entries)
    exclude.get_by_role("button", name="Clear all").click()
    expect(exclude.locator(".ts-control .item")).to_have_count(0)


def test_cancel_discards_and_edit_has_its_mode_locked(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/mirrors/{mirror.pk}/edit/")
    expect(page.get_by_role("radio", name="Active")).to_be_disabled()
    expect(page.get_by_role("combobox", name="Type")).to_be_disabled()
    expect(page.get_by_text("The mode of an existing mirror cannot be changed")).to_be_visible()
    expect(page.locator(".ts-control", has_text="GPL3")).to_be_visible()
    page.on("dialog", lambda one: one.accept())
    page.get_by_role("textbox", name="Name", exact=True).fill("changed")
    page.get_by_role("button", name="Cancel").click()
    expect(row(page)).to_be_visible()
    assert Mirror.objects.get().name == "approved_software"


def test_the_form_works_without_scripts(
    mirror: Mirror, browser: Any, sign_in: Callable[[User], Page], live_server: Any
) -> None:
    cookies = sign_in(scene.admin()).context.cookies()
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(f"{live_server.url}/channels/main/mirrors/create/")
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_label("External Source Channel").fill(mirror.upstream.url)
    page.get_by_label("Exclude Packages").fill("p*, q*\nnumpy <2")
    page.get_by_label("Frequency").select_option("Custom cron")
    page.get_by_label("Cron expression").fill("0 3 * * 1")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("row").filter(has_text="plain")).to_be_visible()
    saved = Mirror.objects.get(name="plain")
    assert saved.filter.terms["exclude_specs"] == ["p*", "q*", "numpy <2"]
    assert saved.cron == "0 3 * * 1"
    context.close()


def test_all_repository_mirrors_are_filtered_and_stopped_in_bulk(
    mirror: Mirror, admin_page: Page, live_server: Any
) -> None:
    other = scene.mirror(mirror.channel, mirror.upstream.url, "second")
    running(mirror)
    running(other)
    page = admin_page
    page.goto(live_server.url)
    page.get_by_role("link", name="All Repository Mirrors").click()
    page.get_by_role("searchbox", name="Search").fill("sec")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile(r"q=sec"))
    expect(row(page, "approved_software")).to_have_count(0)
    page.get_by_role("link", name="Clear filters").click()
    page.get_by_role("checkbox", name="Select this page").check()
    page.get_by_role("button", name="Stop selected").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop 2 mirrors?")
    dialog.get_by_role("button", name="Stop 2 mirrors").click()
    expect(page.get_by_role("heading", name="Stop: 2 of 2 mirrors")).to_be_visible()
    assert set(Run.objects.values_list("state", flat=True)) == {"stopping"}
