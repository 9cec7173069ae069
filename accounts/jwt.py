"""Bearer tokens of people who signed in with a password: issue and verify.

Clients decode the payload with plain base64, so every claim is ASCII without `>`, `?` and `~`:
only those characters bring `-` and `_` into its base64url form. The claim `key` is bound to
the password, so a changed password ends every session.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from django.conf import settings

from accounts.access import can
from accounts.models import User

ALGORITHM = "HS256"
LIFETIME = timedelta(hours=12)
REFRESH_LIFETIME = timedelta(days=14)


def issue(user: User) -> tuple[str, str]:
    """An access token and a refresh token for `user`."""
    claims = {
        "preferred_username": _plain(user.get_username()),
        "realm_access": {"roles": roles(user)},
    }
    access = _signed(user, "access", lifetime=LIFETIME, claims=claims)
    return access, _signed(user, "refresh", lifetime=REFRESH_LIFETIME, claims={})


def verify(text: str) -> User | None:
    """The active user an access token speaks for; None for anything else."""
    try:
        claims = jwt.decode(
            text,
            settings.SECRET_KEY,
            algorithms=[ALGORITHM],
            options={"require": ["exp", "sub", "typ", "key"]},
        )
    except jwt.InvalidTokenError:
        return None
    subject = claims["sub"]
    if claims["typ"] != "access" or not subject.isdecimal() or len(subject) > 18:
        return None
    user = User.objects.select_related("role").filter(pk=int(subject), is_active=True).first()
    if user is None or claims["key"] != _key(user):
        return None
    return user


def roles(user: User) -> list[str]:
    """The names of the roles `user` has; `admin` is among them for every administrator."""
    names = [_plain(user.role.name)] if user.role else []
    if can(user, "roles", "manage") and "admin" not in names:
        names.append("admin")
    return names


def _signed(user: User, typ: str, *, lifetime: timedelta, claims: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    payload = {
        "sub": str(user.pk),
        "typ": typ,
        "iat": now,
        "exp": now + lifetime,
        "key": _key(user),
        **claims,
    }
    return jwt.encode(payload, settings.SECRET_KEY, algorithm=ALGORITHM)


def _key(user: User) -> str:
    return hashlib.sha256(user.get_session_auth_hash().encode()).hexdigest()[:16]


def _plain(text: str) -> str:
    return "".join(c if " " <= c < "\x7f" and c not in ">?~" else "_" for c in text)
