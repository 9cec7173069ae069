"""Everything by keyboard alone: Tab reaches every control, arrows every entry of every menu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from mirrors.models import Mirror, Run
from tests.e2e import stage as stages

pytestmark = pytest.mark.django_db(transaction=True)

LARGE = 400
CONTROLS = """() => {
    const kinds = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    const shown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled
        && one.type !== "hidden" && one.tabIndex >= 0 && !one.closest("[aria-hidden=true]");
    // Of the buttons of one choice, Tab stops at the chosen one; arrows lead to the others.
    const chosen = (one) => document.querySelector(`input[name="${one.name}"]:checked`);
    const found = [...document.querySelectorAll(kinds)].filter(shown)
        .filter((one) => one.type !== "radio" || one.checked || !chosen(one));
    found.forEach((one, at) => { one.dataset.control = at; });
    return found.map((one) => one.outerHTML.slice(0, 160));
}"""
FOCUSED = """() => {
    const here = document.activeElement;
    const rings = [here, here.closest(".ts-control") ?? here].map((one) => getComputedStyle(one));
    const ring = rings.some(({ outlineStyle, outlineWidth, boxShadow }) =>
        (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none");
    return { at: here.dataset.control ?? "", ring, words: here.outerHTML.slice(0, 160) };
}"""
NAME = """() => {
    const here = document.activeElement;
    const words = here.getAttribute("aria-label") ?? here.labels?.[0]?.innerText;
    return (words ?? here.innerText).trim();
}"""


def reached(page: Page) -> tuple[set[int], list[str]]:
    """The controls that Tab stops at, by their number, and those whose focus does not show."""
    found: dict[int, str] = {}
    last = None
    for _ in range(LARGE):
        page.keyboard.press("Tab")
        here = page.evaluate(FOCUSED)
        if here["at"] == "":
            continue
        at = int(here["at"])
        # A date has three stops; any other control that comes again is the second round.
        if at in found and at != last:
            break
        found[at], last = "" if here["ring"] else here["words"], at
    return set(found), [words for words in found.values() if words]


def test_tab_reaches_every_control_of_every_page_and_shows_where_it_is(
    stage: stages.Stage, sign_in: Callable[[User], Page], live_server: Any
) -> None:
    page = sign_in(stage.admin)
    wrong = []
    for name, path in stages.pages(stage).items():
        page.goto(live_server.url + path)
        page.evaluate("document.activeElement.blur()")
        controls = page.evaluate(CONTROLS)
        found, dim = reached(page)
        wrong += [
            f"{name}: not reached: {controls[at]}" for at in set(range(len(controls))) - found
        ]
        wrong += [f"{name}: focus does not show: {words}" for words in dim]
    assert wrong == [], "\n".join(wrong)


def test_arrows_reach_every_entry_of_every_menu_and_escape_leads_back(
    stage: stages.Stage, sign_in: Callable[[User], Page], live_server: Any
) -> None:
    page = sign_in(stage.admin)
    menus = 0
    for path in (
        "/",
        "/channels/main/",
        "/channels/main/mirrors/",
        "/channels/main/revisions/",
        "/users/",
    ):
        page.goto(live_server.url + path)
        for button in page.locator("[data-menu]").all():
            button.focus()
            page.keyboard.press("Enter")
            entries = page.locator("[role^=menuitem]:visible")
            for entry in entries.all():
                expect(entry).to_be_focused()
                page.keyboard.press("ArrowDown")
            expect(entries.first).to_be_focused()
            page.keyboard.press("Escape")
            expect(button).to_be_focused()
            expect(entries).to_have_count(0)
            menus += 1
    assert menus > 8


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control of this accessible name has the focus."""
    for _ in range(LARGE):
        page.keyboard.press("Tab")
        if page.evaluate(NAME) == name:
            return
    pytest.fail(f"Tab never came to {name}.")


def test_a_mirror_is_duplicated_edited_and_deleted_without_a_mouse(
    stage: stages.Stage, sign_in: Callable[[User], Page], live_server: Any
) -> None:
    page = sign_in(stage.admin)
    tab_to(page, "Actions for approved_software")
    press(page, "Enter", "ArrowDown")
    expect(page.get_by_role("menuitem", name="Duplicate")).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value(
        "approved_software_copy"
    )
    tab_to(page, "Show as API call")
    press(page, "Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text('"mirror_name": "approved_software_copy"')
    press(page, "Escape")
    expect(page.get_by_role("button", name="Show as API call")).to_be_focused()
    press(page, "Shift+Tab", "Shift+Tab", "Shift+Tab")
    expect(page.get_by_role("button", name="Submit")).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_role("link", name="approved_software_copy")).to_be_visible()

    tab_to(page, "Actions for approved_software_copy")
    press(page, "Enter", "Enter")
    expect(page.get_by_role("heading", name="Edit mirror approved_software_copy")).to_be_visible()
    tab_to(page, "Name")
    press(page, "End")
    page.keyboard.type("_2")
    press(page, "Enter")
    expect(page.get_by_role("link", name="approved_software_copy_2")).to_be_visible()

    tab_to(page, "Actions for approved_software_copy_2")
    press(page, "Enter", "End", "Enter")
    expect(dialog).to_contain_text("Delete approved_software_copy_2?")
    tab_to(page, "Delete mirror")
    press(page, "Enter")
    expect(page.get_by_role("status").first).to_contain_text("approved_software_copy_2 deleted")
    assert set(Mirror.objects.filter(deleted_at=None).values_list("name", flat=True)) == {
        "approved_software", "everything"
    }  # fmt: skip


def test_what_hangs_is_marked_as_stopped_from_the_menu(
    stage: stages.Stage, sign_in: Callable[[User], Page], live_server: Any
) -> None:
    run = stage.mirror.runs.latest("number")
    asked = run.created_at - Run.STUCK_AFTER
    Run.objects.filter(pk=run.pk).update(state="stopping", stop_requested_at=asked)
    page = sign_in(stage.admin)
    page.get_by_role("button", name="Actions for approved_software").first.press("Enter")
    page.get_by_role("menuitem", name="Mark as stopped").first.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Mark as stopped").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("marked as stopped")
    run.refresh_from_db()
    assert run.state == "stopped"
