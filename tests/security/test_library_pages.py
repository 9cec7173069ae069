"""Attack: pages of django-allauth that this server does not have, or has in the library's look."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account import urls as account
from allauth.usersessions import urls as usersessions
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, reverse

from accounts.adapter import Adapter
from accounts.models import User
from tests.web.client import PASSWORD, person

pytestmark = pytest.mark.django_db

PASSWORD_PAGE = "/profile/password/"
SERVED = {"account_login", "account_logout", "account_change_password"}
LIBRARY = [*account.urlpatterns, *usersessions.urlpatterns]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def browser(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def ours(answer: Any, status: int) -> str:
    """The text of an answer in this server's look, under its policy."""
    text = str(answer.content.decode())
    assert answer.status_code == status, text[:500]
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert '<div class="head' in text or "<main" in text
    return text


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_has_no_password_is_told_so_where_one_is_changed(method: str) -> None:
    ann = person("ann")
    ann.set_unusable_password()
    ann.save()
    client = browser(ann)
    text = ours(getattr(client, method)(PASSWORD_PAGE), 404)
    assert "This account has no password here." in text
    assert PASSWORD_PAGE not in client.get("/profile/").content.decode()
    assert PASSWORD_PAGE in browser(person("bob")).get("/profile/").content.decode()


def test_of_the_librarys_pages_three_are_served_and_no_other() -> None:
    found = set()
    for one in LIBRARY:
        for kwargs in ({}, {"key": "a:b"}, {"uidb36": "a", "key": "b"}):
            try:
                found.add((one.name, reverse(str(one.name), kwargs=kwargs)))
            except NoReverseMatch:
                continue
    assert {name for name, _ in found} == SERVED
    assert len(LIBRARY) > len(SERVED)


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("root", ["/", "/accounts/"])
def test_an_address_of_the_library_is_a_404_of_this_server(root: str, signed_in: bool) -> None:
    client = browser(person("ann")) if signed_in else Client(raise_request_exception=False)
    places = [str(one.pattern) for one in LIBRARY]
    assert "password/set/" in places
    for place in places:
        if place and "(" not in place:
            ours(client.get(f"{root}{place}"), 404)


def test_too_many_tries_to_change_a_password_end_in_this_servers_look() -> None:
    client = browser(person("ann"))
    form = {"current": "guess", "password": "seven green lanterns"}
    for _ in range(5):
        answer = client.post(PASSWORD_PAGE, form)
        assert "This is not your password." in ours(answer, 200)
    answer = client.post(PASSWORD_PAGE, {**form, "current": PASSWORD})
    assert "Too many attempts" in ours(answer, 429)
    assert answer["Retry-After"] == "60"
    assert User.objects.get(username="ann").check_password(PASSWORD)


def test_who_is_disabled_while_signing_in_comes_back_to_the_sign_in_page() -> None:
    request = RequestFactory().post("/sign-in/")
    answer = Adapter(request).respond_user_inactive(request, person("ann"))
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in/")
