"""Who sends a request, and what they may do: the one class for the API, for pages and clients.

The rule: a token can do less than its user (scopes, resources), never more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.http import HttpRequest

from accounts import jwt, tokens
from accounts.access import can
from accounts.errors import ApiError
from accounts.models import Token, User
from accounts.permissions import Attribute, Level, Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, and the token that stands for them if one was used."""

    user: User
    token: Token | None = None

    @property
    def name(self) -> str:
        """What history calls them."""
        return self.user.get_username()

    def has_scope(self, *scopes: Scope) -> bool:
        """Whether the token's scopes hold one of `scopes`; without any it may all."""
        return not (self.token and self.token.scopes) or bool(set(scopes) & set(self.token.scopes))

    def require_scope(self, *scopes: Scope) -> None:
        """Raise 403 unless the token's scopes hold one of `scopes`; without any it may all."""
        if not self.has_scope(*scopes):
            raise ApiError(403, f"This token does not have the scope {' or '.join(scopes)}.")

    def require_level(self, attribute: Attribute, level: Level) -> None:
        """Raise 403 unless the user's role has `level` for `attribute`."""
        if not can(self.user, attribute, level):
            raise ApiError(403, f"Your role does not have {attribute} = {level}.")

    @property
    def limited(self) -> bool:
        """Whether a token stands for the user that may do less than they."""
        return bool(self.token and (self.token.scopes or self.token.resources))

    def require_unlimited(self) -> None:
        """Raise 403 for a limited token: it must not be used to make a mightier one."""
        if self.limited:
            raise ApiError(403, "A token with scopes or resources cannot do this.")


def caller_with(secret: str) -> Caller | None:
    """Whom an access token of /auth/login or an opaque token speaks for; None for another text."""
    # Opaque tokens are hexadecimal, so only a JWT has dots.
    if "." in secret:
        user = jwt.verify(secret)
        return Caller(user) if user else None
    token = tokens.find(secret)
    return Caller(token.user, token) if token else None


class AuthenticatedRequest(HttpRequest):
    """A request of the API behind `web.api.authentication.AUTH`."""

    auth: Caller


def caller_of(request: HttpRequest) -> Caller:
    """Who sent this request; for views behind `web.api.authentication.AUTH`."""
    return cast(AuthenticatedRequest, request).auth
