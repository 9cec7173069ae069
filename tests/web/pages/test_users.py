"""Accounts: create, disable, reset; the last administrator stays."""

from __future__ import annotations

import re

import pytest

from accounts.models import Role, User
from tests.web.client import person
from tests.web.pages.account_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_attempts")]


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
