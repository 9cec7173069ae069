"""One's own tokens and theme."""

from __future__ import annotations

import re
from datetime import date

import pytest

from accounts import tokens
from accounts.models import Token
from history.models import Event
from tests.web.client import person
from tests.web.pages.account_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_attempts")]


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


def test_the_theme_is_kept() -> None:
    client = browser(person("ann"))
    answer = client.post("/profile/theme/", {"theme": "dark", "next": "/channels/"})
    assert answer.headers["Location"] == "/channels/"
    assert 'data-theme="dark"' in client.get("/profile/").content.decode()
    client.post("/profile/theme/", {"theme": '"><script>'})
    assert 'data-theme="dark"' in client.get("/profile/").content.decode()
