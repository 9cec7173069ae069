"""Tokens for clients and scripts: issue, rotate, find."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, date, datetime, timedelta

from accounts.models import Token, User

BYTES = 24
"""192 bits; hex, because conda's own pattern for tokens knows nothing else."""


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def issue(
    user: User,
    name: str,
    *,
    expires: date | None,
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
        expires=expires,
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
    if token.last_used is None or now - token.last_used > timedelta(minutes=5):
        Token.objects.filter(pk=token.pk).update(last_used=now)
    return token
