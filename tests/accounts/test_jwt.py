"""Bearer tokens."""

from __future__ import annotations

import base64
import json

import jwt as pyjwt
import pytest
from django.conf import settings

from accounts import jwt
from accounts.first_start import ensure_admin
from accounts.models import Role, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    ensure_admin("a long password")
    return User.objects.get(username="admin")


def payload(token: str) -> dict[str, object]:
    """The payload as the vendor's client reads it: plain base64, not base64url."""
    part = token.split(".")[1]
    return json.loads(base64.b64decode(part + "=" * (-len(part) % 4), validate=True))


def test_an_issued_token_verifies_as_its_user(admin: User) -> None:
    token, _ = jwt.issue(admin)
    assert jwt.verify(token) == admin


def test_the_payload_is_readable_with_plain_base64_whatever_the_user_is_called() -> None:
    role = Role.objects.create(name="rôle>?~")
    for name in ("Ünïcode>?~", "a?", "ab?", "abc?", "~~~~", "x>y>z"):
        user = User.objects.create_user(name, role=role)
        assert payload(jwt.issue(user)[0])["realm_access"] == {"roles": ["r_le___"]}


def test_an_administrator_has_the_role_admin(admin: User) -> None:
    assert payload(jwt.issue(admin)[0])["realm_access"] == {"roles": ["admin"]}
    other = User.objects.create_superuser("root")
    assert payload(jwt.issue(other)[0])["realm_access"] == {"roles": ["admin"]}


def test_a_refresh_token_is_no_access_token(admin: User) -> None:
    assert jwt.verify(jwt.issue(admin)[1]) is None


def test_a_changed_password_ends_the_session(admin: User) -> None:
    token, _ = jwt.issue(admin)
    admin.set_password("another password")
    admin.save()
    assert jwt.verify(token) is None


def test_an_inactive_user_is_nobody(admin: User) -> None:
    token, _ = jwt.issue(admin)
    User.objects.update(is_active=False)
    assert jwt.verify(token) is None


def test_A08_what_was_not_signed_here_is_nobody(admin: User) -> None:
    claims = pyjwt.decode(jwt.issue(admin)[0], options={"verify_signature": False})
    forged = pyjwt.encode(claims, "another key that is long enough for it", algorithm="HS256")
    unsigned = pyjwt.encode(claims, "", algorithm="none")
    expired = pyjwt.encode({**claims, "exp": 1}, settings.SECRET_KEY, algorithm="HS256")
    for text in (forged, unsigned, expired, "", "a.b.c", "é", "a" * 5000):
        assert jwt.verify(text) is None
