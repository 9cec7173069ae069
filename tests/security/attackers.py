"""Many connections at once, each of a bad kind, held open by one thread of the test.

An attacker opens sockets, writes what its kind writes, and then reads nothing or a little. All
are on loopback and bounded in number; leaving the context closes them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

COUNT = 200
SMALL_WINDOW = 4096

Opening = Callable[[str], bytes]


def request(path: str, host: str, *, method: str = "GET", more: str = "") -> bytes:
    """One whole request's head."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def idle(_: str) -> bytes:
    """Connects and says nothing."""
    return b""


def slow_header(host: str) -> bytes:
    """Begins a request and stays in its head."""
    return f"GET /sign-in/ HTTP/1.1\r\nHost: {host}\r\nX-Slow: ".encode()


def keep_alive(host: str) -> bytes:
    """Gets one answer and keeps the connection."""
    return request("/api/system", host)


def slow_body(host: str) -> bytes:
    """Promises a body and sends a part of it."""
    more = "Content-Type: application/json\r\nContent-Length: 9000\r\n"
    return request("/api/auth/login", host, method="POST", more=more) + b'{"username": "a'


def poster(path: str, body: bytes, token: str) -> Opening:
    """Sends a whole request of somebody who is signed in, and waits for the answer."""
    more = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    more += f"Content-Length: {len(body)}\r\n"
    return lambda host: request(path, host, method="POST", more=more) + body


def reader(path: str) -> Opening:
    """Asks for something large and reads none of it."""
    return lambda host: request(path, host)


@contextlib.contextmanager
def attack(port: int, opening: Opening, *, host: str = "", count: int = COUNT) -> Iterator[None]:
    """`count` connections of one kind, open while the block runs."""
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(count):
            wire = stack.enter_context(socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
            wire.settimeout(20)
            wire.connect(("127.0.0.1", port))
            wire.sendall(opening(host or f"127.0.0.1:{port}"))
            held.append(wire)
        yield
