"""A tiny client that asks in this process, on its own thread, as the web server does on its.

`application` is a WSGI application around what the server is made of: the answers of
`delivery.app`, or Django's. Sockets, deadlines and limits are tested with a real server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

import zstandard
from django.core.wsgi import get_wsgi_application
from django.db import Error

from channels.models import Blob
from delivery import app, cache, paths
from delivery.on_demand import blocking
from delivery.on_demand.errors import Unavailable
from delivery.responses import Reply

_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request."""
    if alias := paths.alias(environ["PATH_INFO"]):
        return _django({**environ, "PATH_INFO": alias}, start_response)
    if paths.ours(environ["PATH_INFO"]):
        return packages(environ, start_response)
    return _django(environ, start_response)


def packages(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request below /api/repo, from the caches where they have it."""
    found = _cached_reply(environ) or app.respond(environ)
    if isinstance(found, app.PendingReply):
        try:
            brought = blocking.obtain(found.request)
        except Unavailable as error:
            found = found.refusal(error)
        else:
            if not isinstance(brought, Blob):
                head = found.head()
                start_response(f"{head.status} {HTTPStatus(head.status).phrase}", head.headers)
                return brought
            found = found.with_file(brought)
    start_response(f"{found.status} {HTTPStatus(found.status).phrase}", found.headers)
    return [_bytes(found)]


def _cached_reply(environ: dict[str, Any]) -> Reply | None:
    try:
        return app.cached_reply(environ, cache.current())
    except Error:
        return None


def _bytes(reply: Reply) -> bytes:
    if reply.path is None:
        return reply.body
    content = reply.path.read_bytes()
    if reply.packed:
        return zstandard.ZstdDecompressor().stream_reader(content).readall()
    return content[reply.first : reply.first + reply.length]


@dataclass
class Answer:
    """What came back; `error` is what cut the body off, as a client would see it."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    error: Exception | None = None

    @property
    def detail(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        return str(json.loads(self.body)["detail"])


@dataclass
class Client:
    """Asks one application; `headers` go with every request."""

    application: Callable[..., Iterable[bytes]]
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Every test begins with an empty database, in which numbers start anew.
        cache._current = cache.Caches(-1)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers)

    def head(self, path: str, **headers: str) -> Answer:
        return self.ask("HEAD", path, headers)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Answer:
        """`headers` by their names with _ for -: `if_none_match`."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": "",
            "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
        }
        for name, value in (self.headers | (headers or {})).items():
            environ[f"HTTP_{name.upper()}"] = value
        started: list[Answer] = []

        def start_response(status: str, fields: list[tuple[str, str]], *_: object) -> None:
            names = [name for name, _ in fields]
            assert len(names) == len(set(names)), f"a header twice: {names}"
            started.append(Answer(int(status.split(maxsplit=1)[0]), dict(fields)))

        body = self.application(environ, start_response)
        answer = started[0]
        parts: list[bytes] = []
        try:
            parts.extend(body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server cuts the connection
            answer.error = error
        finally:
            if hasattr(body, "close"):
                body.close()
        answer.body = b"".join(parts)
        if answer.error is None and method == "GET" and answer.status != 304:
            assert len(answer.body) == int(answer.headers["Content-Length"])
        return answer
