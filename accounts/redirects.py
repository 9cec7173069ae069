"""Where a browser may be sent on to."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


def local_url(request: HttpRequest, address: str | None, fallback: str) -> str:
    """An address of this server to go on to; `fallback` for every other.

    What is checked last is what is returned: a path without host, which begins with one slash.
    Cutting the host off `http://here//there` leaves `//there`, another server.
    """
    hosts = {request.get_host()}
    if not address or not url_has_allowed_host_and_scheme(
        address, hosts, require_https=request.is_secure()
    ):
        return fallback
    parts = urlsplit(address)
    onward = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if not onward.startswith("/") or not url_has_allowed_host_and_scheme(onward, None):
        return fallback
    return onward
