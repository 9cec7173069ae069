"""Writes the rows of files that came or failed: blobs, pins, failures, events.

Collected and written in batches, each in one transaction that the run's fence guards.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

from django.db import transaction

from channels import access, blobs, companions, pins
from channels.models import Blob, FileSource, UnavailableFile
from channels.texts import storable
from ecosystems import registry
from ecosystems.upstream import Digest, DigestMismatch, UpstreamError
from history.models import Event, EventType, record
from mirrors.models import Failure, Run
from publishing.download_plan import DownloadItem
from runs.file_fetcher import FetchedFile

# One transaction a file would make the database sync the disk for each.
ROWS_AT_ONCE = 200
EVENTS_AT_ONCE = 500
EVENT_FILES = 100
"""How many file names an event has."""


class DownloadRows:
    """The rows of one run's downloads; only the run's own thread uses it."""

    def __init__(self, run: Run, *, family: str) -> None:
        self._run = run
        self._family = family
        self._audience = access.audience(run.mirror.channel)
        self._blobs: list[Blob] = []
        self._unpinned: list[tuple[FileSource, DownloadItem, Digest]] = []
        """What came of files whose SHA-256 no index states."""
        self._failures: list[Failure] = []
        self._unavailable: list[UnavailableFile] = []
        self._files: dict[str, Counter[str]] = {}
        """The files that came, by package."""
        self.written = time.monotonic()

    @property
    def full(self) -> bool:
        """Whether there is enough for a batch."""
        return len(self._blobs) >= ROWS_AT_ONCE

    def add_fetched(self, item: DownloadItem, source: FileSource, fetched: FetchedFile) -> None:
        """A file came."""
        if not item.sha256 and not item.md5:
            self._unpinned.append((source, item, fetched.digests[0]))
        self._blobs += [
            Blob(sha256=digest.sha256, md5=digest.md5, size=digest.size, file=True)
            for digest in fetched.digests
        ]
        self._unavailable += [
            UnavailableFile(
                file_source_id=item.file_source_id,
                section=item.section,
                name=item.name,
                filename=item.filename,
                sha256=companion.sha256,
                message=storable(message),
            )
            for companion, message in fetched.unavailable
        ]
        self._files.setdefault(item.name, Counter())[item.filename] += 1

    def add_failure(self, item: DownloadItem, error: UpstreamError) -> None:
        """A file failed; where its bytes are others than those that came first, it is held."""
        message = str(error)
        file = (item.file_source_id, item.filename, "")
        unstated = isinstance(error, DigestMismatch) and not item.checksum
        if unstated and pins.pinned_hashes([file]):
            message = pins.HELD_BACK.format(name=item.filename)
            self._write_held_event(item, message)
        failure = Failure(
            run=self._run, section=item.section, filename=item.filename, message=message
        )
        self._failures.append(failure)

    def write(self, downloaded: int) -> None:
        """Write what was collected; `downloaded`: bytes that have come so far."""
        self.written = time.monotonic()
        if self._blobs or self._failures:
            with transaction.atomic():
                self._run.write(bytes=downloaded)
                blobs.register(self._blobs, [self._audience])
                # No index has their SHA-256: from now on the bytes that came first count.
                for unpinned in self._unpinned:
                    pins.add_pin(*unpinned)
                companions.record_unavailable(self._unavailable)
                Failure.objects.bulk_create(self._failures, ignore_conflicts=True)
        self._blobs, self._failures, self._unpinned, self._unavailable = [], [], [], []

    def write_events(self, downloaded: int) -> None:
        """One "Artifact generated" a package whose bytes came."""
        mirror = self._run.mirror
        events = (
            Event(
                type=EventType.ARTIFACT_GENERATED,
                family=self._family,
                channel_id=mirror.channel_id,
                mirror_id=mirror.pk,
                run_id=self._run.pk,
                folded=True,
                data={
                    "artifact_family": self._family,
                    "name": name,
                    "channel": mirror.channel.path,
                },
                meta={"count": files.total(), "files": list(files)[:EVENT_FILES]},
            )
            for name, files in sorted(self._files.items())
        )
        while batch := list(islice(events, EVENTS_AT_ONCE)):
            with transaction.atomic():
                self._run.write(bytes=downloaded)
                Event.objects.bulk_create(batch)
        self._files.clear()

    def _write_held_event(self, item: DownloadItem, message: str) -> None:
        mirror = self._run.mirror
        ecosystem = registry.of_family(self._family)
        record(
            EventType.ARTIFACT_HELD,
            channel_id=mirror.channel_id,
            mirror_id=mirror.pk,
            run_id=self._run.pk,
            family=self._family,
            data={
                "artifact_family": self._family,
                "name": item.name,
                "section": item.section,
                "ckey": ecosystem.file_key(item.section, item.name, item.filename),
                "channel": mirror.channel.path,
            },
            meta={"files": [item.filename], "message": message},
        )
