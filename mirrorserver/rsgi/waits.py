"""Clients that wait for a file from its upstream: no thread each, bounded in number and time.

One task looks after all flights of this process, with one query for those on their way; whoever
waits is a future.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.db import Error

from delivery.app import Waiting
from delivery.on_demand.errors import Unavailable
from delivery.on_demand.pending import VERIFY_SECONDS, PendingFetch, poll
from delivery.on_demand.request import FetchRequest
from delivery.on_demand.stream import Stream
from delivery.responses import Reply

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.2
AGAIN_SECONDS = 10.0

Run = Callable[..., Awaitable[Any]]
"""Runs a function with its arguments on a thread that may use the database."""


@dataclass(slots=True)
class _Shared:
    """A flight and how many wait for it."""

    flight: PendingFetch
    over: asyncio.Future[None]
    clients: int = 0


class Waits:
    """All that waits in one process; for one event loop."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._shared: dict[tuple[str, str], _Shared] = {}
        self._clients = 0
        self._looking: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    async def settle(
        self, waiting: Waiting, gone: asyncio.Future[None]
    ) -> Reply | tuple[Reply, Flying] | None:
        """The answer once the file is here or refused; a head and a stream where it takes long.

        None where the client has `gone`.
        """
        if self._clients >= settings.FETCH_WAITERS:
            return waiting.refused(_too_many(waiting.request))
        flying = Flying(self, waiting.request)
        flying.open()
        streams = False
        try:
            if await flying.ready(gone):
                streams = not flying.flight.done
                if streams:
                    return await self._run(waiting.begun), flying
                return await self._ended(waiting, flying.flight)
            return None if gone.done() else waiting.refused(_too_long(waiting.request))
        finally:
            if not streams:
                flying.close()

    async def _ended(self, waiting: Waiting, flight: PendingFetch) -> Reply:
        if flight.blob is None:
            assert flight.error is not None
            return waiting.refused(flight.error)
        reply: Reply = await self._run(waiting.arrived, flight.blob)
        return reply

    def join(self, request: FetchRequest) -> _Shared:
        """The flight that brings this file, for one client more."""
        key = (request.key, request.refusal_key)
        shared = self._shared.get(key)
        if shared is None or shared.over.done():
            loop = asyncio.get_running_loop()
            shared = self._shared[key] = _Shared(PendingFetch(request), loop.create_future())
        shared.clients += 1
        self._clients += 1
        self._more.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return shared

    def leave(self, request: FetchRequest, shared: _Shared) -> None:
        """One client fewer; a flight that nobody waits for is no longer looked at."""
        shared.clients -= 1
        self._clients -= 1
        key = (request.key, request.refusal_key)
        if not shared.clients and self._shared.get(key) is shared:
            del self._shared[key]

    async def _look(self) -> None:
        pause = FIRST_PAUSE
        while pending := [shared for shared in self._shared.values() if not shared.over.done()]:
            try:
                await self._run(poll, [shared.flight for shared in pending])
            except Error as error:
                logger.exception("The database did not answer those who wait.")
                _fail(pending, error)
            for shared in pending:
                if shared.flight.done and not shared.over.done():
                    shared.over.set_result(None)
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), pause)
                pause = FIRST_PAUSE
            pause = min(pause * 1.5, LONGEST_PAUSE)


class Flying:
    """One client's part in a flight, from its first look to its last byte."""

    def __init__(self, waits: Waits, request: FetchRequest) -> None:
        self._waits, self._request = waits, request
        self._shared: _Shared | None = None
        self.chunks: Stream | None = None

    @property
    def flight(self) -> PendingFetch:
        """How far the file is."""
        assert self._shared is not None
        return self._shared.flight

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
        while not self._shared.over.done():
            now = time.monotonic()
            if now >= streams and self.flight.streamable:
                return True
            if gone.done() or now >= until:
                return False
            pause = streams - now if now < streams else LONGEST_PAUSE
            await asyncio.wait(
                (self._shared.over, gone),
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
            self.chunks = Stream(self.flight)
        pause = FIRST_PAUSE
        while not (chunk := self.chunks.read()) and not self.chunks.ended:
            await asyncio.wait((self._shared.over,), timeout=pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return chunk


def _fail(pending: list[_Shared], error: Error) -> None:
    detail = "The database of this server does not answer now. Try again."
    for shared in pending:
        shared.flight.error = Unavailable(503, detail, again=AGAIN_SECONDS)
        shared.flight.error.__cause__ = error


def _too_many(request: FetchRequest) -> Unavailable:
    detail = f"Too many clients wait for files now; {request.listed.filename} can be had later."
    return Unavailable(503, detail, again=AGAIN_SECONDS)


def _too_long(request: FetchRequest) -> Unavailable:
    name, seconds = request.listed.filename, settings.FETCH_SECONDS
    detail = f"{name} did not come from the upstream within {seconds:g} s; it may come later."
    return Unavailable(503, detail, again=AGAIN_SECONDS)
