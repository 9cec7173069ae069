"""How many of the answers that cost something one client may have at once.

The rule: a file that is here is sent without us, and costs a connection only, which is bounded
elsewhere. What waits for an upstream, or is made while it is sent, takes a place of a few, and
nobody may take them all. Counted in each web process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.http import HttpRequest

from accounts import client_ip, limits
from mirrorserver.rsgi.protocol import Scope

AGAIN_SECONDS = 5


class TooManyDownloads(Exception):
    """This client has as many as it may; the text is a sentence for it."""


class Shares:
    """The places that each client holds; for one event loop."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    @contextmanager
    def slot(self, who: str) -> Iterator[None]:
        """Hold one place while the block runs, or raise `TooManyDownloads`."""
        held = self._held.get(who, 0)
        if held >= settings.LIMIT_DOWNLOADS:
            raise TooManyDownloads(
                "Too many downloads at once wait for an upstream or are unpacked for you: at most "
                f"{settings.LIMIT_DOWNLOADS:,}. Try again when one has ended."
            )
        self._held[who] = held + 1
        try:
            yield
        finally:
            self._held[who] -= 1
            if not self._held[who]:
                # Else an entry stays of every address that ever asked.
                del self._held[who]


def client(scope: Scope, request: dict[str, str], user: str = "") -> str:
    """Who is counted: the account of a valid token, else the address."""
    if user:
        return f"account {user}"
    asked = HttpRequest()
    asked.META = {**request, "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]")}
    return limits.network(client_ip.of_client(asked))
