"""How long, how much and how often: the numbers of the HTTP client in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

HEADERS = 30.0
"""Seconds that an answer's headers may take once they have begun."""


@dataclass(frozen=True, slots=True)
class Limits:
    """All of them can be set, so that no test waits and no operator is stuck."""

    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    """Seconds without a single byte."""
    header_timeout: float = 60.0
    """Seconds from the request to the end of the answer's headers."""
    # A byte now and then would satisfy `read_timeout` for ever, and hold a connection.
    min_rate: int = 1024
    """Bytes per second, over each `rate_window` seconds spent waiting for the network."""
    rate_window: float = 30.0
    tick: float = 0.25
    """Seconds after which a silent socket lets `stop` be asked."""
    retries: int = 3
    """Further tries after the first; progress in a file starts the count anew."""
    backoff: float = 0.5
    backoff_max: float = 30.0
    # An upstream that asks for hours would else hold a worker for as long.
    retry_after_max: float = 120.0
    max_redirects: int = 5
    connections: int = 4
    """At once to one server."""
    chunk: int = 256 * 1024
    # What an upstream sends, by mistake or on purpose, must not fill disk or memory.
    index_cap: int = 1 << 30
    file_cap: int = 20 << 30
    header_bytes: int = 64 * 1024

    def within(self, patience: float | None) -> Self:
        """These limits for what is given up after so many seconds of silence; None = as they are.

        Less than the minimum rate counts as silence.
        """
        if patience is None:
            return self
        return replace(
            self,
            connect_timeout=min(self.connect_timeout, patience),
            read_timeout=min(self.read_timeout, patience),
            header_timeout=min(self.header_timeout, patience),
            rate_window=min(self.rate_window, patience),
        )

    @classmethod
    def patient(cls, seconds: float, *, connections: int = 4) -> Self:
        """Limits under which an upstream counts as dead after `seconds` without a byte.

        A caching proxy may fetch all of an index before it sends the first byte, and pause
        while it does.
        """
        return cls(
            read_timeout=seconds,
            # The first byte may take all of `seconds`; the headers have their time after it.
            header_timeout=seconds + HEADERS,
            rate_window=seconds,
            connections=connections,
        )
