"""The one check of user name and password: sign-in page, REST sign-in and Basic all ask it.

The rules of its limits:

- An account is tried a few times a minute from one address. Another address has its own count, so
  nobody locks an account out for its owner elsewhere.
- An address may fail some more times a minute over all accounts. Beyond that it is refused, except
  for accounts that have signed in from there before: who sprays does not lock out his neighbors.
- A try is counted before it is judged, and not counted when the password was right.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.http import HttpRequest

from accounts import audit, client_ip, limits
from accounts.errors import ApiError
from accounts.limits import Hit, Rate, TooMany
from accounts.models import SecurityEventType, User

WRONG = "The user name or the password is wrong."
WAIT = "Too many tries to sign in. Wait a minute, then try again."
MUST_CHANGE = (
    "An administrator made this password. Sign in on the web page and choose your own; "
    "from then on it works here."
)
BUSY = "Too many requests with this password wait to be judged. Try again."
BUSY_SECONDS = 5
REMEMBERED_SECONDS = 300.0
MOST_REMEMBERED = 1000
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Try:
    """One counted try, to be taken back when the password is right."""

    hits: tuple[Hit, ...]

    def take_back(self) -> None:
        for hit in self.hits:
            hit.take_back()


def begin(request: HttpRequest, username: str) -> Try:
    """Count a try, or raise `TooMany`; the first refusal of a window is written down."""
    address = limits.network(client_ip.of_client(request))
    account = unicodedata.normalize("NFKC", username).casefold()
    hits = []
    if settings.SIGN_IN_RATE:
        rate = Rate.parse(settings.SIGN_IN_RATE)
        hits.append(limits.hit("sign-in", f"{account}\n{address}", rate))
        if hits[-1].over:
            raise _throttled(request, username, hits[-1], "too many tries of this account")
    if settings.SIGN_IN_ADDRESS_RATE:
        rate = Rate.parse(settings.SIGN_IN_ADDRESS_RATE)
        hits.append(limits.hit("sign-in-address", address, rate))
        if hits[-1].over and not _neighbor(request, username):
            raise _throttled(request, username, hits[-1], "too many tries from this address")
    return Try(tuple(hits))


def sign_in(request: HttpRequest, username: str, password: str) -> User:
    """The user of these words, or 401; 403 while the password must be changed first."""
    user = get_adapter(request).authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        raise ApiError(401, WRONG)
    if user.must_change_password:
        raise ApiError(403, MUST_CHANGE, code="password_change_required")
    return user


def sign_in_each_time(request: HttpRequest, username: str, password: str) -> User:
    """The same for clients that send the password with every request, many at once.

    A password that was right is remembered for some minutes by this process, as a keyed hash;
    requests with the same words wait for the first one's answer.
    """
    key = _mark(username, password, client_ip.of_client(request))
    with _alone(key):
        user = _remembered(key)
        if user is None:
            user = sign_in(request, username, password)
            _remember(key, user)
            _note(request, user)
    return user


def failed(request: HttpRequest, username: str) -> None:
    """Write down a wrong try."""
    audit.record(
        SecurityEventType.SIGN_IN_FAILED, request=request, actor=username, detail=request.path
    )


def _throttled(request: HttpRequest, username: str, hit: Hit, why: str) -> TooMany:
    if hit.first_over:
        audit.record(
            SecurityEventType.SIGN_IN_THROTTLED, request=request, actor=username, detail=why
        )
    return TooMany(WAIT, hit.retry_after)


def _neighbor(request: HttpRequest, username: str) -> bool:
    user = User.objects.filter(username=username).first()
    return user is not None and audit.signed_in_before(user, client_ip.of_client(request))


def _note(request: HttpRequest, user: User) -> None:
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


# What follows remembers right passwords, in this process and under a key that never leaves it.

_key = secrets.token_bytes(32)
_right: dict[bytes, tuple[int, str, float]] = {}
_busy: dict[bytes, tuple[threading.Lock, int]] = {}
_guard = threading.Lock()


def _mark(*words: str) -> bytes:
    text = "\0".join(words).encode(errors="surrogatepass")
    return hmac.new(_key, text, hashlib.sha256).digest()


def _remembered(key: bytes) -> User | None:
    known = _right.get(key)
    if known is None or known[2] < time.monotonic():
        return None
    user = User.objects.select_related("role").filter(pk=known[0], is_active=True).first()
    if user is None or user.must_change_password or user.get_session_auth_hash() != known[1]:
        return None
    return user


def _remember(key: bytes, user: User) -> None:
    with _guard:
        if len(_right) >= MOST_REMEMBERED:
            _right.clear()
        until = time.monotonic() + REMEMBERED_SECONDS
        _right[key] = (user.pk, user.get_session_auth_hash(), until)


@contextmanager
def _alone(key: bytes) -> Iterator[None]:
    """One at a time for the same words; 503 for who waits too long: the first one waits itself."""
    with _guard:
        lock, waiting = _busy.get(key, (threading.Lock(), 0))
        _busy[key] = (lock, waiting + 1)
    taken = lock.acquire(timeout=WAIT_SECONDS)
    try:
        if not taken:
            raise ApiError(503, BUSY, retry_after=BUSY_SECONDS)
        yield
    finally:
        if taken:
            lock.release()
        with _guard:
            lock, waiting = _busy[key]
            if waiting > 1:
                _busy[key] = (lock, waiting - 1)
            else:
                del _busy[key]
