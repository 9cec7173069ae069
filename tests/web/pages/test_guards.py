"""Who may open a page: strangers sign in first, scripts get 401, others need a level."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.web.client import PASSWORD, person
from tests.web.pages.account_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_attempts")]


def test_a_page_sends_a_stranger_to_sign_in_and_back() -> None:
    person("admin", "admin")
    client = Client()
    answer = client.get("/profile/?x=1")
    assert answer.headers["Location"] == "/sign-in/?next=/profile/%3Fx%3D1"
    answer = client.post(
        "/sign-in/", {"username": "admin", "password": PASSWORD, "next": "/profile/?x=1"}
    )
    assert answer.headers["Location"] == "/profile/?x=1"
    assert client.get("/profile/").status_code == 200


def test_users_and_roles_are_for_administrators_and_403_names_the_attribute() -> None:
    client = browser(person("ann"))
    for path in ("/users/", "/users/create/", "/roles/", "/roles/create/"):
        answer = client.get(path)
        assert answer.status_code == 403
        assert "attribute “roles” is “manage”" in answer.content.decode()
    assert "/users/" not in client.get("/profile/").content.decode()


def test_a_request_of_a_script_without_session_is_401_and_says_so() -> None:
    answer = Client().get("/channels/", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert b"Sign in again" in answer.content
