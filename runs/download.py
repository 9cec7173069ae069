"""Step 6 of a run: bring what is wanted and not here, several files at once.

One bad file is one failure with its cause; a full disk or a stop ends the
step. Threads fetch and make bytes durable, the run's own thread writes rows.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice

from django.conf import settings
from django.db import transaction

from channels import access, blobs, disk_space, file_sources, pins, side_files
from channels.disk_space import Part, Room
from channels.errors import NoSpace
from channels.file_sources import client
from channels.models import Blob, FileSource, UnavailableFile
from channels.texts import storable
from delivery import on_demand
from ecosystems import registry
from ecosystems.upstream import Client, Digest, DigestMismatch, UpstreamError, optional
from history.models import Event, EventType, record
from mirrors.models import Failure
from publishing.download_plan import CompanionItem, DownloadItem, DownloadPlan
from runs.context import Work

ROWS_AT_ONCE = 200
LOOK_SECONDS = 0.5
FILES_TOLD = 100


class Cancelled(Exception):
    """The run ends; what a thread has half fetched is dropped."""


@dataclass(slots=True)
class Got:
    """A file with those beside it, and which of these could not be had, with the reason."""

    digests: list[Digest]
    lost: list[tuple[CompanionItem, str]] = field(default_factory=list)


class Download:
    """The files of a plan on their way."""

    def __init__(self, work: Work, *, family: str, pause: Callable[[], None]) -> None:
        self.work = work
        self.failed = 0
        self.done = 0
        self._room = Room(work.run)
        self._own = work.run.mirror.upstream.channel_id is not None
        self._family = family
        self._audience = access.audience(work.run.mirror.channel)
        self._pause = pause
        """Called about twice a second from the run's own thread."""
        self._cancel = threading.Event()
        self._bytes = 0
        self._lock = threading.Lock()
        self._clients: dict[int, tuple[FileSource, Client]] = {}
        self._arrived: list[Blob] = []
        self._first: list[tuple[FileSource, str, Digest]] = []
        """What came of files that no index has a hash of."""
        self._failures: list[Failure] = []
        self._lost: list[UnavailableFile] = []
        self._failed_over: deque[DownloadItem] = deque()
        self._names: dict[str, Counter[str]] = {}
        self._flushed = self._settled = time.monotonic()

    def run(self, plan: DownloadPlan) -> None:
        """Fetch everything in the plan; rows and failures are written as it goes."""
        self._make_room(plan)
        wanted = iter(plan)
        pool = ThreadPoolExecutor(settings.DOWNLOAD_THREADS, thread_name_prefix="download")
        under_way: dict[Future[Got], DownloadItem] = {}
        try:
            while True:
                room = settings.DOWNLOAD_THREADS * 4 - len(under_way)
                for one in islice(chain(self._instead(), wanted), room):
                    self._open(one.file_source_id)
                    under_way[pool.submit(self._fetch, one)] = one
                if not under_way:
                    break
                finished, _ = wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
                for future in finished:
                    self._take(under_way.pop(future), future)
                self._show(plan)
        finally:
            self._cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for future, one in under_way.items():
                if future.done() and not future.cancelled() and not future.exception():
                    self._take(one, future)
            self._flush()
            for _, opened in self._clients.values():
                opened.close()
        self._room.close()

    def _make_room(self, plan: DownloadPlan) -> None:
        if self._own:
            # Whoever fetches such a file reserves it.
            disk_space.require(plan.room)
            on_demand.forgive_room()
        else:
            self._room.expect(plan.room)
            self._room.settle()

    def _parts(self, wanted: DownloadItem) -> list[Part]:
        """The file and those beside it, as the room expects them."""
        if self._own:
            return [Part(self._room, -1) for _ in (wanted, *wanted.companions)]
        beside = (Part(self._room, file.size) for file in wanted.companions)
        return [Part(self._room, -1 if wanted.stored else wanted.size), *beside]

    def events(self, *, channel_id: int, path: str, mirror_id: int) -> None:
        """One "Artifact generated" a package whose bytes came."""
        rows = (
            Event(
                type=EventType.ARTIFACT_GENERATED,
                family=self._family,
                channel_id=channel_id,
                mirror_id=mirror_id,
                run_id=self.work.run.pk,
                folded=True,
                data={"artifact_family": self._family, "name": name, "channel": path},
                meta={"count": files.total(), "files": list(files)[:FILES_TOLD]},
            )
            for name, files in sorted(self._names.items())
        )
        while batch := list(islice(rows, 500)):
            with transaction.atomic():
                self.work.run.write(bytes=self._bytes)
                Event.objects.bulk_create(batch)
        self._names.clear()

    def _fetch(self, wanted: DownloadItem) -> Got:
        """The file and those beside it, which it can do without."""
        with ExitStack() as stack:
            whole, *others = map(stack.enter_context, self._parts(wanted))
            got = Got([self._bring(wanted, wanted, whole)])
            for file, part in zip(wanted.companions, others, strict=True):
                try:
                    got.digests.append(self._small(wanted, file, part, got.digests[0].sha256))
                except UpstreamError as error:
                    got.lost.append((file, str(error)))
            return got

    def _small(self, wanted: DownloadItem, file: CompanionItem, part: Part, whole: str) -> Digest:
        known = side_files.out_of(
            whole,
            file.filename,
            file.sha256,
            family=self._family,
            purpose=f"run{self.work.run.pk}",
        )
        return known or self._bring(wanted, file, part, patience=optional.PATIENCE)

    def _bring(
        self,
        wanted: DownloadItem,
        file: DownloadItem | CompanionItem,
        part: Part,
        *,
        patience: float | None = None,
    ) -> Digest:
        origin, opened = self._clients[wanted.file_source_id]
        if origin.channel_id is not None:
            return on_demand.local(
                origin, wanted.section, file.filename, name=wanted.name, stop=self._stop
            )
        known = self._proven(wanted, file)
        if known is not None:
            return known
        temp = blobs.temporary(f"run{self.work.run.pk}")
        seen = 0

        def progress(done: int, total: int) -> None:
            nonlocal seen
            with self._lock:
                self._bytes += done - seen
            seen = done
            part.progress(done, total)

        try:
            digest = file_sources.download(
                opened,
                origin,
                temp,
                section=wanted.section,
                file=file,
                stop=self._stop,
                progress=progress,
                patience=patience,
            )
            blobs.settle(temp, digest.sha256, digest.size)
            return digest
        finally:
            temp.unlink(missing_ok=True)

    def _proven(self, wanted: DownloadItem, file: DownloadItem | CompanionItem) -> Digest | None:
        """A file that is durable, left by a killed run or brought by another channel.

        Only if the upstream proves that it has these bytes: a hash in an index proves nothing.
        """
        known = _already(file)
        if known is None:
            return None
        origin, opened = self._clients[wanted.file_source_id]
        path = blobs.path(known.sha256)
        proven = file_sources.confirms(
            opened, origin, path, section=wanted.section, file=file, stop=self._stop
        )
        return known if proven else None

    def _open(self, origin_id: int) -> None:
        """Have a client ready before a thread needs it: threads use no database."""
        if origin_id not in self._clients:
            origin = FileSource.objects.get(pk=origin_id)
            self._clients[origin_id] = (origin, client(origin))

    def _instead(self) -> Iterator[DownloadItem]:
        """The older forms of packages whose newer ones failed."""
        while self._failed_over:
            yield self._failed_over.popleft()

    def _stop(self) -> None:
        if self._cancel.is_set():
            raise Cancelled

    def _take(self, wanted: DownloadItem, future: Future[Got]) -> None:
        try:
            got = future.result()
        except UpstreamError as error:
            self._fail(wanted, error)
            return
        except OSError as error:
            raise NoSpace(f"{wanted.filename} could not be stored: {error.strerror}") from error
        self.done += 1
        if not wanted.sha256 and not wanted.md5:
            self._first.append(
                (self._clients[wanted.file_source_id][0], wanted.filename, got.digests[0])
            )
        self._arrived += [
            Blob(sha256=digest.sha256, md5=digest.md5, size=digest.size, file=True)
            for digest in got.digests
        ]
        self._lost += [
            UnavailableFile(
                file_source_id=wanted.file_source_id,
                section=wanted.section,
                name=wanted.name,
                filename=wanted.filename,
                sha256=file.sha256,
                message=storable(message),
            )
            for file, message in got.lost
        ]
        self._names.setdefault(wanted.name, Counter())[wanted.filename] += 1
        if len(self._arrived) >= ROWS_AT_ONCE:
            self._flush()

    def _fail(self, wanted: DownloadItem, error: UpstreamError) -> None:
        self.failed += 1
        if wanted.fallback is not None:
            if not self._own:
                self._room.expect(wanted.fallback.room)
            self._failed_over.append(wanted.fallback)
        message = str(error)
        file = (wanted.file_source_id, wanted.filename)
        if isinstance(error, DigestMismatch) and pins.known([file]):
            message = pins.HELD.format(name=wanted.filename)
            self._tell_held(wanted, message)
        self._failures.append(
            Failure(
                run=self.work.run,
                section=wanted.section,
                filename=wanted.filename,
                message=message,
            )
        )

    def _tell_held(self, wanted: DownloadItem, message: str) -> None:
        mirror = self.work.run.mirror
        record(
            EventType.ARTIFACT_HELD,
            channel_id=mirror.channel_id,
            mirror_id=mirror.pk,
            run_id=self.work.run.pk,
            family=self._family,
            data={
                "artifact_family": self._family,
                "name": wanted.name,
                "section": wanted.section,
                "ckey": registry.of_family(self._family).file_key(
                    wanted.section, wanted.name, wanted.filename
                ),
                "channel": mirror.channel.path,
            },
            meta={"files": [wanted.filename], "message": message},
        )

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if self._arrived or self._failures:
            with transaction.atomic():
                self.work.run.write(bytes=self._bytes)
                blobs.register(self._arrived, [self._audience])
                for first in self._first:
                    pins.learn(*first)
                side_files.note(self._lost)
                Failure.objects.bulk_create(self._failures, ignore_conflicts=True)
        self._arrived, self._failures, self._first, self._lost = [], [], [], []

    def _show(self, plan: DownloadPlan) -> None:
        self.work.check()
        self.work.bytes = self._bytes
        self.work.progress(self.done + self.failed, plan.files)
        if time.monotonic() - self._settled > LOOK_SECONDS:
            self._settled = time.monotonic()
            self._room.settle()
        if time.monotonic() - self._flushed > LOOK_SECONDS * 2:
            self._flush()
            self._pause()


def _already(wanted: DownloadItem | CompanionItem) -> Digest | None:
    """The file if its bytes lie here, whoever brought them; also without a row, after a crash."""
    if not wanted.sha256:
        return None
    path = blobs.path(wanted.sha256)
    if not blobs.found(wanted.sha256, wanted.size):
        return None
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    if sha256.hexdigest() != wanted.sha256:
        path.unlink()
        return None
    return Digest(sha256=wanted.sha256, md5=md5.hexdigest(), size=path.stat().st_size)
