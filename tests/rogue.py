"""What a misbehaving server does: one `Behaviour`, played on a real socket.

Rule: nothing sleeps. What has to wait, waits for `release()`; `held` is set
once the server has got that far, so a test knows where both sides are.
"""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

Headers = Sequence[tuple[str, str]]


@dataclass(kw_only=True)
class Behaviour:
    """How one path answers. What is not set is as it should be.

    `times`: so many requests, then normal (-1: always). `only`: which
    requests it applies to: all, "ranged" or "whole" ones.
    """

    times: int = -1
    only: str = "all"

    status: int | None = None
    headers: Headers = ()
    """Further headers, sent as given, duplicates included."""
    body: bytes | None = None
    etag: str | None = None
    content_range: str | None = None
    length: int | None = None
    """Content-Length to claim instead of the right one."""
    no_length: bool = False
    ignore_range: bool = False
    unasked_206: bool = False

    reset_at: int | None = None
    """Reset the connection after so many bytes of the body."""
    cut_at: int | None = None
    """Close the connection properly after so many bytes of the body."""
    hold_at: int | None = None
    """Wait for `release()` after so many bytes of the body."""
    hold_headers: bool = False
    """Wait for `release()` in the middle of the headers."""
    drip: bool = False
    """One byte per packet."""
    endless: bool = False
    raw: bytes | None = None
    """The whole answer, headers included; then the connection is closed."""

    held: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the server go on."""
        self.released.set()

    def applies(self, *, ranged: bool) -> bool:
        """Whether this request gets it; counts `times` down."""
        if self.times == 0 or ((self.only == "ranged") != ranged and self.only != "all"):
            return False
        if self.times > 0:
            self.times -= 1
        return True


def failing(status: int, *, retry_after: str | None = None, times: int = -1) -> Behaviour:
    """An error status, with a body that must never be repeated to anyone."""
    headers = [("Retry-After", retry_after)] if retry_after is not None else []
    return Behaviour(status=status, headers=headers, body=b"upstream-secret-body", times=times)


def redirecting(url: str, *, status: int = 302, times: int = -1) -> Behaviour:
    """A redirect to any address."""
    return Behaviour(status=status, headers=[("Location", url)], body=b"", times=times)


def html(*, times: int = -1) -> Behaviour:
    """A log-in page with status 200."""
    page = b"<!DOCTYPE html><html><title>Log in</title></html>"
    return Behaviour(headers=[("Content-Type", "text/html")], body=page, times=times)


def claiming_gzip(body: bytes, *, times: int = -1) -> Behaviour:
    """`body` under a Content-Encoding that may be a lie."""
    return Behaviour(headers=[("Content-Encoding", "gzip")], body=body, times=times)


def gzipped(body: bytes, *, times: int = -1) -> Behaviour:
    """An honest gzip encoding that nobody asked for."""
    return claiming_gzip(gzip.compress(body, mtime=0), times=times)


class Broken(Exception):
    """Ends the connection without another word."""


def play(connection: socket.socket, body: bytes, *, behaviour: Behaviour) -> None:
    """Send `body` the way the behaviour says."""
    sent = 0
    stops = sorted(
        {n for n in (behaviour.reset_at, behaviour.cut_at, behaviour.hold_at) if n is not None}
    )
    for stop in [*stops, len(body)]:
        _send(connection, body[sent:stop], drip=behaviour.drip)
        sent = max(sent, min(stop, len(body)))
        if stop == behaviour.hold_at:
            hold(behaviour)
        if stop == behaviour.reset_at:
            _reset(connection)
        if stop == behaviour.cut_at:
            raise Broken
    while behaviour.endless:
        connection.sendall(b"x" * 4096)


def hold(behaviour: Behaviour) -> None:
    """Wait until the test says so; a minute at most, lest a failed test hangs."""
    behaviour.held.set()
    behaviour.released.wait(60)


def _send(connection: socket.socket, data: bytes, *, drip: bool) -> None:
    if not drip:
        connection.sendall(data)
        return
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in data:
        connection.sendall(bytes([byte]))


def _reset(connection: socket.socket) -> None:
    """RST in place of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Broken
