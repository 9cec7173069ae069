"""Counts every request that changes something, and answers those over a limit with 429.

The rule: whoever is signed in is counted by account, everybody else by address. The REST API
counts behind its own authentication; its answers have the API's shape.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja.errors import Throttled
from ninja.throttling import BaseThrottle

from accounts import client_ip, limits
from accounts.caller import Caller
from accounts.limits import TooMany
from web.pages import errors

# RFC 9110, 9.2.1: methods that ask for no change.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def count_write(request: HttpRequest, account: int | None) -> None:
    """Count a request that changes something; `TooMany` beyond `LIMIT_WRITES`."""
    # By account first: people behind one address must not use up each other's limit.
    counted_by = f"account {account}" if account else limits.network(client_ip.of_client(request))
    limits.hit_setting_or_raise(
        "writes",
        counted_by,
        settings.LIMIT_WRITES,
        "Too many changes at once: at most {} for an account.",
    )


class Writes(BaseThrottle):
    """The REST API's: asked once the caller is known."""

    def allow_request(self, request: HttpRequest) -> bool:
        if request.method in SAFE:
            return True
        caller = getattr(request, "auth", None)
        try:
            count_write(request, caller.user.pk if isinstance(caller, Caller) else None)
        except TooMany as error:
            # `Throttled` carries nothing but seconds; `refusal` reads our sentence from here.
            request.too_many = error  # type: ignore[attr-defined]
            return False
        return True

    def wait(self) -> float | None:
        """Stands in `TooMany`; this object is shared by all threads."""
        return None


def refusal(request: HttpRequest, error: Throttled) -> TooMany:
    """Why a request was throttled."""
    refused = getattr(request, "too_many", None)
    return (
        refused
        if isinstance(refused, TooMany)
        else TooMany("Too many requests.", int(error.wait or 1))
    )


class Pages:
    """Middleware behind the one that knows who is signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        # The API counts in `Writes`, which knows callers by their tokens, too.
        if request.method in SAFE or request.path.startswith("/api/"):
            return None
        try:
            count_write(request, getattr(request.user, "pk", None))
        except TooMany as error:
            return errors.too_many(request, error)
        return None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Limits that a view counts itself."""
        return errors.too_many(request, error) if isinstance(error, TooMany) else None
