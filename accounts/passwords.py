"""The one check of user name and password: sign-in page, REST sign-in and Basic all ask it.

The rules of its limits:

- An account allows a few attempts a minute from one address. Another address has its own count, so
  nobody locks an account out for its owner elsewhere.
- An address may fail some more times a minute over all accounts. Beyond that it is refused, except
  for accounts that have signed in from there before: who sprays passwords does not lock out others
  behind the same address.
- An attempt is counted before it is judged, and taken back when the password was right.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.http import HttpRequest

from accounts import audit, client_ip, limits, password_cache
from accounts.errors import ApiError
from accounts.limits import Hit, Rate, TooMany
from accounts.models import SecurityEventType, User

WRONG_CREDENTIALS = "The user name or the password is wrong."
TOO_MANY_ATTEMPTS = "Too many tries to sign in. Wait a minute, then try again."
MUST_CHANGE = (
    "An administrator made this password. Sign in on the web page and choose your own; "
    "from then on it works here."
)


@dataclass(frozen=True)
class Attempt:
    """One counted attempt, to be taken back when the password is right."""

    hits: tuple[Hit, ...]

    def take_back(self) -> None:
        for hit in self.hits:
            hit.take_back()


def count_attempt(request: HttpRequest, username: str) -> Attempt:
    """Count an attempt, or raise `TooMany`; the first refusal of a window is written down."""
    address = limits.network(client_ip.of_client(request))
    # allauth compares names without case (`iexact`): all spellings of an account share its count.
    account = unicodedata.normalize("NFKC", username).casefold()
    hits: list[Hit] = []
    if settings.SIGN_IN_RATE:
        rate = Rate.parse(settings.SIGN_IN_RATE)
        hits.append(limits.hit("sign-in", f"{account}\n{address}", rate))
        if hits[-1].over:
            raise _throttled(request, username, hits[-1], "too many tries of this account")
    if settings.SIGN_IN_ADDRESS_RATE:
        rate = Rate.parse(settings.SIGN_IN_ADDRESS_RATE)
        hits.append(limits.hit("sign-in-address", address, rate))
        if hits[-1].over and not _has_signed_in_before(request, username):
            raise _throttled(request, username, hits[-1], "too many tries from this address")
    return Attempt(tuple(hits))


def sign_in(request: HttpRequest, username: str, password: str) -> User:
    """The user of these credentials, or 401; 403 while the password must be changed first."""
    user = get_adapter(request).authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        raise ApiError(401, WRONG_CREDENTIALS)
    if user.must_change_password:
        raise ApiError(403, MUST_CHANGE, code="password_change_required")
    return user


def sign_in_cached(request: HttpRequest, username: str, password: str) -> User:
    """The same for clients that send the password with every request, many at once.

    A password that was right is remembered for some minutes (see `accounts.password_cache`);
    requests with the same credentials wait for the first one's answer.
    """
    # With the address: a right password from elsewhere is a sign-in of its own in the audit log.
    key = password_cache.credentials_key(username, password, client_ip.of_client(request))
    with password_cache.single_flight(key):
        user = password_cache.verified_user(key)
        if user is None:
            user = sign_in(request, username, password)
            password_cache.remember(key, user)
            _record_basic_sign_in(request, user)
    return user


def record_failure(request: HttpRequest, username: str) -> None:
    """Write a failed attempt to the audit log."""
    audit.record(
        SecurityEventType.SIGN_IN_FAILED, request=request, actor=username, detail=request.path
    )


def _throttled(request: HttpRequest, username: str, hit: Hit, why: str) -> TooMany:
    # Once a window: an attacker does not fill the log.
    if hit.first_over:
        audit.record(
            SecurityEventType.SIGN_IN_THROTTLED, request=request, actor=username, detail=why
        )
    return TooMany(TOO_MANY_ATTEMPTS, hit.retry_after)


def _has_signed_in_before(request: HttpRequest, username: str) -> bool:
    user = User.objects.filter(username=username).first()
    return user is not None and audit.signed_in_before(user, client_ip.of_client(request))


def _record_basic_sign_in(request: HttpRequest, user: User) -> None:
    """One line a day for an account and an address: such clients sign in all the time."""
    key = f"{user.pk} {client_ip.of_client(request)}"
    if not limits.hit("basic-noted", key, Rate(1, 24 * 3600)).over:
        audit.record(
            SecurityEventType.SIGNED_IN,
            request=request,
            actor=user,
            subject=user,
            detail="with the password in each request (Basic)",
        )
