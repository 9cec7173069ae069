"""The security headers of every answer: the content-security policy, and HSTS.

The rule: pages set the policy themselves (`web.pages.rendering.render`). This is for what no view
of ours renders: errors before a view, the page after a failure, the browsable API, static files.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from web.pages.rendering import POLICY

HEADER = "Content-Security-Policy"
DOCS = "/api/docs"
# Swagger UI's own style sheet embeds its icons as data: URLs.
DOCS_POLICY = POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""The policy of the browsable API."""


def set_security_headers(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware; the outermost, so that it sees every answer."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        is_docs = request.path == DOCS
        # Not an assignment: a page may have set a stricter policy.
        response.headers.setdefault(HEADER, DOCS_POLICY if is_docs else POLICY)
        if settings.SECURE_HSTS_SECONDS:
            # Not Django's own middleware: it sends the header only where the request came by TLS,
            # and TLS ends in a proxy. PUBLIC_URL says whether clients use https.
            response.headers.setdefault(
                "Strict-Transport-Security", f"max-age={settings.SECURE_HSTS_SECONDS}"
            )
        return response

    return middleware
