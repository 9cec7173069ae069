"""Fetches the pages of projects, several at once, into a pack.

Rule: a page that cannot be had now stays as it was and is asked for again next time; one that
the upstream no longer has goes. Threads only fetch and read; the pack is written by the caller's.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

from ecosystems.errors import BadIndex
from ecosystems.freshness import newest_unchanged
from ecosystems.indexes import FetchContext
from ecosystems.pack import PackWriter
from ecosystems.python.listing import Listing
from ecosystems.python.page_fetcher import (
    FetchedPage,
    PageFetcher,
    PageRequest,
    first_sentences,
)
from ecosystems.python.previous import PagesMeta, PreviousPack
from ecosystems.python.records import newest, records
from ecosystems.python.selection import Selection
from ecosystems.records import Invalid, Record
from ecosystems.upstream import UpstreamError

THREADS = 8
WAIT_SECONDS = 0.25
"""After which `stop` is called, though no page has come."""
STOP_EVERY = 1000
"""Pages that are copied between two calls of `stop`."""


class Collector:
    """Fills one pack. `failed` has the pages that could not be had, with the reason."""

    def __init__(
        self,
        root: str,
        context: FetchContext,
        selection: Selection,
        *,
        listing: Listing,
        previous: PreviousPack,
    ) -> None:
        self.failed: dict[str, str] = {}
        self.pages = 0
        self._absent: list[str] = []
        self._error: UpstreamError | BadIndex | None = None
        self._root, self._licenses = root, selection.licenses
        self._stop, self._progress = context.stop, context.progress
        self._listing, self._previous = listing, previous
        self._etags: dict[str, tuple[str, str]] = {}
        self._serials: dict[str, int] = {}
        self._newest = 0
        self._fetcher = PageFetcher(
            root, context, selection, previous=previous, serials_trusted=listing.trusted
        )

    def collect(self, path: Path) -> str:
        """Write the pack of the listed projects; a hash of what is in it.

        Raises the first error where nothing at all could be had.
        """
        with PackWriter(path, old=self._previous.pack, records=_records) as writer:
            changed = self._copy_current(writer)
            self._fetch_all(writer, changed)
            if self._error is not None and len(self.failed) == len(self._listing.names):
                raise self._error
            unchanged = newest_unchanged(
                self._previous.pack, writer, self._newest, read=newest, stop=self._stop
            )
            self._newest = max(self._newest, unchanged)
            meta = self._pack_meta()
            state = self._state(writer, meta)
            writer.close(meta.dump())
        return state

    def _copy_current(self, writer: PackWriter) -> list[str]:
        """Take over the pages that are what they were; the names of all others."""
        changed = []
        for number, name in enumerate(sorted(self._listing.names)):
            if number % STOP_EVERY == 0:
                self._stop()
            if self._is_current(name):
                self._copy(writer, name)
            else:
                changed.append(name)
        return changed

    def _state(self, writer: PackWriter, meta: PagesMeta) -> str:
        """A hash of the pages, and of those that have to be asked for again."""
        state = hashlib.sha256()
        for name, entry in sorted(writer.names().items()):
            state.update(f"{name}\0".encode() + entry.digest)
        state.update("\0".join([self._root, *meta.failed, "", *meta.license_retries]).encode())
        return state.hexdigest()

    def _pack_meta(self) -> PagesMeta:
        """What `PreviousPack` reads the next time."""
        return PagesMeta(
            root=self._root,
            etags=self._etags,
            serials=self._serials,
            failed=sorted(self.failed),
            license_retries=self._fetcher.license_retries(),
            licensed=self._licenses,
            newest=self._newest,
            page_warnings=self._warnings(),
            list_warnings=self._listing.warnings,
            list_serials=self._listing.serials,
        )

    def _is_current(self, name: str) -> bool:
        """Whether the list's serial says that the page is what it was."""
        last, serial = self._previous.meta, self._listing.names[name]
        if not self._listing.trusted or serial is None or not self._previous.has(name):
            return False
        if name in last.failed or name in last.license_retries:
            return False
        return last.serials.get(name) == serial and last.licensed >= self._licenses

    def _copy(self, writer: PackWriter, name: str) -> None:
        """Take the page over as it was."""
        pack, last = self._previous.pack, self._previous.meta
        assert pack is not None
        writer.copy(name, pack)
        self.pages += 1
        if name in last.serials:
            self._serials[name] = last.serials[name]
        if name in last.etags and not self._listing.trusted:
            self._etags[name] = last.etags[name]

    def _fetch_all(self, writer: PackWriter, names: list[str]) -> None:
        unrequested = iter(names)
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="page")
        pending: dict[Future[FetchedPage | None], str] = {}
        done = 0
        try:
            while True:
                # Not all at once: each waiting request may hold the page as it was.
                for name in islice(unrequested, THREADS * 4 - len(pending)):
                    request = self._request(name)
                    pending[pool.submit(self._fetcher.fetch, request)] = name
                if not pending:
                    break
                finished, _ = wait(pending, WAIT_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    self._store(writer, pending.pop(future), future)
                done += len(finished)
                self._progress(done, len(names))
                self._stop()
        finally:
            # Whatever ended the loop: threads must not write into a folder that is removed.
            self._fetcher.cancel()
            pool.shutdown(wait=True, cancel_futures=True)

    def _request(self, name: str) -> PageRequest:
        previous, serial = self._previous, self._listing.names[name]
        # Where the list says that a page has changed, a cache's "not modified" is a stale one.
        conditional = previous.has(name) and not (self._listing.trusted and serial is not None)
        etag, last_modified = previous.meta.etags.get(name, ("", "")) if conditional else ("", "")
        body = previous.read(name) if self._licenses else b""
        return PageRequest(name, serial, etag, last_modified, body)

    def _store(self, writer: PackWriter, name: str, future: Future[FetchedPage | None]) -> None:
        """Write what came of one request: a page, the page as it was, or nothing."""
        try:
            page = future.result()
        except (UpstreamError, BadIndex) as error:
            self._error = self._error or error
            self.failed[name] = str(error)
            if self._previous.has(name):
                self._copy(writer, name)
            return
        if page is None:
            self._absent.append(name)
        elif page.body:
            self._add(writer, name, page)
        else:
            self._copy(writer, name)

    def _add(self, writer: PackWriter, name: str, page: FetchedPage) -> None:
        writer.add(name, page.body, page.count)
        self.pages += 1
        self._newest = max(self._newest, newest(page.body))
        if page.serial is not None:
            self._serials[name] = page.serial
        # A large index has hundreds of thousands: they are kept where they are needed.
        by_serial = self._listing.trusted and page.serial is not None
        if (page.etag or page.last_modified) and not by_serial:
            self._etags[name] = page.etag, page.last_modified

    def _warnings(self) -> list[str]:
        """What is odd about the pages, and which of them are missing."""
        failed = (
            f"The page of {name} cannot be had now: {why}" for name, why in self.failed.items()
        )
        absent = (f"There is no project {name}." for name in self._absent)
        return [
            *self._fetcher.warnings(),
            *first_sentences(failed, "further pages could not be had"),
            *first_sentences(absent, "are missing too"),
        ]


def _records(name: str, body: bytes) -> list[Record | Invalid]:
    return records(body, name=name)
