"""The journey of the document that people know, in the browser, against a server that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.condatree import FakeConda
from tests.e2e.test_conda import install
from tests.mirrorserver.server import Server
from tests.rogue import Behaviour

PASSWORD = "correct horse battery"
PATIENCE = 45_000
"""Milliseconds for what a worker has to do first."""


@pytest.fixture
def conda() -> Iterator[FakeConda]:
    with FakeConda() as upstream:
        upstream.add("noarch", "python", "3.12.0", ext=".conda")
        upstream.add("noarch", "pytest", "8.0", depends=["python"])
        upstream.add("noarch", "copied", "1.0", license="GPL-3.0-only")
        upstream.add("noarch", "ancient", "0.1", timestamp=1_300_000_000_000)
        upstream.add("linux-64", "tool", "2.1", depends=["python"], payload=50_000)
        upstream.add("win-64", "windows-tool", "1.0")
        upstream.publish()
        yield upstream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(
        tmp_path / "journey",
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        ADMIN_PASSWORD=PASSWORD,
        DISPATCH_SECONDS="1",
    )
    running.wait_for("http://127.0.0.1")
    yield running
    running.close()


def row(page: Page) -> Locator:
    return page.get_by_role("row").filter(has_text="approved_software")


def act(page: Page, entry: str) -> None:
    """Choose an entry of the mirror's menu."""
    page.get_by_role("button", name="Actions for approved_software").click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


def tags(page: Page, name: str, *values: str) -> None:
    """Type, Tab, type, Tab."""
    page.get_by_role("combobox", name=name, exact=True).click()
    for value in values:
        page.keyboard.type(value)
        page.keyboard.press("Tab")


def test_the_whole_journey(page: Page, server: Server, conda: FakeConda, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"
    told: list[str] = []
    page.on("console", lambda line: told.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))

    page.goto(url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()

    _create_and_freeze_a_channel(page)
    held = Behaviour(hold_at=100)
    conda.behave(conda.path("linux-64", "tool-2.1-0.conda"), held)
    _fill_in_the_form(page, conda)
    _preview(page)
    _run_stop_restart(page, held)
    _details(page)
    _edit(page)
    _unfreeze(page)
    # In a thread of its own: the browser's event loop runs in this one.
    with ThreadPoolExecutor(1) as beside:
        linked = beside.submit(install, f"{url}/api/repo/main", tmp_path, "tool").result()
    assert linked == {"python", "tool"}
    _history(page)
    _delete(page)
    assert told == []


def _create_and_freeze_a_channel(page: Page) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Channels").click()
    page.get_by_role("link", name="Create Channel").first.click()
    page.get_by_label("Name", exact=True).fill("main")
    page.get_by_role("radio", name="Public").check()
    page.get_by_role("checkbox", name="conda").check()
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="main", level=1)).to_be_visible()
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Freeze").click()
    page.get_by_role("dialog").get_by_role("button", name="Freeze channel").click()
    expect(page.get_by_text(re.compile("Clients get revision 1"))).to_be_visible()


def _fill_in_the_form(page: Page, conda: FakeConda) -> None:
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Mirror", exact=True).click()
    expect(page.get_by_role("heading", name="Create a mirror")).to_be_visible()
    page.get_by_role("radio", name="Active").check()
    page.get_by_role("textbox", name="Name", exact=True).fill("approved_software")
    page.get_by_role("textbox", name="External Source Channel").fill(conda.channel)
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("This is a conda source.")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("checkbox", name="linux-64").check()
    tags(page, "Exclude Packages", "p*", "zlib")
    tags(page, "Include Packages", "python")
    page.get_by_role("combobox", name="Exclude Licenses").click()
    page.get_by_role("option", name="GPL", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_label("Built from").fill("2015-01-01")
    page.get_by_role("combobox", name="Frequency").select_option("Custom cron")
    page.get_by_role("textbox", name="Cron expression").fill("30 2 * * 1")
    expect(page.get_by_text("Weekly, on Monday at 02:30")).to_be_visible()
    page.get_by_role("checkbox", name="Run Now").check()


def _preview(page: Page) -> None:
    page.get_by_role("button", name="Preview").click()
    preview = page.get_by_role("complementary", name="Preview")
    expect(preview).to_contain_text("Would pass", timeout=PATIENCE)
    expect(preview).to_contain_text("1 by the mirror's filter: Excluded licenses")
    expect(preview).to_contain_text("1 by the mirror's filter: Exclude Packages")
    expect(preview).to_contain_text("1 by the mirror's filter: Date Range")
    expect(preview).to_contain_text("Added: 2 files")


def _run_stop_restart(page: Page, held: Behaviour) -> None:
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", name="Mirrors of main")).to_be_visible()
    # The download of one file is held, so this is where the run stays.
    expect(row(page)).to_contain_text("Step 6 of 8: Download packages", timeout=PATIENCE)
    act(page, "Details")
    details = page.get_by_role("dialog", name="Mirroring Details")
    expect(details).to_contain_text("Running")
    expect(details).to_contain_text("Downloading 2 files", timeout=PATIENCE)
    details.get_by_role("link", name="Close").click()
    act(page, "Stop")
    page.get_by_role("dialog").get_by_role("button", name="Stop mirror").click()
    expect(row(page)).to_contain_text(re.compile("Stopping|Stopped"))
    expect(row(page)).to_contain_text("Stopped", timeout=PATIENCE)
    held.release()
    act(page, "Restart")
    page.get_by_role("dialog").get_by_role("button", name="Restart mirror").click()
    expect(row(page)).to_contain_text("Completed", timeout=PATIENCE)


def _details(page: Page) -> None:
    act(page, "Details")
    details = page.get_by_role("dialog", name="Mirroring Details")
    for words in ("Completed", "Excluded licenses", "Total", "Downloaded by this run"):
        expect(details).to_contain_text(words)
    details.get_by_role("link", name="Open as a page").click()
    expect(page.get_by_role("heading", name="Mirroring Details")).to_be_visible()
    page.get_by_role("row").filter(has_text="Excluded licenses").get_by_role("link").click()
    expect(page.get_by_role("row").filter(has_text="copied-1.0-0.conda")).to_contain_text("GPL")


def _edit(page: Page) -> None:
    page.get_by_role("navigation", name="Channel").get_by_role("link", name="Mirrors").click()
    act(page, "Edit")
    expect(page.get_by_role("radio", name="Active")).to_be_checked()
    expect(page.get_by_role("radio", name="Active")).to_be_disabled()
    expect(page.get_by_role("textbox", name="Cron expression")).to_have_value("30 2 * * 1")
    page.get_by_role("combobox", name="Frequency").select_option("0 0 * * *")
    page.get_by_role("button", name="Submit").click()
    expect(row(page)).to_contain_text("Daily at 00:00")


def _unfreeze(page: Page) -> None:
    page.get_by_role("button", name="Actions", exact=True).click()
    page.get_by_role("menuitem", name="Unfreeze").click()
    page.get_by_role("dialog").get_by_role("button", name="Unfreeze channel").click()
    expect(page.get_by_text(re.compile("Clients get revision"))).to_have_count(0)

    def published() -> bool:
        page.get_by_role("navigation", name="Channel").get_by_role("link", name="Packages").click()
        return page.get_by_role("link", name="tool", exact=True).count() > 0

    for _ in range(60):
        if published():
            return
        page.wait_for_timeout(500)
    raise AssertionError("The channel was not published after it was unfrozen.")


def _history(page: Page) -> None:
    page.get_by_role("navigation", name="Channel").get_by_role("link", name="History").click()
    for words in (
        "Mirror created", "Mirror started", "Mirror stopped", "Mirror restarted",
        "Mirror completed", "Artifact registered", "Channel frozen", "Channel unfrozen",
    ):  # fmt: skip
        expect(page.get_by_role("cell", name=words, exact=True).first).to_be_visible()


def _delete(page: Page) -> None:
    page.get_by_role("navigation", name="Channel").get_by_role("link", name="Mirrors").click()
    act(page, "Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("are removed from the channel")
    dialog.get_by_role("button", name="Delete mirror").click()
    expect(page.get_by_role("heading", name="No mirrors yet")).to_be_visible()
