"""Sends an answer: from memory, from a file, or from something that is made while it is sent.

Granian reads files at the pace of the client, but takes everything else at once and keeps it in
memory. So what is made while it is sent goes through a pipe, which granian opens as a file: a
client that reads slowly costs a pipe, and no thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import zstandard
from django.conf import settings

from delivery.responses import Reply
from mirrorserver.rsgi.pool import RunJob
from mirrorserver.rsgi.protocol import Exchange, Headers

CHUNK = 64 * 1024
READ = 16 * 1024
"""Of what is unpacked: each client that reads slowly holds as much."""
MOST_PIPES = 256


class TooManyStreams(Exception):
    """This process sends as many streams as it may."""


def send_file(proto: Exchange, reply: Reply) -> None:
    """Answer with a file or a part of it."""
    assert reply.path is not None
    path = str(reply.path)
    if reply.status == 206:
        # Behind the last byte, unlike the end in Content-Range.
        end = reply.first + reply.length
        proto.response_file_range(reply.status, reply.headers, path, reply.first, end)
    else:
        proto.response_file(reply.status, reply.headers, path)


async def unpacked(path: Path, run: RunJob) -> AsyncIterator[bytes]:
    """The plain form of a zstd file, piece by piece, each made on a thread."""
    with path.open("rb", buffering=0) as file:
        pieces = zstandard.ZstdDecompressor().read_to_iter(file, read_size=READ, write_size=CHUNK)
        while (piece := await run(next, pieces, b"")) != b"":
            yield piece


_pipes = 0


async def send_stream(
    proto: Exchange,
    status: int,
    headers: Headers,
    pieces: AsyncIterator[bytes],
    gone: asyncio.Future[None],
) -> None:
    """Answer with what `pieces` gives, at the client's pace.

    Raises what `pieces` raises. After the first piece the head is sent, so the connection is then
    cut before the promised length, as it is where the client stalls.
    """
    global _pipes
    if _pipes >= MOST_PIPES:
        raise TooManyStreams
    _pipes += 1
    try:
        if piece := await anext(pieces, b""):
            await _send_through_pipe(proto, status, headers, _prepend(piece, pieces), gone)
        else:
            # Bytes that granian takes show that it has opened a pipe. An empty pipe never shows it.
            proto.response_empty(status, headers)
    finally:
        _pipes -= 1


async def _prepend(piece: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield piece
    async for following in pieces:
        yield following


async def _send_through_pipe(
    proto: Exchange,
    status: int,
    headers: Headers,
    pieces: AsyncIterator[bytes],
    gone: asyncio.Future[None],
) -> None:
    pipe = _Pipe()
    try:
        proto.response_file(status, headers, pipe.path)
        async for piece in pieces:
            if not await pipe.write(piece, gone):
                break
        await pipe.wait_for_reader(gone)
    finally:
        pipe.close()


class _Pipe:
    """A pipe whose reading end granian opens by its path below /proc."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._given = 0
        self._ours_open = True

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self._reading}"

    async def write(self, piece: bytes, gone: asyncio.Future[None]) -> bool:
        """Put all of it in; False where nobody reads it any more."""
        view = memoryview(piece)
        while view:
            try:
                count = os.write(self._writing, view)
            except BlockingIOError:
                if not await self._room(gone):
                    return False
            except BrokenPipeError:
                return False
            else:
                self._given += count
                view = view[count:]
                self._leave_it_to_the_reader()
        return True

    async def wait_for_reader(self, gone: asyncio.Future[None]) -> None:
        """Wait until granian has read from the pipe, so that what is in it is not lost."""
        for _ in range(int(settings.STALLED_SECONDS / 0.01)):
            self._leave_it_to_the_reader()
            if not self._ours_open or gone.done():
                return
            await asyncio.sleep(0.01)

    def _leave_it_to_the_reader(self) -> None:
        """Close our reading end once granian has taken something: then its end shows in writes."""
        if self._ours_open and self._given > _unread(self._reading):
            os.close(self._reading)
            self._ours_open = False

    async def _room(self, gone: asyncio.Future[None]) -> bool:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            if not writable.done():
                writable.set_result(None)

        loop.add_writer(self._writing, ready)
        try:
            await asyncio.wait(
                (writable, gone),
                timeout=settings.STALLED_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            loop.remove_writer(self._writing)
        self._leave_it_to_the_reader()
        return writable.done() and not (self._ours_open and gone.done())

    def close(self) -> None:
        """The end of what is sent, or of the connection where more was promised."""
        os.close(self._writing)
        if self._ours_open:
            with contextlib.suppress(OSError):
                os.close(self._reading)
            self._ours_open = False


def _unread(handle: int) -> int:
    answer = fcntl.ioctl(handle, termios.FIONREAD, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
