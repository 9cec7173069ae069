"""The strict content-security policy on whatever leaves without one.

The rule: pages set it themselves (`web.pages.rendering.render`); this is for what no view of ours
renders: errors before a view, the page after a failure, the browsable API, static files.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from web.pages.rendering import POLICY

HEADER = "Content-Security-Policy"
DOCS = "/api/docs"
DOCS_POLICY = POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""Of the browsable API, whose style sheet carries its pictures."""


def set_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware; the outermost, so that it sees every answer."""

    def answered(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        docs = request.path == DOCS
        response.headers.setdefault(HEADER, DOCS_POLICY if docs else POLICY)
        if settings.SECURE_HSTS_SECONDS:
            # By PUBLIC_URL: TLS ends in a proxy, and the request itself arrives without it.
            response.headers.setdefault(
                "Strict-Transport-Security", f"max-age={settings.SECURE_HSTS_SECONDS}"
            )
        return response

    return answered
