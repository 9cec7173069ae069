"""Steps 1 and 2 of a run: the upstream's indexes, fetched and read into snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from channels import blobs, disk_space
from channels.file_sources import client_for
from channels.lease import Leased
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext, FetchedIndex, IndexNotModified, PreviousIndex
from ecosystems.progress import Progress, Stop, no_progress
from ecosystems.upstream import Client, UpstreamError
from mirrors.models import FetchedPackage, Snapshot, Upstream
from publishing import file_licenses
from runs.index_source import index_source
from runs.snapshot_rows import SnapshotRows, latest_snapshot


class Fetch:
    """The indexes of one upstream on their way to snapshots.

    `snapshots` has, after `read`, the newest snapshot of each section asked
    for; None where the upstream has no such section.
    """

    def __init__(
        self,
        upstream: Upstream,
        asked: Sequence[str],
        *,
        stop: Stop,
        folder: Path,
        row: Leased,
        ecosystem: Ecosystem | None = None,
    ) -> None:
        """`row`: what it is done for; whoever has lost it writes nothing any more."""
        self.upstream = upstream
        # Packages that clients asked for stay listed, though an on-demand mirror fetches no others.
        packages = FetchedPackage.objects.filter(upstream=upstream.pk)
        self.ecosystem = (ecosystem or registry.get(upstream.kind)).including(
            set(packages.values_list("name", flat=True)), file_licenses.path
        )
        self.sections = self.ecosystem.sections(asked)
        self.snapshots: dict[str, Snapshot | None] = {}
        self.notes: list[str] = []
        """How the indexes were asked for, for the log."""
        self.refused: dict[str, UpstreamError] = {}
        """Sections that the upstream denies, or answers with a web page, where others are had."""
        self.bytes = 0
        self._source = index_source(upstream, self.ecosystem)
        self._rows = SnapshotRows(upstream, self.ecosystem.scope, row)
        self._stop = stop
        self._folder = folder
        self._fetched: list[tuple[str, FetchedIndex]] = []
        self._retried: list[tuple[str, Snapshot]] = []
        """Unchanged indexes with optional files that could not be had before."""

    @property
    def warnings(self) -> list[str]:
        """What could not be had beside the indexes, in sentences; see `mirrors.warnings`."""
        return self._rows.warnings

    def fetch(self, progress: Progress) -> None:
        """Step 1: conditional requests; what came lies on disk as it came."""
        # Before the first request: a full disk would only show in the middle of an index.
        disk_space.require_space()
        with self._client() as client:
            for number, section in enumerate(self.sections):
                self._stop()
                share = _share(progress, number, len(self.sections))
                try:
                    self._fetch(client, section, share)
                except UpstreamError as error:
                    # What the server answers once and for all may be its word on one section.
                    if not error.permanent or not error.status:
                        raise
                    self.snapshots[section] = None
                    self.refused[section] = error
        if self.refused and not self._fetched and not any(self.snapshots.values()):
            # No section is had: the upstream refuses this server, not one section.
            raise next(iter(self.refused.values()))

    def read(self, progress: Progress) -> None:
        """Step 2: every new index becomes a snapshot."""
        with self._client() as client:
            for number, (section, fetched) in enumerate(self._fetched):
                self._stop()
                progress(number, len(self._fetched))
                self.snapshots[section] = self._read(client, section, fetched)
            for section, snapshot in self._retried:
                context = self._context(client)
                optional = self._source.fetch_optional(snapshot.address, section, context)
                self.snapshots[section] = self._rows.save_optional(snapshot, optional)
            # A channel of this server costs no request, and its root may change alone.
            local = self.upstream.is_local
            if self._fetched or self.upstream.missed or local:
                self._read_root(client)

    def _client(self) -> Client:
        return client_for(self.upstream.credential, self.upstream.proxy)

    def _fetch(self, client: Client, section: str, progress: Progress) -> None:
        context = self._context(client, previous=self._previous(section), progress=progress)
        answer = self._source.fetch(self.upstream.url, section, context)
        if answer is None:
            self.snapshots[section] = None
            return
        self._rows.warnings += [f"{section}: {text}" for text in answer.warnings]
        before = self._rows.latest(section)
        if isinstance(answer, IndexNotModified):
            if before is None:
                raise BadIndex(f"The upstream says that {section} is what it was, unasked.")
            self._keep(section, before)
            return
        if answer.note:
            self.notes.append(f"{section}: {answer.note}")
        self.bytes += answer.path.stat().st_size if answer.path.is_file() else 0
        self.bytes += answer.further_bytes
        if before is not None and _is_same(before, answer):
            self._rows.note_unchanged(before, answer)
            self._keep(section, before)
        else:
            self._fetched.append((section, answer))

    def _keep(self, section: str, snapshot: Snapshot) -> None:
        """The section is what it was."""
        self.snapshots[section] = snapshot
        if snapshot.missed:
            self._retried.append((section, snapshot))

    def _read(self, client: Client, section: str, fetched: FetchedIndex) -> Snapshot:
        context = self._context(client, previous=self._previous(section))
        parsed = self._source.parse(fetched, section, context)
        # The pack has all of it, and a large index would lie on the disk twice.
        fetched.path.unlink(missing_ok=True)
        # Where the index had to be fetched in another form, that one counts.
        read = parsed.fetched or fetched
        optional = self._source.fetch_optional(read.address, section, self._context(client))
        return self._rows.save(section, read, parsed, optional)

    def _read_root(self, client: Client) -> None:
        optional = self._source.fetch_optional(self.upstream.url, "", self._context(client))
        self._rows.save_root(optional)

    def _context(
        self,
        client: Client,
        *,
        previous: PreviousIndex | None = None,
        progress: Progress = no_progress,
    ) -> FetchContext:
        return FetchContext(
            client=client,
            folder=self._folder,
            stop=self._stop,
            progress=progress,
            previous=previous,
        )

    def _previous(self, section: str) -> PreviousIndex | None:
        """What was read last: of this scope, else of any other, which has parts of it."""
        before = self._rows.latest(section)
        if before is not None:
            return _previous_index(before)
        of_other_scope = _previous_index(latest_snapshot(self.upstream, section))
        # That it is unchanged would not say what this scope has.
        return of_other_scope and replace(of_other_scope, etag="", last_modified="")


def _share(progress: Progress, number: int, total: int) -> Callable[[float, float], None]:
    """The progress of one of `total` sections, as a part of the whole."""

    def share(done: float, of: float) -> None:
        progress(number + (done / of if of > 0 else 0), total)

    return share


def _previous_index(snapshot: Snapshot | None) -> PreviousIndex | None:
    if snapshot is None or not blobs.path(snapshot.pack_id).exists():
        return None
    return PreviousIndex(
        address=snapshot.address,
        sha256=snapshot.sha256,
        etag=snapshot.etag,
        last_modified=snapshot.last_modified,
        pack=blobs.path(snapshot.pack_id),
    )


def _is_same(before: Snapshot, fetched: FetchedIndex) -> bool:
    """The same bytes from the same address are the same snapshot, whatever the headers say.

    Unless what was read of them is lost: then it is read again.
    """
    if (before.sha256, before.address) != (fetched.sha256, fetched.address):
        return False
    return blobs.path(before.pack_id).exists()
