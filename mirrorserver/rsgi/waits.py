"""Clients that wait for a file from its upstream: no thread each, bounded in number and time.

One task polls for all fetches of this process, with one query; each client awaits a future.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from django.conf import settings
from django.db import Error

from delivery.app import PendingReply
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.pending import VERIFY_SECONDS, PendingFetch, poll
from delivery.on_demand.request import FetchRequest
from delivery.on_demand.stream import Stream
from delivery.responses import Reply
from mirrorserver.rsgi.pool import RunJob

logger = logging.getLogger(__name__)

# Most small files come within milliseconds; a long one must not cost a query for each of them.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.2
AGAIN_SECONDS = 10.0


@dataclass(slots=True)
class _SharedWait:
    """A fetch and how many clients wait for it."""

    fetch: PendingFetch
    finished: asyncio.Future[None]
    clients: int = 0


class Waits:
    """All that waits in one process; for one event loop."""

    def __init__(self, run: RunJob) -> None:
        self._run = run
        self._shared: dict[tuple[str, str], _SharedWait] = {}
        self._clients = 0
        self._polling: asyncio.Task[None] | None = None
        self._joined = asyncio.Event()

    async def settle(
        self, pending: PendingReply, gone: asyncio.Future[None]
    ) -> Reply | tuple[Reply, Waiter] | None:
        """The answer once the file is here or refused; a head and a stream where it takes long.

        None where the client has `gone`.
        """
        if self._clients >= settings.FETCH_WAITERS:
            return pending.refusal(_too_many(pending.request))
        waiter = Waiter(self, pending.request)
        waiter.open()
        streams = False
        try:
            if await waiter.ready(gone):
                streams = not waiter.fetch.done
                if streams:
                    return await self._run(pending.head), waiter
                return await self._finished(pending, waiter.fetch)
            return None if gone.done() else pending.refusal(_too_long(pending.request))
        finally:
            if not streams:
                waiter.close()

    async def _finished(self, pending: PendingReply, fetch: PendingFetch) -> Reply:
        if fetch.blob is None:
            assert fetch.error is not None
            return pending.refusal(fetch.error)
        reply: Reply = await self._run(pending.with_file, fetch.blob)
        return reply

    def join(self, request: FetchRequest) -> _SharedWait:
        """Wait for this file with one client more."""
        key = (request.key, request.refusal_key)
        shared = self._shared.get(key)
        # A finished fetch may have been refused: whoever asks now begins a new one.
        if shared is None or shared.finished.done():
            loop = asyncio.get_running_loop()
            shared = self._shared[key] = _SharedWait(PendingFetch(request), loop.create_future())
        shared.clients += 1
        self._clients += 1
        self._joined.set()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        return shared

    def leave(self, request: FetchRequest, shared: _SharedWait) -> None:
        """One client fewer; a fetch that nobody waits for is no longer polled."""
        shared.clients -= 1
        self._clients -= 1
        key = (request.key, request.refusal_key)
        if not shared.clients and self._shared.get(key) is shared:
            del self._shared[key]

    async def _poll(self) -> None:
        pause = FIRST_PAUSE
        while pending := [shared for shared in self._shared.values() if not shared.finished.done()]:
            try:
                await self._run(poll, [shared.fetch for shared in pending])
            except Error as error:
                logger.exception("The database did not answer those who wait.")
                _fail(pending, error)
            for shared in pending:
                if shared.fetch.done and not shared.finished.done():
                    shared.finished.set_result(None)
            self._joined.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._joined.wait(), pause)
                pause = FIRST_PAUSE
            pause = min(pause * 1.5, LONGEST_PAUSE)


class Waiter:
    """One client that waits for a fetch, and then reads its stream."""

    def __init__(self, waits: Waits, request: FetchRequest) -> None:
        self._waits, self._request = waits, request
        self._shared: _SharedWait | None = None
        self.chunks: Stream | None = None

    @property
    def fetch(self) -> PendingFetch:
        """The fetch that it waits for."""
        assert self._shared is not None
        return self._shared.fetch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Join those who wait."""
        self._shared = self._waits.join(self._request)

    def close(self) -> None:
        """Leave; again changes nothing."""
        if self._shared is not None:
            self._waits.leave(self._request, self._shared)
            self._shared = None

    async def ready(self, gone: asyncio.Future[None]) -> bool:
        """Wait until the file is here, refused, or long enough on its way to be streamed."""
        assert self._shared is not None
        begun = time.monotonic()
        until = begun + settings.FETCH_SECONDS
        streams = begun + VERIFY_SECONDS
        while not self._shared.finished.done():
            now = time.monotonic()
            if now >= streams and self.fetch.streamable:
                return True
            if gone.done() or now >= until:
                return False
            pause = streams - now if now < streams else LONGEST_PAUSE
            await asyncio.wait(
                (self._shared.finished, gone),
                timeout=max(0.01, min(pause, until - now)),
                return_when=asyncio.FIRST_COMPLETED,
            )
        return True

    async def read(self) -> bytes:
        """The next bytes of the stream, once there are any; b"" at its end.

        Raises `StreamAborted`.
        """
        assert self._shared is not None
        if self.chunks is None:
            self.chunks = Stream(self.fetch)
        pause = FIRST_PAUSE
        while not (chunk := self.chunks.read()) and not self.chunks.ended:
            await asyncio.wait((self._shared.finished,), timeout=pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return chunk


def _fail(pending: list[_SharedWait], error: Error) -> None:
    detail = "The database of this server does not answer now. Try again."
    for shared in pending:
        shared.fetch.error = Unavailable(503, detail, again=AGAIN_SECONDS)
        shared.fetch.error.__cause__ = error


def _too_many(request: FetchRequest) -> Unavailable:
    detail = f"Too many clients wait for files now; {request.listed.filename} can be had later."
    return Unavailable(503, detail, again=AGAIN_SECONDS)


def _too_long(request: FetchRequest) -> Unavailable:
    name, seconds = request.listed.filename, settings.FETCH_SECONDS
    detail = f"{name} did not come from the upstream within {seconds:g} s; it may come later."
    return Unavailable(503, detail, again=AGAIN_SECONDS)
