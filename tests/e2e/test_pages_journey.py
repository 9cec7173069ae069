"""What people do on the pages, found by role and accessible name only, and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Token, User
from channels.models import Channel
from history.models import Event
from tests import scene
from tests.e2e import stage as stages

pytestmark = pytest.mark.django_db(transaction=True)

PASTE = """text => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text", text);
    const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    document.activeElement.dispatchEvent(event);
}"""


def paste(page: Page, text: str) -> None:
    """Paste into what has the focus."""
    page.evaluate(PASTE, text)


def test_first_start_leads_from_sign_in_to_a_channel(
    page: Page, complaints: list[str], live_server: Any, transactional_db: None
) -> None:
    scene.admin()
    page.goto(f"{live_server.url}/channels/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="No channels yet")).to_be_visible()
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("listitem").get_by_role("link", name="Create Channel").click()
    page.get_by_label("Name").fill("Wrong name")
    page.get_by_role("button", name="Create Channel").click()
    expect(page.get_by_role("alert")).to_contain_text("begins with a small letter")
    page.get_by_label("Name").fill("main")
    page.get_by_label("conda").check()
    page.get_by_role("button", name="Create Channel").click()
    expect(page.get_by_role("heading", name="main", exact=True)).to_be_visible()
    expect(page.get_by_role("status").first).to_contain_text("Channel main created.")
    assert Channel.objects.get().filter.terms["types"] == ["conda"]


def test_freeze_and_unfreeze_from_the_actions_menu_by_keyboard(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/")
    actions = page.get_by_role("button", name="Actions", exact=True)
    actions.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(actions).to_be_focused()
    page.keyboard.press("ArrowDown")
    freeze = page.get_by_role("menuitem", name="Freeze")
    while not freeze.evaluate("element => element === document.activeElement"):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Freeze the channel main?")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(actions).to_be_focused()
    actions.click()
    page.get_by_role("menuitem", name="Freeze").click()
    dialog.get_by_role("button", name="Freeze channel").click()
    expect(page.get_by_text("Clients get revision")).to_contain_text("by admin")
    page.get_by_role("link", name="Unfreeze channel").click()
    page.get_by_role("button", name="Unfreeze channel").click()
    expect(page.get_by_text("Clients get revision")).to_be_hidden()
    kinds = Event.objects.filter(channel_id=stage.main.pk).values_list("type", flat=True)
    assert [kind for kind in kinds if "frozen" in kind] == ["channel_frozen", "channel_unfrozen"]


def test_deleting_a_channel_says_what_is_lost(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/frozen/")
    page.get_by_role("button", name="Actions", exact=True).click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete the channel frozen?")
    expect(dialog).to_contain_text("Its mirrors are deleted: everything.")
    dialog.get_by_role("button", name="Delete channel").click()
    expect(page.get_by_role("heading", name="Channels")).to_be_visible()
    assert not Channel.objects.filter(name="frozen_at", deleted_at=None).exists()


def test_tags_are_made_by_tab_enter_comma_and_pasting(
    stage: stages.Stage, admin_page: Page, axe: Callable[[Page], None], live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/empty/settings/")
    field = page.get_by_role("combobox", name="Exclude Packages")
    field.focus()
    page.keyboard.type("zlib")
    page.keyboard.press("Tab")
    expect(field).to_be_focused()
    page.keyboard.type("numpy >=1.26,<2")
    page.keyboard.press("Enter")
    page.keyboard.type("p*,scipy")
    page.keyboard.press("Tab")
    paste(page, "alpha beta\ngamma >=2; delta, epsilon\n")
    axe(page)
    page.keyboard.press("Tab")
    expect(field).not_to_be_focused()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("saved.")
    assert Channel.objects.get(name="empty").filter.terms["exclude_specs"] == [
        *("zlib", "numpy >=1.26,<2", "p*", "scipy", "alpha", "beta"),
        *("gamma >=2", "delta", "epsilon"),
    ]


def test_what_cannot_be_parsed_is_told_at_its_field_and_nothing_typed_is_lost(
    stage: stages.Stage, admin_page: Page, axe: Callable[[Page], None], live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/empty/settings/")
    field = page.get_by_role("combobox", name="Include Packages")
    field.focus()
    page.keyboard.type("numpy >=>1")
    page.keyboard.press("Tab")
    page.get_by_label("Description").fill("kept words")
    page.get_by_role("button", name="Save").click()
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("“numpy >=>1” (entry 1)")
    expect(summary).to_be_focused()
    expect(page.get_by_label("Description")).to_have_value("kept words")
    axe(page)


def test_thousands_of_pasted_names_stay_quick_and_whole(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/empty/settings/")
    page.get_by_role("combobox", name="Only include the following package names").focus()
    names = [f"name{at}" for at in range(5000)]
    paste(page, "\n".join(names))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").first).to_contain_text("saved.")
    assert Channel.objects.get(name="empty").filter.terms["only_specs"] == names


def test_an_event_opens_in_a_dialog_and_has_an_address(
    stage: stages.Stage, admin_page: Page, axe: Callable[[Page], None], live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/history/")
    first = page.get_by_role("row").nth(1)
    expect(first).to_contain_text("Channel created")
    page.get_by_role("link", name="Event ID").click()
    expect(page.get_by_role("row").nth(1)).not_to_contain_text("Channel created")
    page.get_by_label("Type").select_option("Mirror completed")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("row").nth(1).get_by_role("link").click()
    dialog = page.get_by_role("dialog", name="Mirror completed")
    expect(dialog).to_contain_text("approved_software")
    axe(page)
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("row").nth(1).get_by_role("link")).to_be_focused()


def test_M07_hostile_texts_show_as_text(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/packages/?q=hostile")
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("<script>alert(1)</script>")
    expect(row).to_contain_text("‹U+202E›")
    page.get_by_role("link", name="hostile").click()
    expect(page.get_by_text("␛[31mred").first).to_be_visible()


def test_why_names_the_rule_and_the_value(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/packages/")
    page.get_by_label("Package or file name").fill("jupyterlab")
    page.get_by_role("button", name="Explain").click()
    answer = page.get_by_role("row").nth(1)
    expect(answer).to_contain_text("jupyterlab-1.0-0.conda")
    expect(answer).to_contain_text("Exclude Packages")
    expect(answer).to_contain_text("jupyter*")


def test_rolling_back_freezes_and_says_so(
    stage: stages.Stage, admin_page: Page, axe: Callable[[Page], None], live_server: Any
) -> None:
    page, before = admin_page, stage.main.current
    page.goto(f"{live_server.url}/channels/main/revisions/")
    page.get_by_role("button", name="Actions for revision 2").click()
    page.get_by_role("menuitem", name="Pin").click()
    page.get_by_role("button", name="Actions for revision 2").click()
    axe(page)
    page.get_by_role("menuitem", name="Roll back").click()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("rolled back to revision 2.", exact=False).first).to_be_visible()
    stage.main.refresh_from_db()
    assert stage.main.current == before + 1
    assert stage.main.frozen_revision == 2
    page.get_by_label("Compare revision").select_option("2")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("region", name="Added")).to_contain_text("0 files")


def test_a_new_token_can_be_copied_and_is_gone_after_a_reload(
    context: Any, stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{live_server.url}/profile/")
    page.get_by_label("Name").fill("my laptop")
    page.get_by_role("button", name="Create token").click()
    secret = page.get_by_role("region", name="Token", exact=True).inner_text().strip()
    page.get_by_role("button", name="Copy Token").click()
    expect(page.get_by_role("button", name="Copied Token")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.goto(f"{live_server.url}/profile/")
    expect(page.get_by_text(secret)).to_have_count(0)
    assert Token.objects.filter(name="my laptop").count() == 1


def test_the_chosen_theme_holds_from_the_first_paint(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.get_by_role("button", name="admin").click()
    page.get_by_role("menuitemradio", name="Dark theme").click()
    page.wait_for_load_state()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_a_reader_sees_no_way_to_change_and_gets_a_reason(
    stage: stages.Stage, sign_in: Callable[[User], Page], live_server: Any
) -> None:
    page = sign_in(stage.reader)
    page.goto(f"{live_server.url}/channels/main/")
    expect(page.get_by_role("button", name="Actions")).to_have_count(0)
    expect(page.get_by_role("link", name="All Repository Mirrors")).to_have_count(0)
    page.goto(f"{live_server.url}/channels/main/settings/freeze/")
    expect(page.get_by_text("attribute “channel” is “write”")).to_be_visible()
    page.goto(f"{live_server.url}/channels/frozen/")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


def test_pages_can_be_read_and_sent_without_scripts(
    browser: Any, stage: stages.Stage, complaints: list[str], live_server: Any
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}/sign-in/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{live_server.url}/channels/empty/settings/")
    page.get_by_label("Exclude Packages").fill("zlib\nnumpy >=1.26")
    page.get_by_role("button", name="Save").click()
    page.goto(f"{live_server.url}/channels/empty/")
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("link", name="Cancel").click()
    terms = Channel.objects.get(name="empty").filter.terms
    assert terms["exclude_specs"] == ["zlib", "numpy >=1.26"]
    context.close()


def test_the_api_can_be_read_and_tried_on_its_own_page(admin_page: Page, live_server: Any) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/api/docs")
    page.get_by_role("button", name=re.compile("^GET .*system")).first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text('"service_name"').first).to_be_visible()


def test_fields_of_the_settings_are_found_by_their_exact_names(
    stage: stages.Stage, admin_page: Page, live_server: Any
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/channels/main/settings/")
    for name in ("Exclude Packages", "Include Packages"):
        expect(page.get_by_role("combobox", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="Description", exact=True)).to_be_visible()
