"""Under https, what lies in channels tells browsers to stay there, as pages do.

nginx, which stands in front, says it too where it refuses by itself, and says when to come again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from delivery.responses import Entity, Problem, problem, send
from tests import machine
from tests.security.test_outages import shipped_nginx

HEADER = "Strict-Transport-Security"
DIGEST = "ab" * 32
GET = {"REQUEST_METHOD": "GET"}


def headers_of_answers() -> list[dict[str, str]]:
    entity = Entity('"x"', 1, "text/plain", "max-age=60", private=False, body=b"x")
    whole, _ = send(GET, entity)
    unchanged, _ = send({**GET, "HTTP_IF_NONE_MATCH": '"x"'}, entity)
    assert (whole.status, unchanged.status) == (200, 304)
    return [dict(one.headers) for one in (whole, unchanged, problem(GET, Problem(404, "No.")))]


def test_files_and_refusals_carry_it_under_https(settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 60
    assert [one.get(HEADER) for one in headers_of_answers()] == ["max-age=60"] * 3


def test_without_https_nothing_carries_it(settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 0
    assert [one.get(HEADER) for one in headers_of_answers()] == [None] * 3


class Handing(BaseHTTPRequestHandler):
    """Has nginx send a file, as web does; `/secure` stands for a server with https."""

    silence = threading.Event()
    """Set: who waits for an answer gets none any more."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/repo/"):
            self._fail()
            return
        self.send_response(200)
        if self.path == "/secure":
            self.send_header(HEADER, "max-age=60")
        if self.path != "/api/system":
            self.send_header("X-Accel-Redirect", f"/_blobs/ab/ab/{DIGEST}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _fail(self) -> None:
        self.close_connection = True
        if self.path.endswith("/silent"):
            self.silence.wait(60)
        elif self.path.endswith("/failed"):
            self.send_response(502)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[int]:
    machine.program("nginx")
    blob = tmp_path / "data" / "blobs" / "ab" / "ab" / DIGEST
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"file")
    Handing.silence.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handing) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        server: Any = SimpleNamespace(port=web.server_port, data=tmp_path / "data")
        with shipped_nginx(tmp_path, server, patience=1) as port:
            yield port
        Handing.silence.set()
        web.shutdown()


def test_nginx_hands_it_on_with_files(nginx: int) -> None:
    secure = requests.get(f"http://127.0.0.1:{nginx}/secure", timeout=20)
    plain = requests.get(f"http://127.0.0.1:{nginx}/plain", timeout=20)
    assert secure.content == plain.content == b"file"
    assert secure.headers.get(HEADER) == "max-age=60"
    assert HEADER not in plain.headers


@pytest.mark.parametrize(("path", "status"), [("ended", 502), ("silent", 504)])
def test_nginx_tells_clients_of_packages_when_to_try_again(
    nginx: int, path: str, status: int
) -> None:
    url = f"http://127.0.0.1:{nginx}/api/repo/c/{path}"
    plain = requests.get(url, timeout=20)
    assert (plain.status_code, plain.headers.get("Retry-After")) == (status, "5")
    assert HEADER not in plain.headers
    secure = requests.get(url, headers={"X-Forwarded-Proto": "https"}, timeout=20)
    assert (secure.status_code, secure.headers.get(HEADER)) == (status, "max-age=31536000")


def test_nginx_adds_nothing_to_what_web_refuses(nginx: int) -> None:
    url = f"http://127.0.0.1:{nginx}/api/repo/c/failed"
    answer = requests.get(url, headers={"X-Forwarded-Proto": "https"}, timeout=20)
    assert answer.status_code == 502
    assert not {HEADER, "Retry-After"} & set(answer.headers)


def test_nginx_refuses_by_itself_what_is_too_large_with_the_header(nginx: int) -> None:
    headers = {"X-Forwarded-Proto": "https", "Content-Length": str(10**9)}
    answer = requests.put(f"http://127.0.0.1:{nginx}/", headers=headers, timeout=20)
    assert (answer.status_code, answer.headers.get(HEADER)) == (413, "max-age=31536000")
    assert "Retry-After" not in answer.headers
