"""Threads for work that ends by itself: the database, pages, the API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from django.db import close_old_connections

from accounts import locks

P = ParamSpec("P")
T = TypeVar("T")


class RunJob(Protocol):
    """Runs a function on a thread that may use the database, as `Pool.run`."""

    async def __call__(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


class Busy(Exception):
    """More work waits than this pool takes."""


class Share:
    """A part of a pool's threads for one kind of work, so that it never holds them all."""

    def __init__(self, pool: Pool, *, threads: int, queue: int) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(threads)
        self._most = threads + queue
        self._jobs = 0

    @property
    def used(self) -> bool:
        """Whether any job runs or waits."""
        return self._jobs > 0

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Pool.run`."""
        if self._jobs >= self._most:
            raise Busy
        self._jobs += 1
        try:
            async with self._free:
                return await self._pool.run(job, *args, **kwargs)
        finally:
            self._jobs -= 1


class ClientShares:
    """The same share of a pool for each client, so that none ever holds all of its threads."""

    def __init__(self, pool: Pool, *, threads: int, queue: int) -> None:
        self._pool, self._threads, self._queue = pool, threads, queue
        self._shares: dict[str, Share] = {}

    async def run(self, who: str, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Pool.run`, on behalf of the client `who`."""
        if (share := self._shares.get(who)) is None:
            share = Share(self._pool, threads=self._threads, queue=self._queue)
            self._shares[who] = share
        try:
            return await share.run(job, *args, **kwargs)
        finally:
            if not share.used:
                self._shares.pop(who, None)


class Pool:
    """At most `threads` jobs at once and `queue` more that wait."""

    def __init__(self, name: str, *, threads: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + queue
        self._jobs = 0

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `job` returns or raises; `Busy` where there is too much to do already.

        A client that leaves does not undo a job that has begun.
        """
        if self._jobs >= self._most:
            raise Busy
        self._jobs += 1
        future = self._threads.submit(_healthy, partial(job, *args, **kwargs))
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._jobs -= 1


def _healthy(job: Callable[[], T]) -> T:
    """The job on a thread whose database connection is neither broken nor too old."""
    close_old_connections()
    try:
        with locks.fail_fast():
            return job()
    finally:
        close_old_connections()
