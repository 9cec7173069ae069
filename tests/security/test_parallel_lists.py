"""Attack: the longest lists of specs, saved by several at once, while others work on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from filters.rules.form import MOST_ENTRIES
from tests.mirrorserver.server import Server, until

PASSWORD = "correct horse battery"
SECONDS = 240
"""Far more than the work takes; a request that never ends fails."""


class Door:
    """The API of a server, for its administrator."""

    def __init__(self, server: Server) -> None:
        self.url = f"http://127.0.0.1:{server.port}/api"
        login = {"username": "admin", "password": PASSWORD}
        token = requests.post(f"{self.url}/auth/login", json=login, timeout=SECONDS).json()
        self.headers = {"Authorization": f"Bearer {token['token']}"}

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method, f"{self.url}{path}", json=body, headers=self.headers, timeout=SECONDS
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("lists") / "data",
        ADMIN_PASSWORD=PASSWORD,
        UPSTREAM_ALLOW="http://127.0.0.1:*",
        LIMIT_WRITES="100000/60",
    )
    try:
        until(server.system, within=SECONDS)
        yield server
    finally:
        server.close()


def test_long_lists_saved_at_once_keep_nobody_from_the_database(server: Server) -> None:
    door = Door(server)
    for name in ("small", "long0"):
        assert door.ask("POST", "/channels", {"name": name}).status_code == 201
    source = {"source_root": "http://127.0.0.1:9/none", "mirror_type": "conda"}
    for number in (1, 2):
        made = door.ask("POST", "/channels/small/mirrors", {**source, "mirror_name": f"m{number}"})
        assert made.status_code == 201, made.text
    specs = [f"package-{number} >=1.{number % 9},<2" for number in range(MOST_ENTRIES)]
    lists = {"filters": {"exclude_specs": specs}}
    paths = ["/channels/long0", *(f"/channels/small/mirrors/m{number}" for number in (1, 2))]
    others = []
    with ThreadPoolExecutor(len(paths)) as pool:
        saving = [pool.submit(door.ask, "PUT", path, lists) for path in paths]
        while not all(one.done() for one in saving):
            change = {"description": f"change {len(others)}"}
            others.append(door.ask("PUT", "/channels/small", change))
            others.append(door.ask("GET", "/channels"))
        saved = [one.result() for one in saving]
    assert [answer.status_code for answer in saved] == [200, 202, 202]
    assert others
    assert [answer.text for answer in others if answer.status_code != 200] == []
    assert "database is locked" not in server.said()
    for path in paths:
        kept = door.ask("GET", path).json()["filters"]["exclude_specs"]
        assert kept == specs
