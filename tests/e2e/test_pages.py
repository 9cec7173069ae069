"""Every page in a real browser: no violation of accessibility or policy, light, dark, narrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from accounts.models import User
from tests.e2e import stage as stages

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_fits_a_phone(
    theme: str,
    stage: stages.Stage,
    sign_in: Callable[[User], Page],
    axe: Callable[[Page], None],
    narrow: Callable[[Page], None],
    live_server: Any,
) -> None:
    page = sign_in(stage.admin)
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    failures = []
    for name, path in stages.pages(stage).items():
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(live_server.url + path)
        for check in (axe, narrow):
            try:
                check(page)
            except AssertionError as error:
                failures.append(f"{name}: {error}")
    assert failures == [], "\n".join(failures)
