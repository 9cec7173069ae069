"""A connection test ends when its client leaves; the upstream's connection with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.mirrorserver.rsgi.conftest import Stage
from tests.security import attackers


@contextmanager
def silent_test(stage: Stage) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client that has asked for a test of a silent upstream, and the connection it led to."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent.settimeout(60)
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/silent"
        body = json.dumps({"source_root": place, "mirror_type": "conda"}).encode()
        opening = attackers.poster("/api/mirrors/test", body, stage.token)
        address = ("127.0.0.1", stage.server.port)
        client = stack.enter_context(socket.create_connection(address, timeout=60))
        client.sendall(opening(f"127.0.0.1:{stage.server.port}"))
        asked = stack.enter_context(silent.accept()[0])
        asked.settimeout(60)
        assert asked.recv(65536).startswith(b"GET ")
        yield client, asked


def test_a_test_ends_with_its_client_and_before_its_time(stage: Stage) -> None:
    # The older test would be the first to end by the limit of time that both have.
    with silent_test(stage) as (_, older), silent_test(stage) as (client, asked):
        client.close()
        assert asked.recv(1) == b""
        older.setblocking(False)
        with pytest.raises(BlockingIOError):
            older.recv(1)
