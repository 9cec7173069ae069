"""Step 6 of a run: download what is kept and missing, several files at once.

One bad file is one failure with its cause; a full disk or a stop ends the
step. Threads fetch and make bytes durable, the run's own thread writes rows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain, islice

from django.conf import settings

from channels.errors import NoSpace
from ecosystems.upstream import UpstreamError
from publishing.download_plan import DownloadItem, DownloadPlan
from runs.context import RunContext
from runs.download_room import room_for
from runs.download_rows import DownloadRows
from runs.file_fetcher import FetchedFile, FileFetcher

POLL_SECONDS = 0.5
QUEUED_PER_THREAD = 4
"""So many files are handed to the pool ahead, that no thread waits for this one."""


class Download:
    """The files of a plan on their way."""

    def __init__(self, context: RunContext, *, family: str, pause: Callable[[], None]) -> None:
        """`pause` is called about once a second from the run's own thread."""
        self.failed = 0
        self.done = 0
        self._context = context
        self._pause = pause
        self._room = room_for(context.run)
        self._rows = DownloadRows(context.run, family=family)
        self._fetcher = FileFetcher(family=family, purpose=f"run{context.run.pk}")
        self._fallbacks: deque[DownloadItem] = deque()
        self._settled = time.monotonic()

    def run(self, plan: DownloadPlan) -> None:
        """Fetch everything in the plan; rows and failures are written as it goes."""
        self._room.expect(plan)
        items = iter(plan)
        pool = ThreadPoolExecutor(settings.DOWNLOAD_THREADS, thread_name_prefix="download")
        under_way: dict[Future[FetchedFile], DownloadItem] = {}
        try:
            while True:
                # Not the whole plan at once, whose futures would fill the memory.
                free = settings.DOWNLOAD_THREADS * QUEUED_PER_THREAD - len(under_way)
                for item in islice(chain(self._due_fallbacks(), items), free):
                    self._fetcher.open(item.file_source_id)
                    parts = self._room.parts(item)
                    under_way[pool.submit(self._fetcher.fetch, item, parts)] = item
                if not under_way:
                    break
                # With a limit: a stop must be seen while every thread waits for a slow upstream.
                finished, _ = wait(under_way, POLL_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    self._add_result(under_way.pop(future), future)
                self._report(plan)
        finally:
            self._fetcher.cancel()
            # Before the rows are written: what the threads finish meanwhile counts.
            pool.shutdown(wait=True, cancel_futures=True)
            for future, item in under_way.items():
                if future.done() and not future.cancelled() and not future.exception():
                    self._add_result(item, future)
            self._rows.write(self._fetcher.bytes)
            self._fetcher.close()
        self._room.close()

    def write_events(self) -> None:
        """Write the events of the files that have come since the last call."""
        self._rows.write_events(self._fetcher.bytes)

    def _due_fallbacks(self) -> Iterator[DownloadItem]:
        """The older forms of packages whose newer ones failed."""
        while self._fallbacks:
            yield self._fallbacks.popleft()

    def _add_result(self, item: DownloadItem, future: Future[FetchedFile]) -> None:
        try:
            fetched = future.result()
        except UpstreamError as error:
            self.failed += 1
            # The older form of the same package may be whole.
            if item.fallback is not None:
                self._room.add(item.fallback)
                self._fallbacks.append(item.fallback)
            self._rows.add_failure(item, error)
            return
        except OSError as error:
            # The disk, not the upstream: every further file would fail as well.
            raise NoSpace(f"{item.filename} could not be stored: {error.strerror}") from error
        self.done += 1
        self._rows.add_fetched(item, self._fetcher.open(item.file_source_id), fetched)
        if self._rows.full:
            self._rows.write(self._fetcher.bytes)

    def _report(self, plan: DownloadPlan) -> None:
        # Raises at a stop; `run` then writes what has come.
        self._context.check()
        self._context.bytes = self._fetcher.bytes
        self._context.progress(self.done + self.failed, plan.files)
        if time.monotonic() - self._settled > POLL_SECONDS:
            self._settled = time.monotonic()
            self._room.settle()
        if time.monotonic() - self._rows.written > POLL_SECONDS * 2:
            self._rows.write(self._fetcher.bytes)
            self._pause()
