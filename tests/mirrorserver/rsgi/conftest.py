"""One real server for the tests of this folder, with a channel whose files come on demand."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.condatree import FakeConda
from tests.mirrorserver.server import Server, until

PASSWORD = "correct horse battery"
STALLED_SECONDS = 2
FILES = {"large": 12_000_000, "long": 700_000, "wrong": 700_000}
"""Size by name. No compression makes them small: sockets do not swallow them."""


@dataclass
class Stage:
    """The server, its upstream, and the files of the channel."""

    server: Server
    conda: FakeConda
    files: dict[str, bytes]
    token: str

    def path(self, name: str) -> str:
        return f"/api/repo/open/noarch/{name}-1.0-0.conda"

    def source(self, name: str) -> str:
        return self.conda.path("noarch", f"{name}-1.0-0.conda")

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.server.port}{path}", timeout=60, **more)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    data = tmp_path_factory.mktemp("rsgi") / "data"
    server = Server(
        data,
        ADMIN_PASSWORD=PASSWORD,
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        STALLED_SECONDS=str(STALLED_SECONDS),
    )
    with FakeConda() as conda:
        try:
            files = {name: add(conda, name, size) for name, size in FILES.items()}
            conda.publish()
            until(server.system, within=180)
            token = mirror(server, conda)
            yield Stage(server, conda, files, token)
        finally:
            server.close()


def add(conda: FakeConda, name: str, size: int) -> bytes:
    file, body = conda.add("noarch", name, "1.0"), random.Random(name).randbytes(size)
    sha256, md5 = hashlib.sha256(body).hexdigest(), hashlib.md5(body).hexdigest()
    conda.change("noarch", file, sha256=sha256, md5=md5, size=size)
    conda.set(conda.path("noarch", file), body)
    return body


def mirror(server: Server, conda: FakeConda) -> str:
    """A channel that mirrors all on demand; the token of its owner."""
    url = f"http://127.0.0.1:{server.port}/api"
    login = {"username": "admin", "password": PASSWORD}
    token = str(requests.post(f"{url}/auth/login", json=login, timeout=60).json()["token"])
    headers = {"Authorization": f"Bearer {token}"}
    place = {"mirror_name": "m", "source_root": conda.channel, "mirror_mode": "passive"}
    for path, body in (
        ("/channels", {"name": "open", "privacy": "public"}),
        ("/channels/open/mirrors", {**place, "run_now": True}),
    ):
        answer = requests.post(f"{url}{path}", json=body, headers=headers, timeout=60)
        assert answer.status_code in (200, 201), answer.text
    index = f"{url}/repo/open/noarch/repodata.json"
    until(lambda: b"wrong" in requests.get(index, timeout=60).content, within=180)
    return token
