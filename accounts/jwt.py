"""Bearer tokens of people who signed in through the API: issue, verify, refresh.

Clients decode the payload with plain base64, so every claim is ASCII without `>`, `?` and `~`:
only those characters bring `-` and `_` into its base64url form. The claim `sid` names the API
session; ending it ends all its tokens at once. The claim `key` is bound to the password and the
session version of the user.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounts import audit, client_ip
from accounts.access import can
from accounts.models import ApiSession, SecurityEventType, User
from accounts.permissions import Attribute, Level

ALGORITHM = "HS256"
LIFETIME = timedelta(hours=12)
MOST_SESSIONS = 50
"""Of one user; the oldest end when there are more. Scripts sign in and never sign out."""
LARGEST_ID_DIGITS = 18


class Refused(Exception):
    """A refresh token that is used, expired, revoked or not one of ours."""


def issue(user: User, request: HttpRequest | None = None) -> tuple[str, str]:
    """An access token and a refresh token for `user`, of a new API session."""
    session = ApiSession.objects.create(
        user=user,
        address=client_ip.of_client(request)[:64] if request is not None else "",
        user_agent=request.headers.get("User-Agent", "")[:200] if request is not None else "",
        expires=timezone.now() + timedelta(days=settings.SESSION_DAYS),
    )
    surplus = ApiSession.objects.filter(user=user).order_by("-pk")[MOST_SESSIONS:]
    for old in surplus:
        old.delete()
    return _pair(session)


def verify(text: str) -> User | None:
    """The active user an access token speaks for; None for anything else."""
    claims = _claims(text, "access")
    if claims is None:
        return None
    session = _session(claims)
    if session is None or claims["key"] != _key(session.user):
        return None
    return session.user


def refresh(text: str, request: HttpRequest | None = None) -> tuple[str, str]:
    """New tokens for a refresh token, which is used up by this; `Refused` for any other.

    A refresh token that comes a second time was copied: its whole session ends.
    """
    claims = _claims(text, "refresh")
    with transaction.atomic():
        session = _session(claims) if claims is not None else None
        if claims is None or session is None or claims["key"] != _key(session.user):
            raise Refused
        renewed = ApiSession.objects.filter(pk=session.pk, refresh_id=claims["jti"]).update(
            refresh_id=(fresh := secrets.token_hex(16)), last_used_at=timezone.now()
        )
        if renewed:
            session.refresh_id = fresh
            return _pair(session)
        audit.record(
            SecurityEventType.REFRESH_REUSED,
            request=request,
            actor=session.user,
            subject=session,
            detail="The session has ended.",
        )
        session.delete()
    raise Refused


def purge() -> None:
    """Forget API sessions that have expired."""
    ApiSession.objects.filter(expires__lt=timezone.now()).delete()


def roles(user: User) -> list[str]:
    """The names of the roles `user` has; `admin` is among them for every administrator."""
    names = [_plain(user.role.name)] if user.role else []
    if can(user, Attribute.ROLES, Level.MANAGE) and "admin" not in names:
        names.append("admin")
    return names


def _pair(session: ApiSession) -> tuple[str, str]:
    user, now = session.user, datetime.now(UTC)
    common = {"sub": str(user.pk), "sid": str(session.pk), "iat": now, "key": _key(user)}
    access = {
        **common,
        "typ": "access",
        "exp": min(now + LIFETIME, session.expires),
        "preferred_username": _plain(user.get_username()),
        "realm_access": {"roles": roles(user)},
    }
    renewal = {**common, "typ": "refresh", "exp": session.expires, "jti": session.refresh_id}
    return _signed(access), _signed(renewal)


def _signed(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, settings.SECRET_KEY, algorithm=ALGORITHM)


def _claims(text: str, typ: str) -> dict[str, Any] | None:
    """What a token that we signed says, if it is of this type and not expired."""
    needed = ["exp", "sub", "sid", "typ", "key", *(["jti"] if typ == "refresh" else [])]
    try:
        claims: dict[str, Any] = jwt.decode(
            text, settings.SECRET_KEY, algorithms=[ALGORITHM], options={"require": needed}
        )
    except jwt.InvalidTokenError:
        return None
    return claims if claims["typ"] == typ else None


def _session(claims: dict[str, Any]) -> ApiSession | None:
    key = claims["sid"]
    if not isinstance(key, str) or not key.isdecimal() or len(key) > LARGEST_ID_DIGITS:
        return None
    rows = ApiSession.objects.select_related("user__role").filter(
        pk=int(key), user__is_active=True, expires__gt=timezone.now()
    )
    session = rows.first()
    return session if session is not None and str(session.user_id) == claims["sub"] else None


def _key(user: User) -> str:
    return hashlib.sha256(user.get_session_auth_hash().encode()).hexdigest()[:16]


def _plain(text: str) -> str:
    return "".join(c if " " <= c < "\x7f" and c not in ">?~" else "_" for c in text)
