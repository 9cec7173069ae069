"""Roles are sets of attributes with a level each."""

from __future__ import annotations

import pytest

from accounts.models import Role
from tests.web.client import person
from tests.web.pages.account_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_attempts")]


def test_a_role_is_a_set_of_attributes_and_holds_at_once() -> None:
    client = browser(person("admin", "admin"))
    levels = dict.fromkeys(("channel", "mirror", "artifact", "cve", "roles"), "none")
    client.post("/roles/create/", {"name": "mirrors", **levels, "mirror": "manage"})
    role = Role.objects.get(name="mirrors")
    assert role.attributes["mirror"] == "manage"
    person("dora").role = role
    assert client.post(f"/roles/{role.pk}/delete/").status_code == 302
    assert not Role.objects.filter(name="mirrors").exists()
