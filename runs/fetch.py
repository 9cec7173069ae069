"""Steps 1 and 2 of a run: the upstream's indexes, fetched and read into snapshots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.db import transaction

from channels import blobs, disk_space
from channels.file_sources import client_for, remember
from channels.lease import Leased
from channels.texts import UNREADABLE, storable
from ecosystems import left_out, registry
from ecosystems.base import Ecosystem
from ecosystems.errors import BadIndex
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    IndexNotModified,
    OptionalFiles,
    ParsedIndex,
    PreviousIndex,
)
from ecosystems.pack import Pack
from ecosystems.progress import Progress, Stop, no_progress
from ecosystems.upstream import Client, UpstreamError
from mirrors.models import FetchedPackage, Snapshot, Upstream
from publishing import file_licenses
from runs import local_channel


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
        work: Path,
        row: Leased,
        ecosystem: Ecosystem | None = None,
    ) -> None:
        """`row`: what it is done for; whoever has lost it writes nothing any more."""
        self.upstream = upstream
        pages = FetchedPackage.objects.filter(upstream=upstream.pk).values_list("name", flat=True)
        self.ecosystem = (ecosystem or registry.get(upstream.kind)).including(
            set(pages), file_licenses.path
        )
        self.sections = self.ecosystem.sections(asked)
        self.snapshots: dict[str, Snapshot | None] = {}
        self.warnings: list[str] = []
        """What could not be had beside the indexes, in sentences; see `mirrors.warnings`."""
        self.notes: list[str] = []
        """How the indexes were asked for, for the log."""
        self.refused: dict[str, UpstreamError] = {}
        """Sections that the upstream denies, or answers with a web page, where others are had."""
        self.bytes = 0
        self._row = row
        self._stop = stop
        self._work = work
        self._raws: list[tuple[str, FetchedIndex]] = []
        self._missed: list[tuple[str, Snapshot]] = []
        """Unchanged indexes with optional files that could not be had before."""

    def fetch(self, progress: Progress) -> None:
        """Step 1: conditional requests; what came lies on disk as it came."""
        disk_space.require()
        with self._client() as client:
            for number, section in enumerate(self.sections):
                self._stop()
                part = _part(progress, number, len(self.sections))
                try:
                    self._fetch(client, section, part)
                except UpstreamError as error:
                    # What the server answers once and for all may be its word on one section.
                    if not error.permanent or not error.status:
                        raise
                    self.snapshots[section] = None
                    self.refused[section] = error
        if self.refused and not self._raws and not any(self.snapshots.values()):
            raise next(iter(self.refused.values()))
        if self.upstream.channel_id is not None:
            self._keep_root(local_channel.root_extras(self.upstream), OptionalFiles())

    def read(self, progress: Progress) -> None:
        """Step 2: every new index becomes a snapshot."""
        with self._client() as client:
            for number, (section, raw) in enumerate(self._raws):
                self._stop()
                progress(number, len(self._raws))
                before = self._before(section)
                extras = OptionalFiles()
                if self.upstream.channel_id is not None:
                    read = local_channel.read(self.upstream, section, before, work=self._work)
                else:
                    context = self._context(client, previous=self._seen(section))
                    read = self.ecosystem.parse(raw, section, context)
                    raw.path.unlink(missing_ok=True)
                    extras = self._extras(client, (read.fetched or raw).address, section)
                self.snapshots[section] = self._keep(section, read.fetched or raw, read, extras)
            for section, snapshot in self._missed:
                self.snapshots[section] = self._again(client, section, snapshot)
            if self.upstream.channel_id is None and (self._raws or self.upstream.missed):
                self._root(client)

    def _client(self) -> Client:
        return client_for(self.upstream.credential, self.upstream.proxy)

    def _fetch(self, client: Client, section: str, progress: Progress) -> None:
        before = self._before(section)
        if self.upstream.channel_id is not None:
            found = local_channel.fetch(self.upstream, section, before)
        else:
            context = self._context(client, previous=self._seen(section), progress=progress)
            found = self.ecosystem.fetch(self.upstream.url, section, context)
        if isinstance(found, FetchedIndex) and found.note:
            self.notes.append(f"{section}: {found.note}")
        if found is not None:
            self.warnings += [f"{section}: {text}" for text in found.warnings]
        if found is None:
            self.snapshots[section] = None
        elif before is not None and (isinstance(found, IndexNotModified) or _same(before, found)):
            if isinstance(found, FetchedIndex):
                self.bytes += found.path.stat().st_size
                with self._writing():
                    Snapshot.objects.filter(pk=before.pk).update(
                        etag=found.etag, last_modified=found.last_modified
                    )
            self.snapshots[section] = before
            if before.missed:
                self._missed.append((section, before))
        elif isinstance(found, IndexNotModified):
            raise BadIndex(f"The upstream says that {section} is what it was, unasked.")
        else:
            self.bytes += found.path.stat().st_size if found.path.is_file() else 0
            self._raws.append((section, found))

    def _extras(self, client: Client, address: str, section: str) -> OptionalFiles:
        return self.ecosystem.fetch_optional(address, section, self._context(client))

    def _context(
        self,
        client: Client,
        *,
        previous: PreviousIndex | None = None,
        progress: Progress = no_progress,
    ) -> FetchContext:
        return FetchContext(
            client=client,
            folder=self._work,
            stop=self._stop,
            progress=progress,
            previous=previous,
        )

    def _keep(
        self, section: str, raw: FetchedIndex, read: ParsedIndex, extras: OptionalFiles
    ) -> Snapshot:
        upstream = self.upstream
        noted = warnings(read)
        before = self._before(section)
        kept = self._stay(extras.missed, before.extras if before else {}, f"{section}: ")
        snapshot = Snapshot(
            upstream=upstream,
            section=section,
            scope=self.ecosystem.scope,
            address=raw.address,
            sha256=raw.sha256,
            etag=raw.etag,
            last_modified=raw.last_modified,
            pack=blobs.keep(read.pack, read.pack_sha256),
            file_source=remember(
                read.base_url,
                credential=bytes(upstream.credential),
                proxy=bytes(upstream.proxy),
                identity=upstream.key,
                channel=upstream.channel,
            ),
            listed=read.listed,
            newest=read.newest,
            invalid=read.invalid,
            invalid_names=[storable(name) for name in read.invalid_names],
            warnings=noted,
            extras=kept | _stored(read.extras | extras.files),
            extras_warnings=_storable(extras.warnings),
            missed=sorted(extras.missed),
        )
        with self._writing():
            snapshot.save()
        return snapshot

    def _again(self, client: Client, section: str, before: Snapshot) -> Snapshot:
        """The snapshot with those of its optional files that can be had by now."""
        extras = self._extras(client, before.address, section)
        kept = self._stay(extras.missed, before.extras, f"{section}: ")
        if sorted(extras.missed) == before.missed:
            return before
        others = {key: one for key, one in before.extras.items() if key not in before.missed}
        # Another row: what is published by the one before says which files went with it.
        snapshot = Snapshot.objects.get(pk=before.pk)
        snapshot.pk, snapshot._state.adding = None, True
        snapshot.extras = others | kept | _stored(extras.files)
        snapshot.extras_warnings = _storable(extras.warnings)
        snapshot.missed = sorted(extras.missed)
        with self._writing():
            snapshot.save()
        return snapshot

    def _stay(
        self, kept: dict[str, str], before: dict[str, str], where: str = ""
    ) -> dict[str, str]:
        """The last good state of optional files, with a warning of each."""
        for name, why in kept.items():
            stays = "its last state stays" if name in before else "it is not published"
            self.warnings.append(f"{where}{name} cannot be had now, {stays}: {why}")
        return {name: before[name] for name in kept if name in before}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction of the row's owner; a stale one would bury what its successor fetched."""
        with transaction.atomic():
            self._row.write(owner=self._row.owner)
            yield

    def _before(self, section: str) -> Snapshot | None:
        return newest(self.upstream, section, self.ecosystem.scope)

    def _seen(self, section: str) -> PreviousIndex | None:
        """What was read last: of this scope, else of any other, which has parts of it."""
        before = self._before(section)
        if before is not None:
            return _seen(before)
        other = _seen(newest(self.upstream, section))
        # That it is unchanged would not say what this scope has.
        return other and replace(other, etag="", last_modified="")

    def _root(self, client: Client) -> None:
        extras = self._extras(client, self.upstream.url, "")
        kept = self._stay(extras.missed, self.upstream.extras)
        self._keep_root(kept | _stored(extras.files), extras)

    def _keep_root(self, files: dict[str, str], extras: OptionalFiles) -> None:
        fields = {
            "extras": files,
            "missed": sorted(extras.missed),
            "warnings": _storable(extras.warnings),
        }
        if any(getattr(self.upstream, name) != value for name, value in fields.items()):
            for name, value in fields.items():
                setattr(self.upstream, name, value)
            with self._writing():
                self.upstream.save(update_fields=list(fields))


def warnings(read: ParsedIndex) -> list[str]:
    """What is odd about an index, and which of its records are left out because they are invalid.

    Asked before the pack moves to the blobs.
    """
    others = left_out.named(read.invalid_names, read.invalid, UNREADABLE)
    with Pack(read.pack) as pack:
        return _storable([*read.warnings, *left_out.warnings(pack.left_out, others)])


def newest(upstream: Upstream, section: str, scope: str | None = None) -> Snapshot | None:
    """The last snapshot taken of a section; of one scope, where it is given."""
    rows = Snapshot.objects.filter(upstream=upstream, section=section)
    if scope is not None:
        rows = rows.filter(scope=scope)
    return rows.order_by("-pk").first()


def _part(progress: Progress, number: int, of: int) -> Callable[[float, float], None]:
    def part(done: float, total: float) -> None:
        progress(number + (done / total if total > 0 else 0), of)

    return part


def _seen(before: Snapshot | None) -> PreviousIndex | None:
    if before is None or not blobs.path(before.pack_id).exists():
        return None
    return PreviousIndex(
        address=before.address,
        sha256=before.sha256,
        etag=before.etag,
        last_modified=before.last_modified,
        pack=blobs.path(before.pack_id),
    )


def _same(before: Snapshot | None, raw: FetchedIndex) -> bool:
    """The same bytes from the same address are the same snapshot, whatever the headers say.

    Unless what was read of them is lost: then it is read again.
    """
    if before is None or (before.sha256, before.address) != (raw.sha256, raw.address):
        return False
    return blobs.path(before.pack_id).exists()


def _storable(texts: Iterable[str]) -> list[str]:
    return [storable(text) for text in texts]


def _stored(files: Mapping[str, Path]) -> dict[str, str]:
    """Files by name as blobs."""
    return {name: _blob(path) for name, path in files.items()}


def _blob(path: Path) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return blobs.keep(path, sha256).sha256
