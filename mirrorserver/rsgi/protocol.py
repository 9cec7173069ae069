"""The part of granian's RSGI interface that this server uses, with types."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

Headers = list[tuple[str, str]]


class RequestHeaders(Protocol):
    """Names are in lower case; one that was sent twice is there twice."""

    def __contains__(self, key: str) -> bool: ...
    def items(self) -> list[tuple[str, str]]: ...
    def get(self, key: str, default: str | None = None) -> str | None: ...


class Scope(Protocol):
    """A request's line and headers."""

    proto: str
    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    headers: RequestHeaders


class Exchange(Protocol):
    """Reads the body of a request, and answers it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def client_disconnect(self) -> asyncio.Future[None]: ...
    def response_empty(self, status: int, headers: Headers) -> None: ...
    def response_bytes(self, status: int, headers: Headers, body: bytes | bytearray) -> None: ...
    def response_file(self, status: int, headers: Headers, file: str) -> None: ...
    def response_file_range(
        self, status: int, headers: Headers, file: str, start: int, end: int
    ) -> None: ...
