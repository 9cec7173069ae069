"""Tokens for clients and scripts: issue, rotate, find."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError

from accounts import locks
from accounts.models import Token, User

logger = logging.getLogger(__name__)

USUAL_DAYS = 30
"""How long a token lives when its maker does not say."""

BYTES = 24
"""192 bits; hex, because conda's own pattern for tokens knows nothing else."""


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def today() -> date:
    """The day in UTC, by which tokens expire."""
    return datetime.now(UTC).date()


def latest_expiry() -> date:
    """The last day that a token made today may have."""
    return today() + timedelta(days=settings.TOKEN_DAYS)


def usual_expiry() -> date:
    """The last day of a token whose maker does not say."""
    return min(today() + timedelta(days=USUAL_DAYS), latest_expiry())


def check_expiry(day: date) -> None:
    """Raise ValidationError for a day that is over or too far away."""
    if day < today():
        raise ValidationError("This day is over.")
    if day > latest_expiry():
        raise ValidationError(
            f"A token lives {settings.TOKEN_DAYS} days at most, so until {latest_expiry()}."
        )


def issue(
    user: User,
    name: str,
    *,
    expires: date | None = None,
    scopes: list[str] | None = None,
    resources: list[dict[str, str]] | None = None,
) -> tuple[Token, str]:
    """A new token and its secret, which is kept nowhere else."""
    secret = secrets.token_hex(BYTES)
    token = Token.objects.create(
        user=user,
        name=name,
        digest=digest(secret),
        prefix=secret[:6],
        scopes=scopes or [],
        resources=resources or [],
        expires=expires or usual_expiry(),
    )
    return token, secret


def rotate(token: Token) -> str:
    """A new secret under the same id; the old one is void at once."""
    secret = secrets.token_hex(BYTES)
    token.digest, token.prefix = digest(secret), secret[:6]
    token.save(update_fields=["digest", "prefix"])
    return secret


def find(secret: str) -> Token | None:
    """The token with this secret, if it is valid now and its user is active."""
    if not secret or len(secret) > 200:
        return None
    token = Token.objects.select_related("user__role").filter(digest=digest(secret)).first()
    if token is None or not token.user.is_active:
        return None
    now = datetime.now(UTC)
    if token.expires and token.expires < now.date():
        return None
    if token.last_used_at is None or now - token.last_used_at > timedelta(minutes=5):
        _note_use(token, now)
    return token


def _note_use(token: Token, now: datetime) -> None:
    """Nobody who only reads waits for this: while the database is locked, the next use is noted."""
    try:
        with locks.wait_at_most(0):
            Token.objects.filter(pk=token.pk).update(last_used_at=now)
    except locks.Locked:
        logger.info("The database is locked: the use of token %s is not noted now.", token.pk)
