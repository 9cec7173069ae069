"""A package server for tests: a real port, a tree of bytes, and bad manners on request.

with FakeUpstream() as upstream:
    upstream.set("/noarch/repodata.json", b"{}")
    upstream.behave("/noarch/repodata.json", Behaviour(reset_at=100, times=1))
    ... upstream.url + "/noarch/repodata.json" ...
    upstream.count("/noarch/repodata.json")
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from tests.rogue import Behaviour, Broken, hold, play

NORMAL = Behaviour()
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    """As sent, query included."""
    headers: dict[str, str]
    """Names in lower case."""


@dataclass(frozen=True)
class Entry:
    """What lies at a path."""

    body: bytes
    etag: str
    last_modified: str
    content_type: str


Body = bytes | Callable[[Request], bytes]


class FakeUpstream:
    """Serves `path -> bytes` with ETag, Last-Modified, 304, Range and HEAD, over http or https.

    As a proxy it answers absolute addresses from the same tree (by path) and
    tunnels every CONNECT to `tunnel_to`.
    """

    def __init__(
        self,
        files: dict[str, Body] | None = None,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._files: dict[str, tuple[Body, str, str | None, str]] = {}
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._log: list[Request] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._all_held: list[Behaviour] = []
        self.tunnel_to: tuple[str, int] | None = None
        self.connections = 0
        self._server = _Server((host, 0), _handler(self))
        self._server.tls = tls
        self._scheme = "http" if tls is None else "https"
        self._thread: threading.Thread | None = None
        for path, body in (files or {}).items():
            self.set(path, body)

    @property
    def port(self) -> int:
        """The port it listens on, from the beginning."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of its root, without a slash at the end."""
        return f"{self._scheme}://{self._server.server_address[0]}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection: from now on they are refused."""
        for behaviour in self._all_held:
            behaviour.release()
        if self._thread is not None:
            self._server.shutdown()
            self._thread = None
        self._server.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def set(
        self,
        path: str,
        body: Body,
        *,
        etag: str | None = None,
        last_modified: float | None = 1_700_000_000.0,
        content_type: str = "application/octet-stream",
    ) -> None:
        """Put bytes, or what a callable makes of the request, at a path.

        `etag`: by default the hash of the bytes; "" for none. `last_modified`: None for none.
        """
        when = "" if last_modified is None else formatdate(last_modified, usegmt=True)
        with self._lock:
            self._files[path] = (body, when, etag, content_type)

    def remove(self, path: str) -> None:
        """404 from now on."""
        with self._lock:
            self._files.pop(path, None)

    def serve(self, folder: Path, under: str = "") -> None:
        """Put every file of a folder below `under`."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.set(f"{under}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def paths(self) -> list[str]:
        """What is there."""
        with self._lock:
            return sorted(self._files)

    def bytes_at(self, path: str) -> bytes:
        """The bytes that lie at a path."""
        body = self._files[path][0]
        assert isinstance(body, bytes)
        return body

    def behave(self, path: str, *behaviours: Behaviour) -> None:
        """Misbehave at a path ("*": everywhere): the first that applies to a request is played."""
        with self._lock:
            self._behaviours[path] = list(behaviours)
            self._all_held.extend(behaviours)

    def requests(self, path: str | None = None) -> list[Request]:
        """The log, or the part of it for one path (query apart)."""
        with self._lock:
            return [r for r in self._log if path is None or _plain(r.path) == path]

    def count(self, path: str | None = None) -> int:
        """How many requests there were."""
        return len(self.requests(path))

    def forget(self) -> None:
        """Empty the log."""
        with self._lock:
            self._log.clear()

    # What the handler asks.

    def note(self, request: Request) -> None:
        """Write a line of the log."""
        with self._lock:
            self._log.append(request)

    def entry(self, request: Request) -> Entry | None:
        """What lies at the path of a request."""
        with self._lock:
            found = self._files.get(_plain(request.path))
        if found is None:
            return None
        body, when, etag, content_type = found
        data = body if isinstance(body, bytes) else body(request)
        tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"' if etag is None else etag
        return Entry(data, tag, when, content_type)

    def manners(self, request: Request) -> Behaviour:
        """How to answer a request."""
        ranged = "range" in request.headers
        with self._lock:
            for key in (_plain(request.path), "*"):
                for behaviour in self._behaviours.get(key, ()):
                    if behaviour.applies(ranged=ranged):
                        return behaviour
        return NORMAL

    def opened(self, connection: socket.socket) -> None:
        """A connection begins."""
        with self._lock:
            self._open.add(connection)
            self.connections += 1

    def closed(self, connection: socket.socket) -> None:
        """A connection is over."""
        with self._lock:
            self._open.discard(connection)


def _plain(path: str) -> str:
    return unquote(urlsplit(path).path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        if self.tls is not None:
            # The handshake belongs into the connection's thread; a client may refuse it.
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


def _handler(upstream: FakeUpstream) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        owner = upstream

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: FakeUpstream

    def setup(self) -> None:
        super().setup()
        self.owner.opened(self.connection)

    def finish(self) -> None:
        self.owner.closed(self.connection)
        with suppress(OSError):
            super().finish()
        with suppress(OSError):
            self.connection.close()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        request = Request(
            self.command, self.path, {name.lower(): value for name, value in self.headers.items()}
        )
        self.owner.note(request)
        manners = self.owner.manners(request)
        try:
            self._answer(request, manners)
        except (Broken, OSError):
            self.close_connection = True
            with suppress(OSError):
                # RST or FIN goes out now, whoever else still holds the socket.
                self.connection.close()

    do_HEAD = do_GET

    def do_CONNECT(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.note(Request("CONNECT", self.path, headers))
        assert self.owner.tunnel_to is not None
        with socket.create_connection(self.owner.tunnel_to) as target:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(target, self.connection), daemon=True)
            back.start()
            _pump(self.connection, target)
            back.join()
        self.close_connection = True

    def _answer(self, request: Request, manners: Behaviour) -> None:
        if manners.raw is not None:
            self.connection.sendall(manners.raw)
            raise Broken
        entry = self.owner.entry(request)
        if entry is None and manners.body is None and manners.status is None:
            self._send(404, [], b"no such file: upstream-secret-body", manners)
            return
        if entry is None:
            entry = Entry(b"", "", "", "application/octet-stream")
        if manners.body is not None:
            entry = Entry(manners.body, entry.etag, entry.last_modified, entry.content_type)
        if manners.etag is not None:
            entry = Entry(entry.body, manners.etag, entry.last_modified, entry.content_type)
        if manners.status is not None and manners.status not in (200, 206):
            self._send(manners.status, [], entry.body, manners)
            return
        headers = [
            (n, v) for n, v in (("ETag", entry.etag), ("Last-Modified", entry.last_modified)) if v
        ]
        if _fresh(request, entry):
            self._send(304, headers, b"", manners)
            return
        headers.append(("Accept-Ranges", "bytes"))
        if not any(name.lower() == "content-type" for name, _ in manners.headers):
            headers.append(("Content-Type", entry.content_type))
        self._send_part(request, entry, headers, manners)

    def _send_part(
        self, request: Request, entry: Entry, headers: list[tuple[str, str]], manners: Behaviour
    ) -> None:
        size = len(entry.body)
        span = None if manners.ignore_range else _span(request, entry)
        if manners.unasked_206 and span is None:
            span = (0, size - 1)
        if span is None:
            self._send(200, headers, entry.body, manners)
        elif span[0] >= size:
            self._send(416, [("Content-Range", f"bytes */{size}")], b"", manners)
        else:
            text = manners.content_range or f"bytes {span[0]}-{span[1]}/{size}"
            headers = [*headers, ("Content-Range", text)]
            self._send(206, headers, entry.body[span[0] : span[1] + 1], manners)

    def _send(
        self, status: int, headers: Iterable[tuple[str, str]], body: bytes, manners: Behaviour
    ) -> None:
        close = manners.no_length or manners.endless or manners.cut_at is not None
        lines = [f"HTTP/1.1 {status} {responses.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in [*headers, *manners.headers]]
        if status != 304 and not manners.no_length:
            lines.append(
                f"Content-Length: {len(body) if manners.length is None else manners.length}"
            )
        lines.append(f"Connection: {'close' if close else 'keep-alive'}")
        head = "\r\n".join(lines).encode("latin-1")
        if manners.hold_headers:
            self.connection.sendall(head[:20])
            hold(manners)
            head = head[20:]
        self.connection.sendall(head + b"\r\n\r\n")
        if self.command != "HEAD":
            play(self.connection, body, behaviour=manners)
        if close or manners.length is not None:
            raise Broken


def _fresh(request: Request, entry: Entry) -> bool:
    """Whether the client has it already."""
    match = request.headers.get("if-none-match")
    if match is not None:
        return match == "*" or (
            bool(entry.etag) and entry.etag in (t.strip() for t in match.split(","))
        )
    since = request.headers.get("if-modified-since")
    if not since or not entry.last_modified:
        return False
    return parsedate_to_datetime(entry.last_modified) <= parsedate_to_datetime(since)


def _span(request: Request, entry: Entry) -> tuple[int, int] | None:
    """The range asked for; None for all of it."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if match is None or (condition and condition not in (entry.etag, entry.last_modified)):
        return None
    size = len(entry.body)
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if last else None
    return int(first), min(int(last), size - 1) if last else size - 1


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
