"""Reads a request's body whole, as far as this client may send one, within a deadline.

The rule: how much may come is decided before it is read, and memory for all bodies of a process
is bounded. Nothing is written to the disk but what the addresses for files of advisories take: a
process takes one such file at a time, of a client whose credentials are valid.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import IO

from django.conf import settings

from mirrorserver.rsgi.protocol import Exchange, Scope

KIB = 1024
ALL_BODIES = 96 * KIB * KIB
"""What the bodies of all requests of one process may take together, those in work included."""
FIRST_SECONDS = 20.0
"""For a body of any size, and the longest pause between two pieces of it."""
BYTES_A_SECOND = 32 * KIB
"""Faster than this a larger body has to come."""
MULTIPART = "multipart/"


class MaxBody(IntEnum):
    """How many bytes a body may have."""

    ANONYMOUS = 16 * KIB
    AUTHENTICATED = 2 * KIB * KIB
    SPECS = 32 * KIB * KIB
    """Where lists of 100,000 package names belong."""
    FILE = 2 * KIB * KIB * KIB
    """Where archives of advisories are uploaded."""


_TREE = r"channels/[^/]+(/subchannels/[^/]+|/[^/]+)?"
_SPECS = re.compile(
    rf"/api/(repo/)?({_TREE}|channels|channels/[^/]+/subchannels|namespace-channels)"
    rf"|/api/(repo/)?({_TREE}/)?mirrors(/[^/]+)?(/preview)?"
    r"|/create-channel/|/channels/[^/]+/subchannels/create/"
    r"|/channels/[^/]+/([^/]+/)?(settings|mirrors/(create|check|call|preview|test|[0-9]+/edit))/"
)
_FILES = re.compile(r"/api/(repo/)?advisories/import|/cves/data/import/")
_STRANGERS = re.compile(r"/sign-in/|/api/auth/.*|/api/repo/auth/.*")


class Refused(Exception):
    """A body that is not taken; `str()` is the sentence for the client."""

    def __init__(self, status: int, detail: str, *, again: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        self.again = again


@dataclass(slots=True)
class Memory:
    """What the bodies of this process take now."""

    used: int = 0
    uploading: bool = False
    """Whether a file is being received."""

    def take(self, count: int) -> None:
        """Count bytes that came, or refuse them."""
        if self.used + count > ALL_BODIES:
            raise Refused(503, "Too many large requests at once. Try again.", again=5)
        self.used += count

    def give_back(self, count: int) -> None:
        """They are no longer needed."""
        self.used -= count


def max_body(method: str, path: str) -> MaxBody:
    """What a known client may send to this address."""
    if _STRANGERS.fullmatch(path):
        return MaxBody.ANONYMOUS
    if takes_file(method, path):
        return MaxBody.FILE
    if method in ("POST", "PUT", "PATCH") and _SPECS.fullmatch(path):
        return MaxBody.SPECS
    return MaxBody.AUTHENTICATED


def takes_file(method: str, path: str) -> bool:
    """Whether a form with a file may be sent to this address."""
    return method == "POST" and _FILES.fullmatch(path) is not None


class Body:
    """The body of one request while it is read and worked on."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._counted = 0
        self._file: IO[bytes] | None = None

    async def read(
        self, scope: Scope, proto: Exchange, is_authenticated: Callable[[], Awaitable[bool]]
    ) -> bytes:
        """All of it; `is_authenticated` says whether the client's credentials are valid.

        Raises `Refused`.
        """
        length = scope.headers.get("content-length")
        coming = length is not None or scope.headers.get("transfer-encoding") is not None
        if not coming or length == "0":
            return b""
        allowed = max_body(scope.method, scope.path)
        declared = int(length) if length and length.isdigit() else -1
        _check(declared, allowed)
        if declared > MaxBody.ANONYMOUS:
            await _check_authenticated(declared, is_authenticated)
        return await self._pieces(proto, declared, allowed, is_authenticated)

    async def receive(
        self, scope: Scope, proto: Exchange, is_authenticated: Callable[[], Awaitable[bool]]
    ) -> IO[bytes]:
        """A form with a file, in a file without a name that `close` removes.

        Raises `Refused`.
        """
        if not await is_authenticated():
            raise Refused(401, "Sign in, or send a valid token, before you upload a file.")
        if self._memory.uploading:
            raise Refused(503, "Another file is being received. Try again.", again=5)
        length = scope.headers.get("content-length")
        _check(int(length) if length and length.isdigit() else 0, MaxBody.FILE)
        self._memory.uploading = True
        self._file = tempfile.TemporaryFile(dir=settings.DATA / "tmp")  # noqa: SIM115 - see close
        count, begun = 0, asyncio.get_running_loop().time()
        pieces = proto.__aiter__()
        while piece := await _next_piece(pieces, begun + FIRST_SECONDS + count / BYTES_A_SECOND):
            count += len(piece)
            _check(count, MaxBody.FILE)
            await asyncio.to_thread(self._file.write, piece)
        self._file.seek(0)
        return self._file

    async def _pieces(
        self,
        proto: Exchange,
        declared: int,
        allowed: int,
        is_authenticated: Callable[[], Awaitable[bool]],
    ) -> bytes:
        body = bytearray()
        checked = declared > MaxBody.ANONYMOUS
        begun = asyncio.get_running_loop().time()
        pieces = proto.__aiter__()
        while True:
            # Moves with what has come: a steady client may send a large body, a trickling one not.
            piece = await _next_piece(pieces, begun + FIRST_SECONDS + len(body) / BYTES_A_SECOND)
            if not piece:
                return bytes(body)
            self._memory.take(len(piece))
            self._counted += len(piece)
            body += piece
            _check(len(body), allowed)
            if not checked and len(body) > MaxBody.ANONYMOUS:
                await _check_authenticated(len(body), is_authenticated)
                checked = True

    def close(self) -> None:
        """The request is answered."""
        self._memory.give_back(self._counted)
        self._counted = 0
        if self._file is not None:
            self._file.close()
            self._memory.uploading = False
            self._file = None


async def _next_piece(pieces: AsyncIterator[bytes], until: float) -> bytes:
    """The next piece of a body, b"" at its end."""
    try:
        async with asyncio.timeout_at(until):
            return await anext(pieces, b"")
    except TimeoutError:
        raise Refused(408, "The body of the request came too slowly.") from None


def _check(count: int, allowed: int) -> None:
    if count > allowed:
        raise Refused(413, f"The body is larger than {_shown(allowed)}, the most at this address.")


async def _check_authenticated(count: int, is_authenticated: Callable[[], Awaitable[bool]]) -> None:
    if count > MaxBody.ANONYMOUS and not await is_authenticated():
        shown = _shown(MaxBody.ANONYMOUS)
        raise Refused(413, f"The body is larger than {shown}, the most without a valid sign-in.")


def _shown(count: int) -> str:
    if count >= KIB * KIB * KIB:
        return f"{count // KIB // KIB // KIB} GiB"
    return f"{count // KIB // KIB} MiB" if count >= KIB * KIB else f"{count // KIB} KiB"
