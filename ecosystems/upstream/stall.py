"""Ends a request that stalls, from inside its sockets, and lets it be stopped meanwhile.

A read timeout alone never fires for a server that drips one byte at a time,
and a thread that waits for bytes cannot ask whether it should stop. So the
sockets wait in short slices and report each of them to the monitor of the
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
from typing import TYPE_CHECKING

from ecosystems.progress import Stop
from ecosystems.upstream.errors import TooSlow
from ecosystems.upstream.limits import Limits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_thread = threading.local()


class StallMonitor:
    """The state of one request: since when it waits, and how much came meanwhile."""

    def __init__(
        self, url: str, host: str, *, limits: Limits, stop: Stop, clock: Callable[[], float]
    ) -> None:
        self.limits, self.clock = limits, clock
        self._url, self._host, self._stop = url, host, stop
        self._headers_until: float | None = clock() + limits.header_timeout
        self._waited = 0.0
        self._received = 0
        self._stop_called = time.monotonic()

    def headers_received(self) -> None:
        """The headers have come: from now on the minimum rate holds."""
        self._headers_until = None

    def slice_done(self, waited: float, received: int) -> None:
        """One slice of waiting is over. Raises what `stop` raises, or TooSlow."""
        now = time.monotonic()
        # A fast download has thousands of slices a second, and `stop` may cost a query.
        if received == 0 or now - self._stop_called >= self.limits.tick:
            self._stop_called = now
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
            # Each window stands alone: a fast beginning does not make up for a later stall.
            self._waited, self._received = 0.0, 0


@contextmanager
def monitored(monitor: StallMonitor) -> Iterator[None]:
    """Make `monitor` the one that this thread's sockets report to."""
    outer = getattr(_thread, "monitor", None)
    _thread.monitor = monitor
    try:
        yield
    finally:
        _thread.monitor = outer


def current_monitor() -> StallMonitor:
    """This thread's monitor."""
    monitor: StallMonitor = _thread.monitor
    return monitor


def _receive(sock: socket.socket, receive: Callable[[], int]) -> int:
    """Receive in slices, up to the socket's own timeout."""
    monitor: StallMonitor | None = getattr(_thread, "monitor", None)
    if monitor is None:
        return receive()
    timeout = sock.gettimeout()
    started = before = monitor.clock()
    # One slice: `receive` raises TimeoutError where nothing came in it.
    sock.settimeout(monitor.limits.tick)
    try:
        while True:
            try:
                count = receive()
            except TimeoutError:
                now = monitor.clock()
                monitor.slice_done(now - before, 0)
                if timeout is not None and now - started >= timeout:
                    raise
                before = now
            else:
                monitor.slice_done(monitor.clock() - before, count)
                return count
    finally:
        sock.settimeout(timeout)


class MonitoredSocket(socket.socket):
    """A socket that reports to the monitor."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        return _receive(self, lambda: socket.socket.recv_into(self, buffer, nbytes, flags))


class MonitoredTLSSocket(ssl.SSLSocket):
    """A TLS socket that reports to the monitor."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        return _receive(self, lambda: ssl.SSLSocket.recv_into(self, buffer, nbytes, flags))
