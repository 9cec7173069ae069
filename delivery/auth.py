"""Who asks: a token in the address, X-Auth, Basic or Bearer, whichever is valid first.

A credential that is wrong counts as none: a public channel must be readable with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accounts import credentials
from accounts.caller import Caller, caller_with
from accounts.models import Token, User
from delivery import cache
from delivery.cache import Caches

REMEMBERED_SECONDS = 15.0
"""A token that expires is noticed within this; one that is revoked, at once."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom credentials speak for, None for nobody, and until when that need not be asked again."""

    caller: Caller | None = None
    until: float = float("inf")

    @property
    def user(self) -> User | None:
        return self.caller.user if self.caller else None

    @property
    def token(self) -> Token | None:
        return self.caller.token if self.caller else None

    @property
    def name(self) -> str:
        return self.caller.name if self.caller else ""


ANONYMOUS = Identity()


def identify(environ: Mapping[str, Any], token: str, caches: Caches) -> Identity:
    """The first valid credential's user; `token` is the one in the address."""
    for secret in _secrets(environ, token):
        identity = _remembered(secret, caches)
        if identity.caller is not None:
            return identity
    return ANONYMOUS


def _secrets(environ: Mapping[str, Any], token: str) -> Iterator[str]:
    if token:
        yield token
    if header := environ.get("HTTP_X_AUTH"):
        yield header.strip()
    scheme, text = credentials.authorization(environ.get("HTTP_AUTHORIZATION", ""))
    if scheme in credentials.TOKEN_SCHEMES:
        yield text
    elif scheme == credentials.BASIC and (pair := credentials.basic_pair(text)):
        # Clients write their token as the user name, with any password.
        yield pair[0]


def _remembered(secret: str, caches: Caches) -> Identity:
    now = time.monotonic()
    digest = cache.key(secret)
    identity: Identity | None = caches.callers.items.get(digest)
    if identity is None or identity.until < now:
        identity = Identity(caller_with(secret), now + REMEMBERED_SECONDS)
        caches.callers.put(digest, identity, cache.ROW_BYTES)
    return identity
