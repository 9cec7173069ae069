"""How requests of the REST API say who sends them.

The rule: a credential that is sent must be valid, another one does not make up for it.
"""

from __future__ import annotations

from django.http import HttpRequest
from ninja.security import APIKeyHeader, HttpBasicAuth, HttpBearer, SessionAuth
from ninja.utils import check_csrf
from typing_extensions import override

from accounts import credentials, passwords
from accounts.caller import Caller, caller_with
from accounts.errors import ApiError
from accounts.models import User


class Bearer(HttpBearer):
    """`Authorization: Bearer` with a token from /auth/login, or an opaque token."""

    @override
    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:
        return caller_with(token.strip())


class VendorToken(HttpBearer):
    """`Authorization: token` with either, as the vendor's clients write it."""

    openapi_scheme = "token"

    @override
    def __call__(self, request: HttpRequest) -> Caller | None:
        scheme, text = credentials.authorization(request.headers.get("Authorization", ""))
        return self.authenticate(request, text) if scheme == self.openapi_scheme else None

    @override
    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:
        return caller_with(token.strip())


class XAuth(APIKeyHeader):
    """`X-Auth` with an opaque token."""

    param_name = "X-Auth"

    @override
    def authenticate(self, request: HttpRequest, key: str | None) -> Caller | None:
        return caller_with(key.strip()) if key else None


class Basic(HttpBasicAuth):
    """User name and password; or a token as user name with the password `x-auth-token`."""

    @override
    def __call__(self, request: HttpRequest) -> Caller | None:
        scheme, text = credentials.authorization(request.headers.get("Authorization", ""))
        pair = credentials.basic_pair(text) if scheme == credentials.BASIC else None
        return self.authenticate(request, *pair) if pair is not None else None

    @override
    def authenticate(self, request: HttpRequest, username: str, password: str) -> Caller | None:
        if password == credentials.TOKEN_PASSWORD:
            return caller_with(username)
        if not username:
            return None
        return Caller(passwords.sign_in_cached(request, username, password))


class Session(SessionAuth):
    """A person signed in with a browser; changes need the CSRF token of our own pages."""

    @override
    def __call__(self, request: HttpRequest) -> Caller | None:
        # A credential that is sent counts; a valid cookie does not make up for a wrong one.
        if "Authorization" in request.headers or "X-Auth" in request.headers:
            return None
        if not isinstance(request.user, User):
            return None
        # Browsers send cookies along with requests that other sites make, too.
        if check_csrf(request):
            raise ApiError(403, "The request does not come from a page of this server.")
        if request.body and request.content_type != "application/json":
            # Pages of other sites can send any other type without asking first.
            raise ApiError(415, "Send the body with Content-Type: application/json.")
        if request.user.must_change_password:
            raise ApiError(403, passwords.MUST_CHANGE, code="password_change_required")
        return Caller(request.user)


# ninja asks each in turn until one knows the caller.
AUTH = [Bearer(), VendorToken(), XAuth(), Basic(), Session()]
