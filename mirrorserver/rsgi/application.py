"""The RSGI application: clients' requests for packages first, Django for everything else."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import IO
from wsgiref.types import WSGIEnvironment

from django.conf import settings
from django.db import Error

from accounts import disconnect
from accounts.errors import ApiError
from delivery import app, cache, paths
from delivery.on_demand.errors import StreamAborted
from delivery.responses import Problem, Reply, problem, safe
from mirrorserver.rsgi import bodies, bridge, sending, shares, stalled
from mirrorserver.rsgi.generations import Generations
from mirrorserver.rsgi.pool import Busy, ClientShares, Pool, Share
from mirrorserver.rsgi.protocol import Exchange, Headers, Scope
from mirrorserver.rsgi.waits import Waiter, Waits
from web.api import unsupported
from web.throttle import SAFE
from web.unavailable import DATABASE_BUSY, RETRY_SECONDS

logger = logging.getLogger(__name__)

QUEUE = 1000
UPSTREAM_THREADS, UPSTREAM_QUEUE = 8, 8
"""Threads for what asks an upstream before it answers: others must not wait behind them."""
UNPACKERS = 1
"""Threads that unpack for clients of old forms: nobody else waits behind them."""
_ASKS_UPSTREAM = ("/mirrors/test/", "/mirrors/test", "/mirrors/check/")
BUSY = "The server has too much to do now. Try again."
BUSY_DATABASE = Problem(503, DATABASE_BUSY, [("Retry-After", str(RETRY_SECONDS))])


class Application:
    """One web process: its threads, and those who wait."""

    def __init__(self) -> None:
        threads = settings.WEB_THREADS
        self._pages = Pool("pages", threads=threads, queue=QUEUE)
        # Who only reads finds a thread while all changes wait for a locked database.
        self._changes = Share(self._pages, threads=max(1, threads // 2), queue=QUEUE)
        self._upstream_pool = Pool("upstream", threads=UPSTREAM_THREADS, queue=UPSTREAM_QUEUE)
        self._packages = Pool("packages", threads=threads, queue=2 * QUEUE)
        # What is not remembered is looked up, and clients may ask for any number of such names.
        self._lookups = ClientShares(self._packages, threads=max(1, threads // 2), queue=QUEUE)
        self._unpackers = Pool("unpackers", threads=UNPACKERS, queue=QUEUE)
        self._generations = Generations()
        self._waits = Waits(self._packages.run)
        self._memory = bodies.Memory()
        self._shares = shares.Shares()
        self._begun: asyncio.Task[None] | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """What begins with the loop, before granian listens."""
        self._begun = loop.create_task(stalled.limit(settings.STALLED_SECONDS))

    async def __rsgi__(self, scope: Scope, proto: Exchange) -> None:
        """Answer one request."""
        request = bridge.request_of(scope)
        try:
            # An alias below /api/repo is an address of the API, which Django answers.
            if paths.ours(scope.path) and not paths.alias(scope.path):
                await self._package(scope, proto, request)
            else:
                await self._page(scope, proto, request)
        except (Busy, sending.TooManyStreams):
            _send(proto, problem(request, Problem(503, BUSY, [("Retry-After", "5")])))
        except shares.TooManyDownloads as error:
            again = [("Retry-After", str(shares.AGAIN_SECONDS))]
            _send(proto, problem(request, Problem(429, str(error), again)))
        except Error:
            logger.exception("The database did not answer a request.")
            _send(proto, problem(request, BUSY_DATABASE))
        except StreamAborted as error:
            logger.warning("A file was cut while it was sent: %s", error)

    async def _package(self, scope: Scope, proto: Exchange, request: dict[str, str]) -> None:
        """What lies in a channel."""
        # A GET may have a body (RFC 9110, 9.3.1); unread, it would pass for the next request.
        if "content-length" in scope.headers or "transfer-encoding" in scope.headers:
            await self._drop_body(scope, proto)
        if (reply := await self._cached_reply(request)) is None:
            client = shares.client(scope, request)
            outcome = await self._lookups.run(client, app.respond, request)
            if isinstance(outcome, app.PendingReply):
                downloader = shares.client(scope, request, outcome.answer.user)
                with self._shares.slot(downloader):
                    await self._wait(proto, outcome)
                return
            reply = outcome
        # Unpacking takes a thread and a pipe for as long as the client reads.
        if reply.packed:
            with self._shares.slot(shares.client(scope, request, reply.user)):
                await self._unpack(proto, reply)
        elif reply.path is not None:
            sending.send_file(proto, reply)
        else:
            _send(proto, reply)

    async def _cached_reply(self, request: dict[str, str]) -> Reply | None:
        caches = cache.at(await self._generations.read())
        return app.cached_reply(request, caches) if caches is not None else None

    async def _wait(self, proto: Exchange, pending: app.PendingReply) -> None:
        gone = asyncio.ensure_future(proto.client_disconnect())
        try:
            match await self._waits.settle(pending, gone):
                case Reply() as reply if reply.path is not None:
                    sending.send_file(proto, reply)
                case Reply() as reply:
                    _send(proto, reply)
                case (reply, waiter):
                    with waiter:
                        await sending.send_stream(
                            proto, reply.status, reply.headers, _stream(waiter), gone
                        )
        finally:
            gone.cancel()

    async def _unpack(self, proto: Exchange, reply: Reply) -> None:
        assert reply.path is not None
        gone = asyncio.ensure_future(proto.client_disconnect())
        try:
            pieces = sending.unpacked(reply.path, self._unpackers.run)
            await sending.send_stream(proto, reply.status, reply.headers, pieces, gone)
        finally:
            gone.cancel()

    async def _drop_body(self, scope: Scope, proto: Exchange) -> None:
        """Read and forget what nothing reads, so that the connection can be used again."""
        body = bodies.Body(self._memory)
        try:
            await body.read(scope, proto, _never_authenticated)
        except bodies.Refused:
            return
        finally:
            body.close()

    async def _page(self, scope: Scope, proto: Exchange, request: dict[str, str]) -> None:
        """What Django answers."""
        if alias := paths.alias(scope.path):
            request["PATH_INFO"] = alias
        body = bodies.Body(self._memory)
        try:
            try:
                content = await self._body(scope, proto, request, body)
            except bodies.Refused as error:
                _send(proto, _refusal(request, error))
                return
            environ = bridge.environ_of(scope, request, content)
            if scope.path.endswith(_ASKS_UPSTREAM):
                answer = await self._look(proto, environ)
            elif scope.method in SAFE:
                answer = await self._pages.run(bridge.answer, environ)
            else:
                answer = await self._changes.run(bridge.answer, environ)
        finally:
            body.close()
        if answer.path is not None:
            proto.response_file(answer.status, answer.headers, str(answer.path))
        elif answer.file is not None:
            await self._send_spooled(proto, answer, answer.file)
        else:
            _send(proto, Reply(answer.status, answer.headers, answer.body))

    async def _look(self, proto: Exchange, environ: WSGIEnvironment) -> bridge.Answer:
        """The answer of a view that asks an upstream, and may end when its client leaves."""
        gone = asyncio.ensure_future(proto.client_disconnect())
        try:
            return await self._upstream_pool.run(
                bridge.answer, {**environ, disconnect.ENVIRON_KEY: gone.done}
            )
        finally:
            gone.cancel()

    async def _body(
        self, scope: Scope, proto: Exchange, request: dict[str, str], body: bodies.Body
    ) -> bytes | IO[bytes]:
        async def is_authenticated() -> bool:
            environ = bridge.environ_of(scope, request, b"")
            try:
                return await self._changes.run(bridge.is_authenticated, environ)
            except (Error, ApiError) as error:
                logger.exception("The database did not say whose request this is.")
                again = RETRY_SECONDS
                raise bodies.Refused(503, DATABASE_BUSY, again=again) from error

        multipart = request.get("CONTENT_TYPE", "").lower().startswith(bodies.MULTIPART)
        if multipart and bodies.takes_file(scope.method, request["PATH_INFO"]):
            return await body.receive(scope, proto, is_authenticated)
        content = await body.read(scope, proto, is_authenticated)
        if multipart:
            # No other view takes a file; what is not here says so itself.
            if (
                unsupported.explain(scope.method, request["PATH_INFO"].removeprefix("/api/"))
                is None
            ):
                raise bodies.Refused(415, "This address takes no multipart bodies: no files.")
            del request["CONTENT_TYPE"]
            content = b""
        return content

    async def _send_spooled(self, proto: Exchange, answer: bridge.Answer, file: IO[bytes]) -> None:
        gone = asyncio.ensure_future(proto.client_disconnect())
        with file:
            try:
                pieces = _chunks(file)
                await sending.send_stream(proto, answer.status, answer.headers, pieces, gone)
            finally:
                gone.cancel()


async def _never_authenticated() -> bool:
    return False


async def _stream(waiter: Waiter) -> AsyncIterator[bytes]:
    while piece := await waiter.read():
        yield piece


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(sending.CHUNK):
        yield piece


def _send(proto: Exchange, reply: Reply) -> None:
    if reply.body:
        proto.response_bytes(reply.status, reply.headers, reply.body)
    else:
        proto.response_empty(reply.status, reply.headers)


def _refusal(request: dict[str, str], error: bodies.Refused) -> Reply:
    """The refusal of a body, in the form that the address has for errors."""
    headers: Headers = [("Retry-After", str(error.again))] if error.again else []
    if not request["PATH_INFO"].startswith("/api/"):
        return problem(request, Problem(error.status, str(error), headers))
    error_body = ApiError(error.status, str(error)).body()
    body = json.dumps(error_body).encode()
    headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Reply(error.status, [*headers, ("Cache-Control", "no-store"), *safe()], body)
