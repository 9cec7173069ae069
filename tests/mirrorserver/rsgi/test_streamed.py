"""A file that takes long on its way here: clients get it while it comes, and no wrong end of it.

With a real server and a real upstream, which stops before the last byte until the test says so.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from delivery.on_demand.pending import HELD_BACK
from tests.mirrorserver.rsgi.conftest import Stage
from tests.rogue import Behaviour


@contextmanager
def begun(stage: Stage, name: str, *behaviours: Behaviour) -> Iterator[socket.socket]:
    """The connection of a client that has got the head of its answer."""
    stage.conda.behave(stage.source(name), *behaviours)
    host = f"127.0.0.1:{stage.server.port}"
    try:
        with socket.create_connection(("127.0.0.1", stage.server.port), timeout=60) as wire:
            wire.sendall(f"GET {stage.path(name)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += wire.recv(1)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert f"\r\ncontent-length: {len(stage.files[name])}\r\n".encode() in head.lower()
            yield wire
    finally:
        for one in behaviours:
            one.release()


def read(wire: socket.socket, most: int) -> bytes:
    """So many bytes, or fewer where the connection ends."""
    found = bytearray()
    while len(found) < most and (piece := wire.recv(most - len(found))):
        found += piece
    return bytes(found)


def test_a_long_file_is_sent_while_it_comes_and_its_end_once_it_is_verified(stage: Stage) -> None:
    body = stage.files["long"]
    slow = Behaviour(hold_at=len(body) - 1, times=1)
    with begun(stage, "long", slow) as wire:
        assert read(wire, len(body) - HELD_BACK) == body[:-HELD_BACK]
        assert slow.held.is_set()
        # All but one byte has come here, the server works, and yet it sends no more of this.
        assert stage.get("/api/system").status_code == 200
        wire.setblocking(False)
        with pytest.raises(BlockingIOError):
            wire.recv(1)
        wire.settimeout(60)
        slow.release()
        assert read(wire, HELD_BACK) == body[-HELD_BACK:]
    assert stage.get(stage.path("long")).content == body
    assert stage.conda.count(stage.source("long")) == 1


def test_the_connection_is_cut_before_the_end_where_the_bytes_are_wrong(stage: Stage) -> None:
    body = stage.files["wrong"]
    wrong = body[:-1] + bytes([body[-1] ^ 1])
    slow = Behaviour(body=wrong, hold_at=len(body) - 1, times=1)
    with begun(stage, "wrong", slow, Behaviour(body=wrong)) as wire:
        assert read(wire, len(body) - HELD_BACK) == body[:-HELD_BACK]
        slow.release()
        with suppress(ConnectionResetError):
            assert wire.recv(1) == b""
    answer = stage.get(stage.path("wrong"))
    assert answer.status_code == 502
    assert "sha256" in answer.text
