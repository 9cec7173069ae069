"""What the very first start creates: the built-in roles and the administrator."""

from __future__ import annotations

import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Role, User
from accounts.permissions import Attribute, Level

ROLES = {
    "admin": dict.fromkeys(Attribute, Level.MANAGE),
    "author": {
        Attribute.CHANNEL: Level.WRITE,
        Attribute.MIRROR: Level.WRITE,
        Attribute.ARTIFACT: Level.WRITE,
        Attribute.CVE: Level.READ,
    },
    "reader": {
        Attribute.CHANNEL: Level.READ,
        Attribute.MIRROR: Level.READ,
        Attribute.ARTIFACT: Level.READ,
        Attribute.CVE: Level.READ,
    },
}


class BadPassword(Exception):
    """The password that the operator chose for `admin` does not fit the rules."""


@transaction.atomic
def ensure_admin(password: str | None = None) -> str | None:
    """Create roles and the user `admin` where there is no user yet.

    Returns the password when it was generated here, to be printed once; else None. The operator
    chose or saw it and nobody else has it, so it need not be changed at the first sign-in.
    """
    for name, attributes in ROLES.items():
        Role.objects.get_or_create(name=name, defaults={"attributes": attributes})
    if User.objects.exists():
        return None
    if password:
        _check(password)
    chosen = password or secrets.token_urlsafe(12)
    User.objects.create_superuser("admin", password=chosen, role=Role.objects.get(name="admin"))
    return None if password else chosen


def _check(password: str) -> None:
    try:
        validate_password(password, User(username="admin"))
    except ValidationError as error:
        raise BadPassword(
            f"ADMIN_PASSWORD cannot be used: {' '.join(error.messages)} Choose another one, or "
            "leave it out and one is made."
        ) from error
