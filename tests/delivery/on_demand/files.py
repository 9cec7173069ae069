"""Files that a channel lists and its upstream has, and clients that ask for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from channels.models import Channel
from delivery.on_demand.errors import StreamAborted
from tests.channels import factory
from tests.channels.factory import Made
from tests.wsgi import Answer, Client, application

SMALL = factory.made("small-1.0-0.conda", b"small" * 200)
BIG = factory.made("big-1.0-0.conda", bytes(range(256)) * 4096)
PATIENT_SECONDS = 60


def path(file: Made) -> str:
    return f"/api/repo/tools/noarch/{file.filename}"


def left_behind(data: Path) -> list[str]:
    return [file.name for file in (data / "tmp").glob("*.part")]


def in_thread(file: Made) -> tuple[ThreadPoolExecutor, Any]:
    """A client in a thread of its own, whose database connection ends with it."""

    def get() -> Answer:
        try:
            return Client(application).get(path(file))
        finally:
            connection.close()

    pool = ThreadPoolExecutor(1)
    return pool, pool.submit(get)


class Streamed:
    """A client that reads a stream piece by piece while the upstream holds."""

    def __init__(self, file: Made) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        Client(application)
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path(file)}
        self.body = iter(application(environ, self.start))

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)

    def until_cut(self) -> bytes:
        """What comes before the connection is cut."""
        parts: list[bytes] = []
        with pytest.raises(StreamAborted):
            parts.extend(self.body)
        return b"".join(parts)


def chain(length: int, source: Channel) -> Channel:
    """Channels of this server, each the source of the next; the last one."""
    for number in range(length):
        origin = factory.file_source(f"http://here/api/repo/{source.path}/noarch", source=source)
        source = factory.channel(f"behind{number}")
        factory.publish(source, {"noarch": [SMALL, BIG]}, file_source=origin, here=False)
    return source


def many_clients(file: Made, count: int) -> list[bool]:
    """What `count` clients of this process get, each on a thread of its own."""

    def get(_: int) -> bool:
        try:
            return Client(application).get(path(file)).body == file.content
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(get, range(count)))


def run_clients(file: Made, count: int, results: Any) -> None:
    connections.close_all()
    results.put(many_clients(file, count))
