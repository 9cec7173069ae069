"""Whether the client of a request has disconnected, so that its answer is for nobody.

Code that asks upstreams while a client waits looks at this, and ends with the client.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest

ENVIRON_KEY = "mirrorserver.is_disconnected"
"""In the WSGI environment; PEP 3333 has no such key, and the embedded server sets this one."""

IsDisconnected = Callable[[], bool]


def disconnect_check(request: HttpRequest) -> IsDisconnected:
    """A function that says whether the client has disconnected; any thread may call it."""
    # Other servers cannot tell: behind them, a client counts as connected until the end.
    check: IsDisconnected = request.META.get(ENVIRON_KEY, never_disconnected)
    return check


def never_disconnected() -> bool:
    """For work that no client waits for."""
    return False
