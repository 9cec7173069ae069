"""Attack: take the server out with connections. Others are answered while 200 of a kind are held.

The server is a real one, with one web process; embedded, and behind nginx with the file that is
shipped. "Within 2 s" is the timeout of the client that measures: a request that takes longer is
lost, and none may be.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import machine
from tests.condatree import FakeConda
from tests.mirrorserver.server import PROJECT, Server, free_port, until
from tests.rogue import Behaviour
from tests.security import attackers
from tests.security.attackers import Opening, attack

PASSWORD = "correct horse battery"
WITHIN_SECONDS = 2.0
ROUNDS = 10
MOST_MEMORY = 400 * 1024
"""In kB, as /proc tells."""
LARGE = 12_000_000
SHARDS = "/api/repo/open/noarch/repodata_shards.msgpack.zst"
LARGE_FILE = "/api/repo/open/noarch/large-1.0-0.conda"
INDEX = "/api/repo/open/noarch/repodata.json"


@dataclass
class Stage:
    """A server with a channel of a large index and a large file, and a door to it."""

    server: Server
    conda: FakeConda
    port: int
    waits: list[str]
    silent: Behaviour
    token: str


@pytest.fixture(scope="module")
def conda() -> Iterator[FakeConda]:
    with FakeConda() as conda:
        _add_large(conda)
        for number in range(40):
            conda.add(
                "noarch",
                f"wide{number}",
                "1",
                depends=[f"d{n} >={number}.{n}" for n in range(8000)],
            )
        for number in range(3):
            conda.add("noarch", f"silent{number}", "1", payload=1000)
        conda.publish()
        yield conda


@pytest.fixture(scope="module", params=["embedded", "nginx"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, conda: FakeConda
) -> Iterator[Stage]:
    """The server alone, then one behind nginx with the shipped file."""
    behind = request.param == "nginx"
    if behind:
        machine.program("nginx")
    folder = tmp_path_factory.mktemp("outages")
    server = Server(
        folder / "data",
        ADMIN_PASSWORD=PASSWORD,
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        X_ACCEL="1" if behind else "",
        # All attackers come from one address, and shall get as far as they can.
        LIMIT_DOWNLOADS=str(2 * attackers.COUNT),
    )
    silent = Behaviour(hold_at=0)
    try:
        until(server.system)
        with shipped_nginx(folder, server) if behind else nullcontext(server.port) as port:
            token = _token(server)
            waits = _mirror(server, conda, token)
            assert _get(port, LARGE_FILE, timeout=60).status_code == 200
            conda.forget()
            for path in waits:
                conda.behave(conda.path("noarch", path.rsplit("/", 1)[1]), silent)
            yield Stage(server, conda, port, waits, silent, token)
    finally:
        silent.release()
        server.close()


def _add_large(conda: FakeConda) -> None:
    """A file that no compression makes small: sockets do not swallow it."""
    name, body = conda.add("noarch", "large", "1.0"), random.Random(1).randbytes(LARGE)
    sha256, md5 = hashlib.sha256(body).hexdigest(), hashlib.md5(body).hexdigest()
    conda.change("noarch", name, sha256=sha256, md5=md5, size=LARGE)
    conda.set(conda.path("noarch", name), body)


def _token(server: Server) -> str:
    url = f"http://127.0.0.1:{server.port}/api/auth/login"
    login = {"username": "admin", "password": PASSWORD}
    return str(requests.post(url, json=login, timeout=60).json()["token"])


def _mirror(server: Server, conda: FakeConda, token: str) -> list[str]:
    url = f"http://127.0.0.1:{server.port}/api"
    headers = {"Authorization": f"Bearer {token}"}

    def post(path: str, body: dict[str, Any]) -> None:
        answer = requests.post(f"{url}{path}", json=body, headers=headers, timeout=60)
        assert answer.status_code in (200, 201), answer.text

    post("/channels", {"name": "open", "privacy": "public"})
    mirror = {"mirror_name": "m", "source_root": conda.channel, "run_now": True}
    post("/channels/open/mirrors", {**mirror, "mirror_mode": "passive"})
    until(lambda: b"silent2" in _get(server.port, INDEX, timeout=60).content)
    return [f"/api/repo/open/noarch/silent{number}-1-0.conda" for number in range(3)]


def _get(port: int, path: str, *, timeout: float = WITHIN_SECONDS) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=timeout)


@contextmanager
def shipped_nginx(
    folder: Path, server: Server, *, user: str = "root", patience: int = 300
) -> Iterator[int]:
    """deploy/nginx.conf in front of a server, with other places and nothing else changed."""
    port = free_port()
    who = f"user {user};" if os.getuid() == 0 else ""
    text = (PROJECT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        # First: the other places may lie below it.
        (" /tmp/", f" {folder}/"),
        ("server web:8000;", f"server 127.0.0.1:{server.port};"),
        ("listen 8080 ", f"listen 127.0.0.1:{port} "),
        ("alias /data/blobs/;", f"alias {server.data}/blobs/;"),
        ("proxy_read_timeout 300s;", f"proxy_read_timeout {patience}s;"),
        ("worker_processes auto;", f"worker_processes 1; {who}"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = folder / "nginx.conf"
    config.write_text(text)
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [machine.program("nginx"), "-c", str(config), "-g", "daemon off;"], stderr=log
        )
    try:
        until(lambda: _answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        return _get(port, "/api/system").status_code == 200
    except requests.RequestException:
        return False


def others_are_served(stage: Stage) -> None:
    """Every one of these is answered within the client's timeout, on a connection of its own."""
    for _ in range(ROUNDS):
        for path in (
            "/api/system",
            "/sign-in/",
            "/api/repo/open/noarch/repodata_shards.msgpack.zst",
            LARGE_FILE,
        ):
            assert _get(stage.port, path).status_code == 200, path
        assert _get(stage.port, "/api/repo/open/noarch/none-1-0.conda").status_code == 404


def bounded(server: Server) -> None:
    """No process is large, and nothing is left in the temporary folder."""
    for pid in server.pids():
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is None or int(found[1]) < MOST_MEMORY, (pid, found and found[1])
    until(lambda: not list((server.data / "tmp").glob("tmp*")))


KINDS: dict[str, Opening] = {
    "idle": attackers.idle,
    "slow header": attackers.slow_header,
    "keep-alive": attackers.keep_alive,
    "slow body": attackers.slow_body,
}


@pytest.mark.parametrize("kind", KINDS)
def test_connections_that_do_nothing_take_nobody_elses_place(stage: Stage, kind: str) -> None:
    with attack(stage.port, KINDS[kind]):
        others_are_served(stage)
        bounded(stage.server)


@pytest.mark.parametrize("what", ["file", "index"])
def test_clients_that_read_nothing_take_nobody_elses_place(stage: Stage, what: str) -> None:
    path = LARGE_FILE if what == "file" else INDEX
    with attack(stage.port, attackers.reader(path)):
        others_are_served(stage)
        bounded(stage.server)


def test_clients_that_wait_for_a_silent_upstream_take_nobody_elses_place(stage: Stage) -> None:
    with attack(stage.port, attackers.reader(stage.waits[0])):
        assert stage.silent.held.wait(60)
        others_are_served(stage)
        bounded(stage.server)
    assert stage.conda.count(stage.conda.path("noarch", "silent0-1-0.conda")) == 1


def test_connection_tests_of_a_silent_upstream_take_nobody_elses_place(stage: Stage) -> None:
    # The system takes their connections and holds what they ask; nobody reads it.
    with socket.create_server(("127.0.0.1", 0), backlog=attackers.COUNT) as silent:
        silent.settimeout(60)
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/silent"
        body = json.dumps({"source_root": source, "mirror_type": "conda"}).encode()
        opening = attackers.poster("/api/mirrors/test", body, stage.token)
        with attack(stage.port, opening):
            asked, _ = silent.accept()
            with asked:
                assert asked.recv(1)
                others_are_served(stage)
                bounded(stage.server)


def test_a_burst_of_sign_in_pages_loses_none(stage: Stage) -> None:
    def page(_: int) -> int:
        return _get(stage.port, "/sign-in/", timeout=60).status_code

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(page, range(400))) == [200] * 400


def test_files_carry_what_keeps_them_harmless(stage: Stage) -> None:
    answer = _get(stage.port, LARGE_FILE)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert re.fullmatch(r'"[0-9a-f]{64}"', answer.headers["ETag"])
    assert len(answer.content) == LARGE
    revision = _get(stage.port, LARGE_FILE.replace("/open/", "/open.r2/"))
    assert revision.headers.get("Cache-Control") == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("stage", ["nginx"], indirect=True)
def test_nginx_keeps_no_failure_of_its_own_and_logs_no_token(stage: Stage, tmp_path: Path) -> None:
    machine.root("have nginx be another user")
    token = "ab12" * 12
    with shipped_nginx(tmp_path, stage.server, user="nobody nogroup") as port:
        answer = _get(port, f"/t/{token}{LARGE_FILE}")
    assert answer.status_code == 403
    assert "Cache-Control" not in answer.headers
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert token not in (tmp_path / "nginx.log").read_text()
