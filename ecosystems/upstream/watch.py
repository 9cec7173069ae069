"""Watches a request from inside its sockets: stops it, and ends it when it is too slow.

A read timeout alone never fires for a server that drips one byte at a time,
and a thread that waits for bytes cannot ask whether it should stop. So the
sockets wait in short slices and report each of them to the watch of the
thread they run in. Everything happens in the caller's thread: `stop` may use
that thread's database connection.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ecosystems.base import Stop
from ecosystems.upstream.errors import TooSlow
from ecosystems.upstream.limits import Limits

_here = threading.local()


class Watch:
    """The state of one request: since when it waits, and how much came meanwhile."""

    def __init__(
        self, url: str, host: str, *, limits: Limits, stop: Stop, clock: Callable[[], float]
    ) -> None:
        self.limits, self.clock = limits, clock
        self._url, self._host, self._stop = url, host, stop
        self._headers_until: float | None = clock() + limits.header_timeout
        self._waited = 0.0
        self._received = 0
        self._asked = time.monotonic()

    def body(self) -> None:
        """The headers are here: from now on the minimum rate holds."""
        self._headers_until = None

    def note(self, waited: float, received: int) -> None:
        """One slice of waiting is over. Raises what `stop` raises, or TooSlow."""
        now = time.monotonic()
        if received == 0 or now - self._asked >= self.limits.tick:
            self._asked = now
            self._stop()
        if self._headers_until is not None:
            if self.clock() > self._headers_until:
                raise TooSlow(self._url, f"{self._host} did not begin to answer in time.")
            return
        self._waited += waited
        self._received += received
        if self._waited >= self.limits.rate_window:
            if self._received < self._waited * self.limits.min_rate:
                rate = int(self._received / self._waited)
                raise TooSlow(
                    self._url,
                    f"{self._host} sends too slowly: {rate} bytes per second, "
                    f"at least {self.limits.min_rate} are needed.",
                )
            self._waited, self._received = 0.0, 0


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Make `watch` the one that this thread's sockets report to."""
    before = getattr(_here, "watch", None)
    _here.watch = watch
    try:
        yield
    finally:
        _here.watch = before


def current() -> Watch:
    """This thread's watch."""
    watch: Watch = _here.watch
    return watch


def _read(sock: socket.socket, receive: Callable[[], int]) -> int:
    """Receive in slices, up to the socket's own timeout."""
    watch: Watch | None = getattr(_here, "watch", None)
    if watch is None:
        return receive()
    patience = sock.gettimeout()
    started = before = watch.clock()
    sock.settimeout(watch.limits.tick)
    try:
        while True:
            try:
                count = receive()
            except TimeoutError:
                now = watch.clock()
                watch.note(now - before, 0)
                if patience is not None and now - started >= patience:
                    raise
                before = now
            else:
                watch.note(watch.clock() - before, count)
                return count
    finally:
        sock.settimeout(patience)


class WatchedSocket(socket.socket):
    """A socket that reports to the watch."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return _read(self, lambda: socket.socket.recv_into(self, buffer, nbytes, flags))


class WatchedTLS(ssl.SSLSocket):
    """A TLS socket that reports to the watch."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        return _read(self, lambda: ssl.SSLSocket.recv_into(self, buffer, nbytes, flags))
