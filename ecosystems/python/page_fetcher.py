"""Fetches and reads one project's page, with the licenses of its releases where they are asked for.

Rule: several threads share one fetcher; it says what is odd about all pages together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from urllib.parse import urljoin

from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext
from ecosystems.python import requests
from ecosystems.python.body import split
from ecosystems.python.license_reader import LicenseReader
from ecosystems.python.previous import PreviousPack
from ecosystems.python.records import misstated_metadata
from ecosystems.python.selection import Selection
from ecosystems.python.simple import project
from ecosystems.sentences import first_names
from ecosystems.upstream import EgressRefused, NotFound, NotModified

SHOWN = 20
"""Sentences of one kind in the warnings of an index; the others are a number."""


class Cancelled(Exception):
    """The fetching ends; what a thread has half done is dropped."""


@dataclass(frozen=True, slots=True)
class PageRequest:
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


class PageFetcher:
    """Fetches pages of the index at `root`; shared by threads."""

    def __init__(
        self,
        root: str,
        context: FetchContext,
        selection: Selection,
        *,
        previous: PreviousPack,
        serials_trusted: bool = False,
    ) -> None:
        """`serials_trusted`: those of the list of projects tell which pages are what they were."""
        self._root, self._previous = root, previous
        self._client, self._folder = context.client, context.folder
        self._licenses, self._serials_trusted = selection.licenses, serials_trusted
        self._checked_hosts: set[str] = set()
        self._refused_hosts: set[str] = set()
        """Hosts that have files and that the policy does not name."""
        self._misstated: set[str] = set()
        """Files whose stated metadata hash is that of a file."""
        self._cancelled = threading.Event()
        self._numbers = count()
        reading = replace(context, stop=self._raise_if_cancelled)
        self._reader = LicenseReader(root, reading, find_file=selection.find_file)

    def cancel(self) -> None:
        """End all fetching: threads that are at it raise `Cancelled`."""
        self._cancelled.set()

    def fetch(self, request: PageRequest) -> FetchedPage | None:
        """One page, read; None where the upstream has none."""
        url = urljoin(self._root, f"{request.name}/")
        # Threads share the folder; `next` of a counter is atomic.
        path = self._folder / f"page-{next(self._numbers)}"
        try:
            answer = requests.page(
                self._client,
                url,
                path,
                etag=request.etag,
                last_modified=request.last_modified,
                stop=self._raise_if_cancelled,
            )
            if isinstance(answer, NotModified):
                return self._unchanged(request)
            page = project(
                path.read_bytes(), name=request.name, requested_url=url, url=answer.final_url
            )
        except NotFound:
            return None
        finally:
            path.unlink(missing_ok=True)
        # Before a client waits for a file that cannot be fetched, administrators are told.
        self._check_hosts(page.hosts)
        self._misstated.update(misstated_metadata(page.body))
        self._refuse_stale(request, page.serial)
        body = self._reader.licensed(page.body, request.body) if self._licenses else page.body
        serial = request.serial if page.serial is None else page.serial
        return FetchedPage(body, page.count, answer.etag, answer.last_modified, serial)

    def _unchanged(self, request: PageRequest) -> FetchedPage:
        """The page as it was, with licenses that can be read by now."""
        body = self._reader.licensed(request.body, request.body) if request.body else b""
        number = len(split(body).files) if body else 0
        body = b"" if body == request.body else body
        serial = self._previous.meta.serials.get(request.name)
        return FetchedPage(body, number, request.etag, request.last_modified, serial)

    def _refuse_stale(self, request: PageRequest, serial: int | None) -> None:
        """Raise for a page that a cache has kept from before the change that the list tells of."""
        if not self._serials_trusted or request.serial is None:
            return
        # 0 and no serial say nothing of the page's age.
        if serial and serial < request.serial:
            raise BadIndex(f"The page of {request.name} is older than the list of projects says.")

    def _check_hosts(self, hosts: Iterable[str]) -> None:
        """Note the servers of files from which nothing may be fetched."""
        for host in hosts:
            if host not in self._checked_hosts:
                self._checked_hosts.add(host)
                try:
                    self._client.check(f"{host}/")
                except EgressRefused:
                    self._refused_hosts.add(host)

    def _raise_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def license_retries(self) -> list[str]:
        """Projects whose licenses could not all be read, to be asked for again in the next run."""
        return sorted({name for name, _ in self._reader.broken})

    def warnings(self) -> list[str]:
        """What is odd about the pages so far."""
        refused = (
            f"Files lie on {host}, from which this server may not fetch (UPSTREAM_ALLOW)."
            for host in sorted(self._refused_hosts)
        )
        warnings = first_sentences(refused, "further hosts have files")
        if names := sorted(self._misstated):
            warnings.append(
                f"The metadata of {first_names(names)} is not offered: the index states a file's "
                "own hash as that of its metadata."
            )
        if names := sorted(file for _, file in self._reader.broken):
            warnings.append(
                f"{first_names(names)} cannot be had now: what the upstream sends has another hash"
                " than the index states. Licenses are read from wheels that are here."
            )
        return warnings


def first_sentences(texts: Iterable[str], more: str) -> list[str]:
    """The first sentences of a kind, and one with the number of the others."""
    sentences = list(texts)
    left = len(sentences) - SHOWN
    return sentences[:SHOWN] + ([f"{left:,} {more}."] if left > 0 else [])
