"""How a fetch on demand fails: before the first byte, or while the body is sent."""

from __future__ import annotations

from math import ceil


class Unavailable(Exception):
    """The file cannot be had now; `str()` is the sentence for the client.

    `again`: seconds after which another try makes sense; 0 = none does.
    """

    def __init__(self, status: int, detail: str, *, again: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        # RFC 9110, 10.2.3: whole seconds. 0 would have clients ask again in a loop.
        self.headers = [("Retry-After", str(max(1, ceil(again))))] if again > 0 else []


class StreamAborted(Exception):
    """The bytes being sent turned out to be wrong, so the connection must not end well.

    The status was sent long ago: a connection that breaks is all that a client can still notice.
    """
