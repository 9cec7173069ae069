"""Who asks: reads the request's credentials, and says what they allow.

The rule: a credential that is sent must be valid, another one does not make up for it. A token
can do less than its user (scopes, resources), never more.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from django.http import HttpRequest
from ninja.security import APIKeyHeader, HttpBasicAuth, HttpBearer, SessionAuth
from ninja.utils import check_csrf

from accounts import jwt, passwords, tokens
from accounts.access import can
from accounts.errors import ApiError
from accounts.models import Token, User

TOKEN_PASSWORD = "x-auth-token"
"""What pip and R users write as the password when the user name is a token."""

SCOPES = (
    *(f"artifact:{verb}" for verb in ("create", "view", "edit", "download", "delete")),
    *(
        f"{thing}:{verb}"
        for thing in ("channel", "subchannel")
        for verb in ("create", "view", "edit", "delete", "history", "view-artifacts")
    ),
    *(f"{thing}.group:{verb}" for thing in ("channel", "subchannel") for verb in ("view", "edit")),
    *(f"{thing}.mirror:{verb}" for thing in ("channel", "subchannel") for verb in ("view", "edit")),
    "channel.default-channel:edit",
    "cve:view",
)


@dataclass(frozen=True)
class Caller:
    """A user, and the token that stands for them if one was used."""

    user: User
    token: Token | None = None

    @property
    def name(self) -> str:
        """What history calls them."""
        return self.user.get_username()

    def has(self, *scopes: str) -> bool:
        """Whether the token's scopes hold one of `scopes`; without any it may all."""
        return not (self.token and self.token.scopes) or bool(set(scopes) & set(self.token.scopes))

    def need(self, *scopes: str) -> None:
        """Raise 403 unless the token's scopes hold one of `scopes`; without any it may all."""
        if not self.has(*scopes):
            raise ApiError(403, f"This token does not have the scope {' or '.join(scopes)}.")

    def need_level(self, what: str, level: str) -> None:
        """Raise 403 unless the user's role has `level` for the attribute `what`."""
        if not can(self.user, what, level):
            raise ApiError(403, f"Your role does not have {what} = {level}.")

    @property
    def limited(self) -> bool:
        """Whether a token stands for the user that may do less than they."""
        return bool(self.token and (self.token.scopes or self.token.resources))

    def need_whole(self) -> None:
        """Raise 403 for a limited token: it must not be used to make a mightier one."""
        if self.limited:
            raise ApiError(403, "A token with scopes or resources cannot do this.")


def caller(request: HttpRequest) -> Caller:
    """Who sent this request; for views behind `AUTH`."""
    who: Caller = request.auth  # type: ignore[attr-defined]
    return who


class Bearer(HttpBearer):
    """`Authorization: Bearer` with a token from /auth/login, or an opaque token."""

    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:  # noqa: ARG002
        return _by_text(token.strip())


class VendorToken(HttpBearer):
    """`Authorization: token` with either, as the vendor's clients write it."""

    openapi_scheme = "token"

    def __call__(self, request: HttpRequest) -> Caller | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        return self.authenticate(request, text) if scheme.lower() == "token" else None

    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:  # noqa: ARG002
        return _by_text(token.strip())


class XAuth(APIKeyHeader):
    """`X-Auth` with an opaque token."""

    param_name = "X-Auth"

    def authenticate(self, request: HttpRequest, key: str | None) -> Caller | None:  # noqa: ARG002
        return _by_text(key.strip()) if key else None


class Basic(HttpBasicAuth):
    """User name and password; or a token as user name with the password `x-auth-token`."""

    def __call__(self, request: HttpRequest) -> Caller | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            pair = base64.b64decode(text.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        if "\x00" in pair:
            return None
        username, _, password = pair.partition(":")
        return self.authenticate(request, username, password)

    def authenticate(self, request: HttpRequest, username: str, password: str) -> Caller | None:
        if password == TOKEN_PASSWORD:
            return _by_text(username)
        if not username:
            return None
        return Caller(passwords.sign_in_each_time(request, username, password))


class Session(SessionAuth):
    """A person signed in with a browser; changes need the CSRF token of our own pages."""

    def __call__(self, request: HttpRequest) -> Caller | None:
        if "Authorization" in request.headers or "X-Auth" in request.headers:
            return None
        if not isinstance(request.user, User):
            return None
        if check_csrf(request):
            raise ApiError(403, "The request does not come from a page of this server.")
        if request.body and request.content_type != "application/json":
            # Pages of other sites can send any other type without asking first.
            raise ApiError(415, "Send the body with Content-Type: application/json.")
        if request.user.must_change_password:
            raise ApiError(403, passwords.MUST_CHANGE, code="password_change_required")
        return Caller(request.user)


AUTH = [Bearer(), VendorToken(), XAuth(), Basic(), Session()]


def _by_text(text: str) -> Caller | None:
    if "." in text:
        user = jwt.verify(text)
        return Caller(user) if user else None
    token = tokens.find(text)
    return Caller(token.user, token) if token else None
