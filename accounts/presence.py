"""Whether the client of a request still waits for its answer.

What looks at upstreams while a client waits asks this and ends with the client.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest

KEY = "mirrorserver.client_gone"
"""Of the WSGI environment, where the server can tell."""

Gone = Callable[[], bool]


def gone(request: HttpRequest) -> Gone:
    """A function that says whether the client has left; for any thread."""
    found: Gone = request.META.get(KEY, never_gone)
    return found


def never_gone() -> bool:
    """Of a client that is taken to wait."""
    return False
