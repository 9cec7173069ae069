"""What the very first start creates: the built-in roles and the administrator."""

from __future__ import annotations

import secrets

from django.db import transaction

from accounts.models import ATTRIBUTES, Role, User

ROLES = {
    "admin": dict.fromkeys(ATTRIBUTES, "manage"),
    "author": {"channel": "write", "mirror": "write", "artifact": "write", "cve": "read"},
    "reader": {"channel": "read", "mirror": "read", "artifact": "read", "cve": "read"},
}


@transaction.atomic
def ensure_admin(password: str | None = None) -> str | None:
    """Create roles and the user `admin` where there is no user yet.

    Returns the password when it was generated here, to be printed once; else None.
    """
    for name, attributes in ROLES.items():
        Role.objects.get_or_create(name=name, defaults={"attributes": attributes})
    if User.objects.exists():
        return None
    chosen = password or secrets.token_urlsafe(12)
    User.objects.create_superuser("admin", password=chosen, role=Role.objects.get(name="admin"))
    return None if password else chosen
