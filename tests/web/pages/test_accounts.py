"""Pages of accounts: signing in and out, profile, tokens, users, roles."""

from __future__ import annotations

import re
from datetime import date

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import tokens
from accounts.models import Role, Token, User
from history.models import Event
from tests.web.client import PASSWORD, person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


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


def test_every_page_has_the_strict_policy() -> None:
    client = browser(person("admin", "admin"))
    for path in ("/", "/profile/", "/channels/", "/nowhere/", "/users/"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert "Content-Security-Policy" in Client().get("/sign-in/").headers


def test_a_made_token_is_shown_once_and_works() -> None:
    user = person("ann")
    client = browser(user)
    form = {"name": "ci", "expires": str(tokens.latest_expiry()), "limit": "read"}
    page = client.post("/profile/", form).content.decode()
    secret = re.search(r"\b[0-9a-f]{48}\b", page)
    assert secret
    found = tokens.find(secret[0])
    assert found
    assert found.user == user
    assert "artifact:download" in found.scopes
    assert secret[0] not in client.get("/profile/").content.decode()
    assert Event.objects.get(type="token_created").actor == "ann"


def test_a_token_for_channels_needs_their_names() -> None:
    client = browser(person("ann"))
    form = {"name": "ci", "expires": str(tokens.latest_expiry()), "limit": "channels"}
    assert "Enter at least one channel." in client.post("/profile/", form).content.decode()
    client.post("/profile/", {**form, "resources": "main\nmain/staging", "level": "read"})
    assert Token.objects.get().resources == [
        {"channel": "main", "level": "read"},
        {"channel": "main/staging", "level": "read"},
    ]


def test_a_token_is_revoked_after_a_question_and_only_by_its_owner() -> None:
    ann, bob = person("ann"), person("bob")
    token, secret = tokens.issue(ann, "laptop", expires=date(2090, 1, 1))
    path = f"/profile/tokens/{token.pk}/revoke/"
    assert browser(bob).post(path).status_code == 404
    assert "Revoke the token laptop?" in browser(ann).get(path).content.decode()
    assert Token.objects.exists()
    browser(ann).post(path)
    assert tokens.find(secret) is None
    assert Event.objects.filter(type="token_revoked").count() == 1


def test_the_password_changes_only_with_the_old_one() -> None:
    user = person("ann")
    client = browser(user)
    form = {"current": "wrong", "password": "a very new one"}
    assert "This is not your password." in client.post("/profile/password/", form).content.decode()
    client.post("/profile/password/", {**form, "current": PASSWORD})
    user.refresh_from_db()
    assert user.check_password("a very new one")
    assert client.get("/profile/").status_code == 200


def test_the_theme_is_kept() -> None:
    client = browser(person("ann"))
    answer = client.post("/profile/theme/", {"theme": "dark", "next": "/channels/"})
    assert answer.headers["Location"] == "/channels/"
    assert 'data-theme="dark"' in client.get("/profile/").content.decode()
    client.post("/profile/theme/", {"theme": '"><script>'})
    assert 'data-theme="dark"' in client.get("/profile/").content.decode()


def test_users_and_roles_are_for_administrators_and_403_names_the_attribute() -> None:
    client = browser(person("ann"))
    for path in ("/users/", "/users/create/", "/roles/", "/roles/create/"):
        answer = client.get(path)
        assert answer.status_code == 403
        assert "attribute “roles” is “manage”" in answer.content.decode()
    assert "/users/" not in client.get("/profile/").content.decode()


def test_an_administrator_creates_disables_and_resets_an_account() -> None:
    client = browser(person("admin", "admin"))
    role = Role.objects.get(name="author")
    page = client.post("/users/create/", {"username": "carl", "role": role.pk}).content.decode()
    carl = User.objects.get(username="carl")
    shown = re.search(r"<code>([\w-]{16})</code>", page)
    assert shown
    assert carl.check_password(shown[1])
    client.post(f"/users/{carl.pk}/switch/")
    carl.refresh_from_db()
    assert not carl.is_active
    before = carl.password
    client.post(f"/users/{carl.pk}/password/")
    carl.refresh_from_db()
    assert carl.password != before


def test_the_last_administrator_cannot_be_lost() -> None:
    admin = person("admin", "admin")
    admin.is_superuser = False
    admin.save()
    client = browser(admin)
    reader = Role.objects.get(name="reader")
    form = {"username": "admin", "role": reader.pk}
    assert client.post(f"/users/{admin.pk}/", form).status_code == 403
    assert client.post(f"/users/{admin.pk}/switch/").status_code == 403
    own = Role.objects.get(name="admin")
    levels = dict.fromkeys(("channel", "mirror", "artifact", "cve", "roles"), "read")
    assert client.post(f"/roles/{own.pk}/", {"name": "admin", **levels}).status_code == 403


def test_a_role_is_a_set_of_attributes_and_holds_at_once() -> None:
    client = browser(person("admin", "admin"))
    levels = dict.fromkeys(("channel", "mirror", "artifact", "cve", "roles"), "none")
    client.post("/roles/create/", {"name": "mirrors", **levels, "mirror": "manage"})
    role = Role.objects.get(name="mirrors")
    assert role.attributes["mirror"] == "manage"
    person("dora").role = role
    assert client.post(f"/roles/{role.pk}/delete/").status_code == 302
    assert not Role.objects.filter(name="mirrors").exists()


def test_a_request_of_a_script_without_session_is_401_and_says_so() -> None:
    answer = Client().get("/channels/", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert b"Sign in again" in answer.content
