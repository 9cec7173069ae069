"""Who asks: a token in the address, X-Auth, Basic or Bearer, whichever is valid first.

A credential that is wrong counts as none: a public channel must be readable with it.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accounts import jwt, tokens
from accounts.models import Token, User
from delivery import cache
from delivery.cache import Caches

REMEMBERED_SECONDS = 15.0
"""A token that expires is noticed within this; one that is revoked, at once."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A user and the token that stands for them; nobody when `user` is None."""

    user: User | None = None
    token: Token | None = None
    until: float = float("inf")

    @property
    def name(self) -> str:
        return self.user.get_username() if self.user else ""


NOBODY = Caller()


def identify(environ: Mapping[str, Any], token: str, caches: Caches) -> Caller:
    """The first valid credential's user; `token` is the one in the address."""
    for secret in _secrets(environ, token):
        found = _known(secret, caches)
        if found.user is not None:
            return found
    return NOBODY


def _secrets(environ: Mapping[str, Any], token: str) -> Iterator[str]:
    if token:
        yield token
    if header := environ.get("HTTP_X_AUTH"):
        yield header.strip()
    scheme, _, text = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() in ("bearer", "token"):
        yield text.strip()
    elif scheme.lower() == "basic":
        yield _user_name(text)


def _user_name(text: str) -> str:
    """The user name of Basic credentials, where clients write their token."""
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _known(secret: str, caches: Caches) -> Caller:
    now = time.monotonic()
    digest = cache.key(secret)
    known: Caller | None = caches.callers.items.get(digest)
    if known is None or known.until < now:
        known = _find(secret, now + REMEMBERED_SECONDS)
        caches.callers.put(digest, known, cache.ROW_BYTES)
    return known


def _find(secret: str, until: float) -> Caller:
    if "." in secret:
        return Caller(jwt.verify(secret), until=until)
    token = tokens.find(secret)
    return Caller(token.user, token, until) if token else Caller(until=until)
