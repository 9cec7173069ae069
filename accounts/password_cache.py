"""The passwords this process has found right lately, for clients that send one with every request.

Hashing a password is slow on purpose, so a client that fetches a hundred files with Basic would
keep a core busy. What is remembered is an HMAC under a key that never leaves the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from accounts.errors import ApiError
from accounts.models import User

BUSY = "Too many requests with this password wait to be judged. Try again."
BUSY_SECONDS = 5
REMEMBERED_SECONDS = 300.0
MAX_REMEMBERED = 1000
WAIT_SECONDS = 10.0

_hmac_key = secrets.token_bytes(32)
_verified: dict[bytes, VerifiedPassword] = {}
_in_flight: dict[bytes, InFlight] = {}
_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class VerifiedPassword:
    """A password that was right for this user, until `expires` of the monotonic clock."""

    user_id: int
    session_hash: str
    expires: float


@dataclass(slots=True)
class InFlight:
    """The lock of requests with the same credentials, and how many hold it or wait for it."""

    lock: threading.Lock
    requests: int = 0


def credentials_key(*parts: str) -> bytes:
    """What a user name, a password and an address are remembered under."""
    # Surrogates come from clients that send bytes which are not UTF-8: wrong, but no error here.
    text = "\0".join(parts).encode(errors="surrogatepass")
    return hmac.new(_hmac_key, text, hashlib.sha256).digest()


def verified_user(key: bytes) -> User | None:
    """The active user for whom these credentials were right, if that still holds."""
    verified = _verified.get(key)
    if verified is None or verified.expires < time.monotonic():
        return None
    user = User.objects.select_related("role").filter(pk=verified.user_id, is_active=True).first()
    if user is None or user.must_change_password:
        return None
    # Another process may have changed the password or ended all sessions since.
    return user if user.get_session_auth_hash() == verified.session_hash else None


def remember(key: bytes, user: User) -> None:
    """Remember that these credentials were right."""
    with _guard:
        # All at once: it happens once in a thousand clients, and costs each of them one hash.
        if len(_verified) >= MAX_REMEMBERED:
            _verified.clear()
        expires = time.monotonic() + REMEMBERED_SECONDS
        _verified[key] = VerifiedPassword(user.pk, user.get_session_auth_hash(), expires)


@contextmanager
def single_flight(key: bytes) -> Iterator[None]:
    """One request at a time for the same credentials; 503 for one that waits too long."""
    with _guard:
        in_flight = _in_flight.setdefault(key, InFlight(threading.Lock()))
        in_flight.requests += 1
    acquired = in_flight.lock.acquire(timeout=WAIT_SECONDS)
    try:
        if not acquired:
            # The first request hangs itself: more threads that wait behind it help nobody.
            raise ApiError(503, BUSY, retry_after=BUSY_SECONDS)
        yield
    finally:
        if acquired:
            in_flight.lock.release()
        with _guard:
            in_flight.requests -= 1
            # Only the last one removes the lock: a later request must meet those that wait.
            if not in_flight.requests:
                del _in_flight[key]
