"""Stand-ins for what granian gives the application: a request, and the way to answer it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from mirrorserver.rsgi.protocol import Headers


class RequestHeaders(dict[str, str]):
    """As granian has them: `items` is a list."""

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return list(super().items())


@dataclass
class Scope:
    """A request's line and headers."""

    method: str
    path: str
    headers: RequestHeaders = field(default_factory=RequestHeaders)
    query_string: str = ""
    proto: str = "http"
    http_version: str = "1.1"
    server: str = "127.0.0.1:8000"
    client: str = "127.0.0.1:50000"
    scheme: str = "http"


class Exchange:
    """Sends the pieces of a body, then keeps silent or ends; remembers the answer.

    A file is opened and read as granian does it: on a thread, at the pace that `pace` allows.
    """

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._pieces, self._ends = pieces, ends
        self.status = 0
        self.headers: Headers = []
        self.body = b""
        self.file: bytes | None = None
        self.may_open = threading.Event()
        self.may_open.set()
        self.pace = threading.Event()
        self.opened = threading.Event()
        self._reader: threading.Thread | None = None
        self.most = -1
        """So many bytes are read; then the reader closes. -1: all."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body()

    async def _body(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
            # Time passes for the loop, by one round.
            await asyncio.sleep(0)
        if not self._ends:
            await asyncio.Event().wait()

    def client_disconnect(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def response_empty(self, status: int, headers: Headers) -> None:
        self.response_bytes(status, headers, b"")

    def response_bytes(self, status: int, headers: Headers, body: bytes | bytearray) -> None:
        self.status, self.headers, self.body = status, headers, bytes(body)

    def response_file(self, status: int, headers: Headers, file: str) -> None:
        self.status, self.headers = status, headers
        self._reader = threading.Thread(target=self._read, args=(file,))
        self._reader.start()

    def response_file_range(
        self, status: int, headers: Headers, file: str, start: int, end: int
    ) -> None:
        raise NotImplementedError

    def _read(self, path: str) -> None:
        self.may_open.wait(60)
        with Path(path).open("rb", buffering=0) as file:
            self.opened.set()
            self.pace.wait(60)
            found = bytearray()
            while self.most < 0 or len(found) < self.most:
                if not (piece := file.read(64 * 1024)):
                    break
                found += piece
            self.file = bytes(found)

    def finish(self) -> bytes | None:
        """What the reader got, once it has ended."""
        self.pace.set()
        assert self._reader is not None
        self._reader.join(60)
        assert not self._reader.is_alive()
        return self.file
