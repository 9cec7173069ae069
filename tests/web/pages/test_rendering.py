"""Every page leaves under the strict content-security policy."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.web.client import person
from tests.web.pages.account_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_attempts")]


def test_every_page_has_the_strict_policy() -> None:
    client = browser(person("admin", "admin"))
    for path in ("/", "/profile/", "/channels/", "/nowhere/", "/users/"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert "Content-Security-Policy" in Client().get("/sign-in/").headers
