"""Signing in and out, and changing one's password."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.web.client import PASSWORD, person
from tests.web.pages.account_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_attempts")]


def test_signing_in_never_leads_to_another_server() -> None:
    person("admin", "admin")
    for onward in ("https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"):
        answer = Client().post(
            "/sign-in/", {"username": "admin", "password": PASSWORD, "next": onward}
        )
        assert answer.headers["Location"] == "/"


def test_a_wrong_password_is_told_and_too_many_are_stopped() -> None:
    person("admin", "admin")
    client = Client()
    for _ in range(5):
        answer = client.post("/sign-in/", {"username": "admin", "password": "wrong"})
        assert "The user name or the password is wrong." in answer.content.decode()
    answer = client.post("/sign-in/", {"username": "admin", "password": PASSWORD})
    assert answer.status_code == 429
    assert "Wait a minute" in answer.content.decode()


def test_A08_signing_out_needs_a_post_and_ends_the_session() -> None:
    client = browser(person("admin", "admin"))
    assert client.get("/sign-out/").status_code == 405
    client.post("/sign-out/")
    assert client.get("/profile/").status_code == 302


def test_the_password_changes_only_with_the_old_one() -> None:
    user = person("ann")
    client = browser(user)
    form = {"current": "wrong", "password": "a very new one"}
    assert "This is not your password." in client.post("/profile/password/", form).content.decode()
    client.post("/profile/password/", {**form, "current": PASSWORD})
    user.refresh_from_db()
    assert user.check_password("a very new one")
    assert client.get("/profile/").status_code == 200
