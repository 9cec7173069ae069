"""Bearer tokens of people who signed in through the API: issue, verify, refresh.

Clients decode the payload with plain base64, so every claim is ASCII without `>`, `?` and `~`:
only those characters bring `-` and `_` into its base64url form. The claim `sid` names the API
session; ending it ends all its tokens at once. The claim `key` is bound to the password and the
session version of the user.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

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
MAX_SESSIONS = 50
"""Of one user; the oldest end when there are more. Scripts sign in and never sign out."""
MAX_ID_DIGITS = 18
"""A number of this length fits every database's 64-bit key."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims that are read again; `jti` is empty in an access token."""

    sub: str
    sid: str
    key: str
    jti: str


class InvalidRefreshToken(Exception):
    """A refresh token that is used, expired, revoked or not one of ours."""


def issue(user: User, request: HttpRequest | None = None) -> tuple[str, str]:
    """An access token and a refresh token for `user`, of a new API session."""
    session = ApiSession.objects.create(
        user=user,
        address=client_ip.of_client(request)[:64] if request is not None else "",
        user_agent=request.headers.get("User-Agent", "")[:200] if request is not None else "",
        expires=timezone.now() + timedelta(days=settings.SESSION_DAYS),
    )
    surplus = ApiSession.objects.filter(user=user).order_by("-pk")[MAX_SESSIONS:]
    for session_beyond in surplus:
        session_beyond.delete()
    return _token_pair(session)


def verify(text: str) -> User | None:
    """The active user an access token speaks for; None for anything else."""
    claims = _decode(text, "access")
    if claims is None:
        return None
    session = _session(claims)
    if session is None or claims.key != _fingerprint(session.user):
        return None
    return session.user


def refresh(text: str, request: HttpRequest | None = None) -> tuple[str, str]:
    """New tokens for a refresh token, which is used up; `InvalidRefreshToken` for any other.

    A refresh token that comes a second time was copied: its whole session ends.
    """
    claims = _decode(text, "refresh")
    with transaction.atomic():
        session = _session(claims) if claims is not None else None
        if claims is None or session is None or claims.key != _fingerprint(session.user):
            raise InvalidRefreshToken
        # The condition decides which of two requests with the same refresh token was the first.
        renewed = ApiSession.objects.filter(pk=session.pk, refresh_id=claims.jti).update(
            refresh_id=(fresh := secrets.token_hex(16)), last_used_at=timezone.now()
        )
        if renewed:
            session.refresh_id = fresh
            return _token_pair(session)
        audit.record(
            SecurityEventType.REFRESH_REUSED,
            request=request,
            actor=session.user,
            subject=session,
            detail="The session has ended.",
        )
        session.delete()
    # Outside the transaction, or its rollback would bring the session back.
    raise InvalidRefreshToken


def purge() -> None:
    """Forget API sessions that have expired."""
    ApiSession.objects.filter(expires__lt=timezone.now()).delete()


def roles(user: User) -> list[str]:
    """The names of the roles `user` has; `admin` is among them for every administrator."""
    names = [_base64url_safe(user.role.name)] if user.role else []
    if can(user, Attribute.ROLES, Level.MANAGE) and "admin" not in names:
        names.append("admin")
    return names


def _token_pair(session: ApiSession) -> tuple[str, str]:
    user, now = session.user, datetime.now(UTC)
    common = {"sub": str(user.pk), "sid": str(session.pk), "iat": now, "key": _fingerprint(user)}
    access = {
        **common,
        "typ": "access",
        "exp": min(now + LIFETIME, session.expires),
        "preferred_username": _base64url_safe(user.get_username()),
        "realm_access": {"roles": roles(user)},
    }
    renewal = {**common, "typ": "refresh", "exp": session.expires, "jti": session.refresh_id}
    return _encode(access), _encode(renewal)


def _encode(claims: Mapping[str, object]) -> str:
    return jwt.encode(dict(claims), settings.SECRET_KEY, algorithm=ALGORITHM)


def _decode(text: str, typ: str) -> Claims | None:
    """What a token that we signed says, if it is of this type and not expired."""
    required = ["exp", "sub", "sid", "typ", "key", *(["jti"] if typ == "refresh" else [])]
    try:
        # Our algorithm, not the one that the token names, which may be `none` (RFC 8725, 3.1).
        payload = jwt.decode(
            text, settings.SECRET_KEY, algorithms=[ALGORITHM], options={"require": required}
        )
    except jwt.InvalidTokenError:
        return None
    values = [payload.get(field.name, "") for field in fields(Claims)]
    if payload["typ"] != typ or not all(isinstance(value, str) for value in values):
        return None
    return Claims(*values)


def _session(claims: Claims) -> ApiSession | None:
    if not claims.sid.isdecimal() or len(claims.sid) > MAX_ID_DIGITS:
        return None
    rows = ApiSession.objects.select_related("user__role").filter(
        pk=int(claims.sid), user__is_active=True, expires__gt=timezone.now()
    )
    session = rows.first()
    return session if session is not None and str(session.user_id) == claims.sub else None


def _fingerprint(user: User) -> str:
    # The payload is readable by anybody, so it has a hash; 64 bits are enough, as it is signed.
    return hashlib.sha256(user.get_session_auth_hash().encode()).hexdigest()[:16]


def _base64url_safe(text: str) -> str:
    return "".join(c if " " <= c < "\x7f" and c not in ">?~" else "_" for c in text)
