"""Fetches planned files and makes their bytes durable, in any number of threads.

Nothing in here uses the database, but for `open`, which the run's own thread calls first.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field

from channels import blobs, companions, file_sources
from channels.disk_space import FileReservation
from channels.models import FileSource
from delivery.on_demand import blocking
from ecosystems.upstream import Client, Digest, UpstreamError, optional
from publishing.download_plan import CompanionItem, DownloadItem

CHUNK = 1 << 20


class Cancelled(Exception):
    """The run ends; what a thread has half fetched is dropped."""


@dataclass(slots=True)
class FetchedFile:
    """The digests of a file and its companions, and the companions that could not be had."""

    digests: list[Digest]
    unavailable: list[tuple[CompanionItem, str]] = field(default_factory=list)
    """With the reason."""


class FileFetcher:
    """Fetches files from their sources, one client for each."""

    def __init__(self, *, family: str, purpose: str) -> None:
        """`purpose`: what temporary files are named after."""
        self.bytes = 0
        """How many have come, those of failed attempts included."""
        self._family = family
        self._purpose = purpose
        self._clients: dict[int, tuple[FileSource, Client]] = {}
        self._cancelled = threading.Event()
        self._lock = threading.Lock()

    def open(self, file_source_id: int) -> FileSource:
        """Have a client ready before a thread needs it."""
        if file_source_id not in self._clients:
            source = FileSource.objects.get(pk=file_source_id)
            self._clients[file_source_id] = (source, file_sources.client_of(source))
        return self._clients[file_source_id][0]

    def cancel(self) -> None:
        """Let all threads end soon."""
        self._cancelled.set()

    def close(self) -> None:
        """Close the clients, once no thread works any more."""
        for _, client in self._clients.values():
            client.close()

    def fetch(self, item: DownloadItem, parts: list[FileReservation]) -> FetchedFile:
        """The file and its companions, which it can do without. `parts`: their room, in order."""
        with ExitStack() as stack:
            whole, *others = map(stack.enter_context, parts)
            result = FetchedFile([self._fetch(item, item, whole)])
            sha256 = result.digests[0].sha256
            for companion, part in zip(item.companions, others, strict=True):
                try:
                    result.digests.append(self._fetch_companion(item, companion, part, sha256))
                except UpstreamError as error:
                    # The file is of use without it, and `retry_companions` asks for it again.
                    result.unavailable.append((companion, str(error)))
            result.digests += companions.extract_own(
                sha256,
                item.filename,
                item.companions,
                family=self._family,
                purpose=self._purpose,
            )
            return result

    def _fetch_companion(
        self, item: DownloadItem, companion: CompanionItem, part: FileReservation, main_sha256: str
    ) -> Digest:
        # Out of the file that has just come, which costs the upstream no request.
        extracted = companions.extract(
            main_sha256,
            companion.filename,
            companion.sha256,
            family=self._family,
            purpose=self._purpose,
        )
        return extracted or self._fetch(item, companion, part, patience=optional.PATIENCE)

    def _fetch(
        self,
        item: DownloadItem,
        file: DownloadItem | CompanionItem,
        part: FileReservation,
        *,
        patience: float | None = None,
    ) -> Digest:
        source, client = self._clients[item.file_source_id]
        if source.is_local:
            return blocking.fetch_from_channel(
                source, item.section, file.filename, name=item.name, stop=self._stop
            )
        digest = self._proven(item, file)
        if digest is not None:
            return digest
        return self._download(source, client, item, file, part, patience=patience)

    def _download(
        self,
        source: FileSource,
        client: Client,
        item: DownloadItem,
        file: DownloadItem | CompanionItem,
        part: FileReservation,
        *,
        patience: float | None,
    ) -> Digest:
        temp = blobs.temporary_path(self._purpose)
        counted = 0

        def progress(done: int, total: int) -> None:
            nonlocal counted
            with self._lock:
                # Several threads add to it, and += is not atomic.
                self.bytes += done - counted
            counted = done
            part.progress(done, total)

        try:
            digest = file_sources.download(
                client,
                source,
                temp,
                section=item.section,
                file=file,
                stop=self._stop,
                progress=progress,
                patience=patience,
            )
            blobs.commit(temp, digest.sha256, digest.size)
            return digest
        finally:
            temp.unlink(missing_ok=True)

    def _proven(self, item: DownloadItem, file: DownloadItem | CompanionItem) -> Digest | None:
        """A file that is durable, left by a killed run or downloaded for another channel.

        Only if the upstream proves that it has these bytes: a hash in an index proves nothing.
        """
        digest = _stored(file)
        if digest is None:
            return None
        source, client = self._clients[item.file_source_id]
        path = blobs.path(digest.sha256)
        proven = file_sources.has_same_bytes(
            client, source, path, section=item.section, file=file, stop=self._stop
        )
        return digest if proven else None

    def _stop(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


def _stored(file: DownloadItem | CompanionItem) -> Digest | None:
    """The file if its bytes lie here, whoever brought them; also without a row, after a crash."""
    # The touch keeps garbage collection from the bytes until the run has a row for them.
    if not file.sha256 or not blobs.touch(file.sha256, file.size):
        return None
    path = blobs.path(file.sha256)
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stored:
        while chunk := stored.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
    if sha256.hexdigest() != file.sha256:
        # Damaged on the disk: it is downloaded again.
        path.unlink()
        return None
    return Digest(sha256=file.sha256, md5=md5.hexdigest(), size=path.stat().st_size)
