"""Fetches the pages of projects, several at once, into a pack.

Rule: a page that cannot be had now stays as it was and is asked for again next time; one that
the upstream no longer has goes. Threads only fetch and read; the pack is written by the caller's.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from ecosystems.errors import BadIndex
from ecosystems.freshness import newest_unchanged
from ecosystems.indexes import FetchContext, FindFile, no_files
from ecosystems.pack import PackWriter
from ecosystems.progress import Progress
from ecosystems.python import requests
from ecosystems.python.body import split
from ecosystems.python.license_reader import LicenseReader
from ecosystems.python.previous import PreviousPack
from ecosystems.python.records import borrowed, newest, records
from ecosystems.python.simple import project
from ecosystems.records import Invalid, Record
from ecosystems.sentences import first_names
from ecosystems.upstream import (
    EgressRefused,
    NotFound,
    NotModified,
    UpstreamError,
)

THREADS = 8
WAIT_SECONDS = 0.25
"""After which `stop` is called, though no page has come."""
SHOWN_FAILURES = 20
STOP_EVERY = 1000


class Cancelled(Exception):
    """The fetching ends; what a thread has half done is dropped."""


@dataclass(frozen=True, slots=True)
class Task:
    """A page to be asked for, and what was read of it last."""

    name: str
    serial: int | None = None
    """What the list of projects says; an older page is a stale one."""
    etag: str = ""
    last_modified: str = ""
    body: bytes = b""
    """The page as it was, where it is needed to complete it."""


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page that came. `body` is empty where it is what it was."""

    body: bytes = b""
    count: int = 0
    etag: str = ""
    last_modified: str = ""
    serial: int | None = None


class Collector:
    """Fills one pack. `failed` has the pages that could not be had, with the reason."""

    def __init__(
        self,
        root: str,
        context: FetchContext,
        *,
        previous: PreviousPack,
        licenses: bool,
        serials: bool = False,
        find_file: FindFile = no_files,
    ) -> None:
        """`serials`: those of the list of projects can be trusted."""
        self.failed: dict[str, str] = {}
        self.absent: list[str] = []
        self.closed: set[str] = set()
        """Hosts that have files and that the policy does not name."""
        self.borrowed: set[str] = set()
        """Files whose stated metadata hash is that of a file."""
        self.pages = 0
        self._trusted = serials
        self._checked: set[str] = set()
        self._error: UpstreamError | BadIndex | None = None
        self._client, self._root = context.client, root
        self._folder, self._stop = context.folder, context.stop
        self._previous, self._licenses = previous, licenses
        self._etags: dict[str, list[str]] = {}
        self._serials: dict[str, int] = {}
        self._newest = 0
        self._cancel = threading.Event()
        self._numbers = count()
        reading = replace(context, stop=self._raise_if_cancelled)
        self._reader = LicenseReader(root, reading, find_file=find_file)

    def collect(
        self,
        projects: Mapping[str, int | None],
        path: Path,
        *,
        progress: Progress,
        meta: Mapping[str, Any],
    ) -> str:
        """Write the pack of these projects; a hash of what is in it.

        Raises the first error where nothing at all could be had.
        """
        with PackWriter(path, old=self._previous.pack, records=_records) as writer:
            changed = self._copy_current(writer, projects)
            self._fetch_all(writer, changed, projects, progress=progress)
            if self._error is not None and len(self.failed) == len(projects):
                raise self._error
            unchanged = newest_unchanged(
                self._previous.pack, writer, self._newest, read=newest, stop=self._stop
            )
            self._newest = max(self._newest, unchanged)
            again = sorted({name for name, _ in self._reader.broken})
            state = self._state(writer, again)
            writer.close({**self._pack_meta(again), **meta})
        return state

    def _copy_current(self, writer: PackWriter, projects: Mapping[str, int | None]) -> list[str]:
        """Take over the pages that are what they were; the names of all others."""
        changed = []
        for number, name in enumerate(sorted(projects)):
            if number % STOP_EVERY == 0:
                self._stop()
            if self._is_current(name, projects[name]):
                self._copy(writer, name)
            else:
                changed.append(name)
        return changed

    def _state(self, writer: PackWriter, again: list[str]) -> str:
        """A hash of the pages, and of those that have to be asked for again."""
        state = hashlib.sha256()
        for name, entry in sorted(writer.names().items()):
            state.update(f"{name}\0".encode() + entry.digest)
        state.update("\0".join([self._root, *sorted(self.failed), "", *again]).encode())
        return state.hexdigest()

    def _pack_meta(self, again: list[str]) -> dict[str, Any]:
        """What `PreviousPack` reads the next time."""
        return {
            "root": self._root,
            "etags": self._etags,
            "serials": self._serials,
            "failed": sorted(self.failed),
            "again": again,
            "licensed": self._licenses,
            "newest": self._newest,
            "warnings": self.warnings(),
        }

    def _is_current(self, name: str, serial: int | None) -> bool:
        previous = self._previous
        if not self._trusted or serial is None or not previous.has(name):
            return False
        if name in previous.failed or name in previous.again:
            return False
        return previous.serials.get(name) == serial and previous.licensed >= self._licenses

    def _copy(self, writer: PackWriter, name: str) -> None:
        """Take the page over as it was."""
        previous = self._previous
        assert previous.pack is not None
        writer.copy(name, previous.pack)
        self.pages += 1
        if name in previous.serials:
            self._serials[name] = previous.serials[name]
        if name in previous.etags and not self._trusted:
            self._etags[name] = previous.etags[name]

    def _fetch_all(
        self,
        writer: PackWriter,
        names: list[str],
        projects: Mapping[str, int | None],
        *,
        progress: Progress,
    ) -> None:
        tasks = iter(names)
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="page")
        pending: dict[Future[FetchedPage | None], str] = {}
        done = 0
        try:
            while True:
                # Not all at once: each waiting task may hold the page as it was.
                for name in islice(tasks, THREADS * 4 - len(pending)):
                    task = self._task(name, projects[name])
                    pending[pool.submit(self.fetch_page, task)] = name
                if not pending:
                    break
                finished, _ = wait(pending, WAIT_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    self._store(writer, pending.pop(future), future)
                done += len(finished)
                progress(done, len(names))
                self._stop()
        finally:
            self._cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _task(self, name: str, serial: int | None) -> Task:
        previous = self._previous
        # Where the list says that a page has changed, a cache's "not modified" is a stale one.
        conditional = previous.has(name) and not (self._trusted and serial is not None)
        etag, last_modified = previous.etags.get(name, ("", "")) if conditional else ("", "")
        body = previous.read(name) if self._licenses else b""
        return Task(name, serial, etag, last_modified, body)

    def _store(self, writer: PackWriter, name: str, future: Future[FetchedPage | None]) -> None:
        try:
            page = future.result()
        except (UpstreamError, BadIndex) as error:
            self._error = self._error or error
            self.failed[name] = str(error)
            if self._previous.has(name):
                self._copy(writer, name)
            return
        if page is None:
            self.absent.append(name)
            return
        if not page.body:
            self._copy(writer, name)
            return
        writer.add(name, page.body, page.count)
        self.pages += 1
        self._newest = max(self._newest, newest(page.body))
        if page.serial is not None:
            self._serials[name] = page.serial
        # A large index has hundreds of thousands: they are kept where they are needed.
        if (page.etag or page.last_modified) and not (self._trusted and page.serial is not None):
            self._etags[name] = [page.etag, page.last_modified]

    def fetch_page(self, task: Task) -> FetchedPage | None:
        """One page, read; None where the upstream has none."""
        url = urljoin(self._root, f"{task.name}/")
        path = self._folder / f"page-{next(self._numbers)}"
        try:
            answer = requests.page(
                self._client,
                url,
                path,
                etag=task.etag,
                last_modified=task.last_modified,
                stop=self._raise_if_cancelled,
            )
            if isinstance(answer, NotModified):
                return self._unchanged_page(task)
            page = project(
                path.read_bytes(), name=task.name, requested_url=url, url=answer.final_url
            )
        except NotFound:
            return None
        finally:
            path.unlink(missing_ok=True)
        # Before a client waits for a file that cannot be fetched, administrators are told.
        self._check_hosts(page.hosts)
        self.borrowed.update(borrowed(page.body))
        if self._trusted and task.serial is not None and -1 < (page.serial or -1) < task.serial:
            raise BadIndex(f"The page of {task.name} is older than the list of projects says.")
        body = self._reader.licensed(page.body, task.body) if self._licenses else page.body
        serial = task.serial if page.serial is None else page.serial
        return FetchedPage(body, page.count, answer.etag, answer.last_modified, serial)

    def _unchanged_page(self, task: Task) -> FetchedPage:
        """The page as it was, with licenses that can be read by now."""
        body = self._reader.licensed(task.body, task.body) if task.body else b""
        number = len(split(body).files) if body else 0
        body = b"" if body == task.body else body
        serial = self._previous.serials.get(task.name)
        return FetchedPage(body, number, task.etag, task.last_modified, serial)

    def _check_hosts(self, hosts: Iterable[str]) -> None:
        """Note the servers of files from which nothing may be fetched."""
        for host in hosts:
            if host not in self._checked:
                self._checked.add(host)
                try:
                    self._client.check(f"{host}/")
                except EgressRefused:
                    self.closed.add(host)

    def _raise_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled

    def warnings(self) -> list[str]:
        """What is odd about the pages so far, and which of them are missing."""
        return [
            *_first_few(
                (
                    f"Files lie on {host}, from which this server may not fetch (UPSTREAM_ALLOW)."
                    for host in sorted(self.closed)
                ),
                "further hosts have files",
            ),
            *self._without_metadata(),
            *self._broken(),
            *_first_few(
                (
                    f"The page of {name} cannot be had now: {why}"
                    for name, why in self.failed.items()
                ),
                "further pages could not be had",
            ),
            *_first_few(
                (f"There is no project {name}." for name in self.absent), "are missing too"
            ),
        ]

    def _without_metadata(self) -> list[str]:
        names = sorted(self.borrowed)
        if not names:
            return []
        return [
            f"The metadata of {first_names(names)} is not offered: the index states a file's own "
            "hash as that of its metadata."
        ]

    def _broken(self) -> list[str]:
        names = sorted(file for _, file in self._reader.broken)
        if not names:
            return []
        return [
            f"{first_names(names)} cannot be had now: what the upstream sends has another hash than"
            " the index states. Licenses are read from wheels that are here."
        ]


def _records(name: str, body: bytes) -> list[Record | Invalid]:
    return records(body, name=name)


def _first_few(texts: Iterable[str], more: str) -> list[str]:
    sentences = list(texts)
    left = len(sentences) - SHOWN_FAILURES
    return sentences[:SHOWN_FAILURES] + ([f"{left:,} {more}."] if left > 0 else [])
