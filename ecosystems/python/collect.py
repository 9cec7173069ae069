"""Fetches the pages of projects, several at once, into a pack.

Rule: a page that cannot be had now stays as it was and is asked for again next time; one that
the upstream no longer has goes. Threads only fetch and read; the pack is written by the caller's.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from ecosystems.age import newest_unchanged
from ecosystems.base import (
    BadIndex,
    Held,
    Invalid,
    Progress,
    Record,
    Stop,
    first_names,
    nothing_held,
)
from ecosystems.pack import PackWriter
from ecosystems.python import ask
from ecosystems.python.body import split
from ecosystems.python.known import Known
from ecosystems.python.reading import LicenseReader
from ecosystems.python.records import borrowed, newest, records
from ecosystems.python.simple import project
from ecosystems.upstream import (
    Client,
    EgressRefused,
    NotFound,
    NotModified,
    UpstreamError,
)

THREADS = 8
LOOK_SECONDS = 0.25
FAILURES_TOLD = 20


class Cancelled(Exception):
    """The fetching ends; what a thread has half done is dropped."""


@dataclass(frozen=True, slots=True)
class Task:
    """A page to be asked for, and what is known of it."""

    name: str
    serial: int | None = None
    """What the list of projects says; an older page is a stale one."""
    etag: str = ""
    last_modified: str = ""
    body: bytes = b""
    """The page as it was, where it is needed to complete it."""


@dataclass(frozen=True, slots=True)
class Got:
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
        client: Client,
        root: str,
        *,
        known: Known,
        licenses: bool,
        work: Path,
        serials: bool = False,
        held: Held = nothing_held,
    ) -> None:
        """`serials`: those of the list of projects can be trusted."""
        self.failed: dict[str, str] = {}
        self.absent: list[str] = []
        self.closed: set[str] = set()
        """Hosts that have files and that the policy does not name."""
        self.borrowed: set[str] = set()
        """Files whose stated metadata hash is that of a file."""
        self.found = 0
        self._trusted = serials
        self._looked: set[str] = set()
        self._error: UpstreamError | BadIndex | None = None
        self._client, self._root = client, root
        self._known, self._licenses, self._work = known, licenses, work
        self._etags: dict[str, list[str]] = {}
        self._serials: dict[str, int] = {}
        self._newest = 0
        self._state = hashlib.sha256()
        self._cancel = threading.Event()
        self._numbers = count()
        self._reader = LicenseReader(client, root, work=work, held=held, stop=self._check)

    def collect(
        self,
        wanted: Mapping[str, int | None],
        path: Path,
        *,
        stop: Stop,
        progress: Progress,
        meta: Mapping[str, Any],
    ) -> str:
        """Write the pack of these projects; a hash of what is in it.

        Raises the first error where nothing at all could be had.
        """
        with PackWriter(path, old=self._known.pack, records=_records) as writer:
            names = sorted(wanted)
            current = {name for name in names if self._is_current(name, wanted[name])}
            for number, name in enumerate(names):
                if name in current:
                    self._keep(writer, name)
                    if number % 1000 == 0:
                        stop()
            changed = [name for name in names if name not in current]
            self._fetch_all(writer, changed, wanted, stop=stop, progress=progress)
            if self._error is not None and not current and len(self.failed) == len(changed):
                raise self._error
            before = self._known.pack
            kept = newest_unchanged(before, writer, self._newest, read=newest, stop=stop)
            self._newest = max(self._newest, kept)
            for name, entry in sorted(writer.names().items()):
                self._state.update(f"{name}\0".encode() + entry.digest)
            again = sorted({name for name, _ in self._reader.broken})
            told = "\0".join([self._root, *sorted(self.failed), "", *again])
            self._state.update(told.encode())
            writer.close(
                {
                    "root": self._root,
                    "etags": self._etags,
                    "serials": self._serials,
                    "failed": sorted(self.failed),
                    "again": again,
                    "licensed": self._licenses,
                    "newest": self._newest,
                    "warnings": self.warnings(),
                    **meta,
                }
            )
        return self._state.hexdigest()

    def _is_current(self, name: str, serial: int | None) -> bool:
        known = self._known
        if not self._trusted or serial is None or not known.has(name) or name in known.failed:
            return False
        if name in known.again:
            return False
        return known.serials.get(name) == serial and known.licensed >= self._licenses

    def _keep(self, writer: PackWriter, name: str) -> None:
        known = self._known
        assert known.pack is not None
        writer.copy(name, known.pack)
        self.found += 1
        if name in known.serials:
            self._serials[name] = known.serials[name]
        if name in known.etags and not self._trusted:
            self._etags[name] = known.etags[name]

    def _fetch_all(
        self,
        writer: PackWriter,
        names: list[str],
        wanted: Mapping[str, int | None],
        *,
        stop: Stop,
        progress: Progress,
    ) -> None:
        tasks = iter([*names])
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="page")
        under_way: dict[Future[Got | None], str] = {}
        done = 0
        try:
            while True:
                for name in islice(tasks, THREADS * 4 - len(under_way)):
                    under_way[pool.submit(self.bring, self._task(name, wanted[name]))] = name
                if not under_way:
                    break
                finished, _ = wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    self._take(writer, under_way.pop(future), future)
                done += len(finished)
                progress(done, len(names))
                stop()
        finally:
            self._cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _task(self, name: str, serial: int | None) -> Task:
        known = self._known
        # Where the list says that a page has changed, a cache's "not modified" is a stale one.
        asked = known.has(name) and not (self._trusted and serial is not None)
        etag, last_modified = known.etags.get(name, ("", "")) if asked else ("", "")
        body = known.pack.read(name) if self._licenses and known.pack and known.has(name) else b""
        return Task(name, serial, etag, last_modified, body)

    def _take(self, writer: PackWriter, name: str, future: Future[Got | None]) -> None:
        try:
            got = future.result()
        except (UpstreamError, BadIndex) as error:
            self._error = self._error or error
            self.failed[name] = str(error)
            if self._known.has(name):
                self._keep(writer, name)
            return
        if got is None:
            self.absent.append(name)
            return
        if not got.body:
            self._keep(writer, name)
            return
        writer.add(name, got.body, got.count)
        self.found += 1
        self._newest = max(self._newest, newest(got.body))
        if got.serial is not None:
            self._serials[name] = got.serial
        # A large index has hundreds of thousands: they are kept where they are needed.
        if (got.etag or got.last_modified) and not (self._trusted and got.serial is not None):
            self._etags[name] = [got.etag, got.last_modified]

    def bring(self, task: Task) -> Got | None:
        """One page, read; None where the upstream has none."""
        url = urljoin(self._root, f"{task.name}/")
        path = self._work / f"page-{next(self._numbers)}"
        try:
            answer = ask.page(
                self._client,
                url,
                path,
                etag=task.etag,
                last_modified=task.last_modified,
                stop=self._check,
            )
            if isinstance(answer, NotModified):
                body = self._reader.licensed(task.body, task.body) if task.body else b""
                number = len(split(body).files) if body else 0
                body = b"" if body == task.body else body
                serial = self._known.serials.get(task.name)
                return Got(body, number, task.etag, task.last_modified, serial)
            page = project(path.read_bytes(), name=task.name, asked=url, found=answer.final_url)
        except NotFound:
            return None
        finally:
            path.unlink(missing_ok=True)
        self._look_at(page.places)
        self.borrowed.update(borrowed(page.body))
        if self._trusted and task.serial is not None and -1 < (page.serial or -1) < task.serial:
            raise BadIndex(f"The page of {task.name} is older than the list of projects says.")
        body = self._reader.licensed(page.body, task.body) if self._licenses else page.body
        serial = task.serial if page.serial is None else page.serial
        return Got(body, page.count, answer.etag, answer.last_modified, serial)

    def _look_at(self, places: Iterable[str]) -> None:
        """Note the servers of files from which nothing may be fetched."""
        for place in places:
            if place not in self._looked:
                self._looked.add(place)
                try:
                    self._client.check(f"{place}/")
                except EgressRefused:
                    self.closed.add(place)

    def _check(self) -> None:
        if self._cancel.is_set():
            raise Cancelled

    def warnings(self) -> list[str]:
        """What is odd about the pages so far, and which of them are missing."""
        return [
            *_some(
                (
                    f"Files lie on {where}, from which this server may not fetch (UPSTREAM_ALLOW)."
                    for where in sorted(self.closed)
                ),
                "further hosts have files",
            ),
            *self._without_metadata(),
            *self._broken(),
            *_some(
                (
                    f"The page of {name} cannot be had now: {why}"
                    for name, why in self.failed.items()
                ),
                "further pages could not be had",
            ),
            *_some((f"There is no project {name}." for name in self.absent), "are missing too"),
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


def _some(texts: Iterable[str], more: str) -> list[str]:
    every = list(texts)
    rest = len(every) - FAILURES_TOLD
    return every[:FAILURES_TOLD] + ([f"{rest:,} {more}."] if rest > 0 else [])
