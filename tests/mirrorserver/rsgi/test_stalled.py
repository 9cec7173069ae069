"""A client that takes nothing of a file loses its connection; one that reads slowly does not.

With a real server, whose limit is short: the slow reader stays for as long as the stalled one does,
and longer, and gets the whole file.
"""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from pathlib import Path

from tests.mirrorserver.rsgi.conftest import Stage
from tests.mirrorserver.server import Server, until

SMALL_WINDOW = 8192
PIECE = 16 * 1024
ESTABLISHED = "01"


def reader(stage: Stage) -> socket.socket:
    """Has asked for the file, and has little room for it."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)
    wire.settimeout(60)
    wire.connect(("127.0.0.1", stage.server.port))
    host = f"127.0.0.1:{stage.server.port}"
    wire.sendall(
        f"GET {stage.path('large')} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert wire.recv(12) == b"HTTP/1.1 200"
    return wire


def connected(server: Server, wire: socket.socket) -> bool:
    """Whether the server's end of a connection is alive, as the system tells."""
    ours, theirs = f":{server.port:04X}", f":{wire.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if local.endswith(ours) and remote.endswith(theirs):
            return state == ESTABLISHED
    return False


def sockets(server: Server) -> int:
    """How many the web processes hold."""
    count = 0
    for pid in server.pids("granian"):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                count += str(link.readlink()).startswith("socket:")
    return count


def test_a_stalled_reader_is_cut_while_a_slow_one_gets_all(stage: Stage) -> None:
    assert stage.get(stage.path("large")).content == stage.files["large"]
    size = len(stage.files["large"])
    with closing(reader(stage)) as slow:
        before = sockets(stage.server)
        with closing(reader(stage)) as stalled:
            count = 0

            def cut() -> bool:
                nonlocal count
                count += len(slow.recv(PIECE))
                return not connected(stage.server, stalled)

            assert connected(stage.server, stalled)
            assert sockets(stage.server) > before
            until(cut)
            assert connected(stage.server, slow)
            assert 0 < count < size
            # The process has let go of it too, so its place is free.
            until(lambda: sockets(stage.server) <= before)
        while piece := slow.recv(size):
            count += len(piece)
        assert count > size
