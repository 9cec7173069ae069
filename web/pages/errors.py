"""The pages of errors: what went wrong, and what to do next.

Those of 500 and 503 are rendered without the database, which may be what is missing.
"""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from redis import RedisError

from accounts import audit
from accounts.limits import TooMany
from accounts.models import User
from web.pages.rendering import render
from web.unavailable import RETRY_SECONDS, UNAVAILABLE, unavailable_message

INTERNAL_ERROR = "An internal error ended this request. The server log says more."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """400."""
    return _error_page(request, 400, "This request cannot be read", "Go back and try again.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403, with the role attribute that is missing."""
    detail = str(exception) or "Your role does not allow this."
    audit.record_refusal(request, request.user if isinstance(request.user, User) else None, detail)
    return _error_page(request, 403, "You don't have permission", detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404, with what was looked for where a view says so."""
    # Django's own 404s have an object that is not for people.
    message = exception.args[0] if exception.args else None
    detail = message if message and isinstance(message, str) else "There is no page here."
    return _error_page(request, 404, "Page not found", detail)


def too_many(request: HttpRequest, error: TooMany) -> HttpResponse:
    """429; a part of a page gets the sentence alone."""
    if "HX-Request" in request.headers:
        # app.js shows it in a toast; a whole page would not fit there.
        response = HttpResponse(error.message, status=429, content_type="text/plain; charset=utf-8")
    else:
        response = _error_page(request, 429, "Too many requests", error.message)
    response["Retry-After"] = str(error.retry_after)
    return response


def too_many_attempts(request: HttpRequest) -> HttpResponse:
    """The same for what django-allauth counts, which finds this as `handler429`."""
    return too_many(request, TooMany("Too many attempts. Wait a minute, then try again.", 60))


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 where the database or Redis is busy or away, which passes."""
    error = sys.exc_info()[1]
    if not isinstance(error, UNAVAILABLE):
        return _static_page(request, 500, "Something went wrong", INTERNAL_ERROR)
    service = "Redis" if isinstance(error, RedisError) else "The database"
    response = _static_page(request, 503, f"{service} is busy", unavailable_message(error))
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _static_page(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    """Without the database, which other pages need to know who is signed in.

    A page for a person's browser; the sentence alone for a part of a page, and for programs.
    """
    if "text/html" in request.headers.get("Accept", "") and "HX-Request" not in request.headers:
        context = {"status": status, "title": title, "detail": detail}
        response = HttpResponse(render_to_string("500.html", context), status=status)
    else:
        response = HttpResponse(detail, status=status, content_type="text/plain; charset=utf-8")
    # The error passes: a proxy that kept it would go on saying so.
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Accept", "HX-Request"])
    return response


def _error_page(request: HttpRequest, status: int, title: str, detail: str) -> HttpResponse:
    context = {"status": status, "title": title, "detail": detail}
    return render(request, "error.html", context, status=status)
