"""A real browser in front of a real server: signed in, watched, measured for accessibility."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import Client
from playwright.sync_api import BrowserContext, Page

from accounts.models import User
from tests import machine, scene
from tests.condatree import FakeConda
from tests.e2e import stage as stages

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

EXPECTED = (
    # A page that answers with an error status is told of by the browser; pages test that.
    "Failed to load resource",
    # Who submits a form leaves its page, and a check of a field that is still running is aborted.
    # An answer that is an error is told of as htmx:responseError.
    "htmx:sendAbort",
    "htmx:afterRequest",
)


@pytest.fixture(scope="session")
def database_beside_the_browser() -> Iterator[None]:
    """The browser's own event loop runs in this thread; Django would refuse to work beside it."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    yield
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    return {"executable_path": machine.program("chromium"), "args": QUIET}


@pytest.fixture(scope="session")
def browser_context_args() -> dict[str, Any]:
    return {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}


@pytest.fixture
def public_url(live_server: Any, settings: Any) -> None:
    """Snippets and forms name the server that the browser sees."""
    settings.PUBLIC_URL = live_server.url


@pytest.fixture
def complaints(
    database_beside_the_browser: None, public_url: None, context: BrowserContext, live_server: Any
) -> Iterator[list[str]]:
    """Fails the test for console errors, broken policy, and requests to other hosts."""
    told: list[str] = []
    here = urlsplit(live_server.url).netloc

    def on_page(page: Page) -> None:
        page.on("console", lambda line: told.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on(
            "request",
            lambda request: (
                told.append(f"request to {request.url}")
                if urlsplit(request.url).netloc not in (here, "")
                else None
            ),
        )

    context.on("page", on_page)
    yield told
    assert [text for text in told if not any(known in text for known in EXPECTED)] == []


@pytest.fixture
def sign_in(
    complaints: list[str], context: BrowserContext, live_server: Any
) -> Callable[[User], Page]:
    """A page of the browser, signed in as a user without the form."""

    def signed_in(user: User) -> Page:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}]
        )
        page = context.new_page()
        page.goto(live_server.url + "/")
        return page

    return signed_in


@pytest.fixture
def admin_page(sign_in: Callable[[User], Page], transactional_db: None) -> Page:
    """Signed in as the administrator."""
    return sign_in(scene.admin())


@pytest.fixture
def conda(settings: Any) -> Iterator[FakeConda]:
    """An upstream to mirror from."""
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        yield server


@pytest.fixture
def stage(conda: FakeConda, transactional_db: None) -> stages.Stage:
    """A server with something on it."""
    return stages.build(conda)


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Asserts that a page has no violation of accessibility."""

    def check(page: Page) -> None:
        found = Axe().run(page, options=RULES).response["violations"]
        words = [
            f"{one['id']} ({one['help']}): {node['html'][:200]}\n    {node['failureSummary'][:300]}"
            for one in found
            for node in one["nodes"]
        ]
        assert words == [], f"{page.url}\n" + "\n".join(words)

    return check


@pytest.fixture
def narrow() -> Callable[[Page], None]:
    """Asserts that a page does not scroll sideways at 360 px."""

    def check(page: Page) -> None:
        page.set_viewport_size({"width": 360, "height": 740})
        wide = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{page.url} is {wide} px too wide at 360 px"

    return check
