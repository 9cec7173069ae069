"""A tiny client that calls the WSGI application as the web server does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from channels.serving import generation


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
        generation.forget()

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
