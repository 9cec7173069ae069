"""Writes what a fetch found: snapshots, and the optional files beside an upstream's sections.

Every write is in a transaction of the row that the fetch is done for: a process that has lost
that row would bury what its successor fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from django.db import transaction

from channels import blobs
from channels.file_sources import get_or_create
from channels.lease import Leased
from channels.texts import UNREADABLE, storable
from ecosystems import left_out, registry
from ecosystems.indexes import FetchedIndex, OptionalFiles, ParsedIndex
from ecosystems.pack import Pack
from mirrors import appearances
from mirrors.models import Snapshot, Upstream
from runs.withdrawals import MERGED


class SnapshotRows:
    """The snapshots of one upstream and scope."""

    def __init__(self, upstream: Upstream, scope: str, row: Leased) -> None:
        self._upstream = upstream
        self._scope = scope
        self._row = row
        self.warnings: list[str] = []
        """Optional files that could not be had, in sentences."""

    def latest(self, section: str) -> Snapshot | None:
        """The last snapshot of a section, of this scope."""
        return latest_snapshot(self._upstream, section, self._scope)

    def note_unchanged(self, snapshot: Snapshot, fetched: FetchedIndex) -> None:
        """The same bytes came again: the next request asks with what their answer said."""
        with self._writing():
            Snapshot.objects.filter(pk=snapshot.pk).update(
                etag=fetched.etag, last_modified=fetched.last_modified
            )

    def save(
        self, section: str, fetched: FetchedIndex, parsed: ParsedIndex, optional: OptionalFiles
    ) -> Snapshot:
        """A new snapshot; moves the pack and the optional files to the blobs."""
        upstream, before = self._upstream, self.latest(section)
        # Read before the pack moves.
        warnings = _index_warnings(parsed)
        staying = self._staying(optional, before.extras if before else {}, f"{section}: ")
        snapshot = Snapshot(
            upstream=upstream,
            section=section,
            scope=self._scope,
            address=fetched.address,
            sha256=fetched.sha256,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            pack=blobs.store(parsed.pack, parsed.pack_sha256),
            file_source=get_or_create(
                parsed.base_url,
                credential=bytes(upstream.credential),
                proxy=bytes(upstream.proxy),
                identity=upstream.key,
                channel=upstream.channel,
            ),
            listed=parsed.listed,
            newest=parsed.newest,
            invalid=parsed.invalid,
            invalid_names=_storable(parsed.invalid_names),
            warnings=warnings,
            extras=staying | _stored(parsed.extras | optional.files),
            extras_warnings=_storable(optional.warnings),
            missed=sorted(optional.missed),
        )
        self._note_appearances(snapshot)
        with self._writing():
            snapshot.save()
        return snapshot

    def _note_appearances(self, snapshot: Snapshot) -> None:
        """Keep when new files came; before the snapshot, or a process that dies here forgets it."""
        with self._writing():
            history = appearances.begin(snapshot.file_source.base_url)
        previous = appearances.previous_snapshot(snapshot)
        if previous is None:
            return
        ecosystem = registry.get(self._upstream.kind)
        rows = appearances.since(previous, snapshot, ecosystem, history)
        while batch := list(islice(rows, appearances.BATCH)):
            with self._writing():
                appearances.write(batch)

    def save_optional(self, before: Snapshot, optional: OptionalFiles) -> Snapshot:
        """The snapshot with those of its optional files that can be had by now."""
        staying = self._staying(optional, before.extras, f"{before.section}: ")
        # Still the same files are missing: another row would make the channel publish nothing new.
        if sorted(optional.missed) == before.missed:
            return before
        others = {name: sha for name, sha in before.extras.items() if name not in before.missed}
        # Another row: what is published by the one before says which files went with it.
        snapshot = Snapshot.objects.get(pk=before.pk)
        snapshot.pk, snapshot._state.adding = None, True
        snapshot.extras = others | staying | _stored(optional.files)
        snapshot.extras_warnings = _storable(optional.warnings)
        snapshot.missed = sorted(optional.missed)
        with self._writing():
            snapshot.save()
        return snapshot

    def save_root(self, optional: OptionalFiles) -> None:
        """The optional files beside the sections."""
        upstream = self._upstream
        staying = self._staying(optional, upstream.extras)
        fields: dict[str, object] = {
            "extras": staying | _stored(optional.files),
            "missed": sorted(optional.missed),
            "warnings": _storable(optional.warnings),
        }
        if any(getattr(upstream, name) != value for name, value in fields.items()):
            for name, value in fields.items():
                setattr(upstream, name, value)
            with self._writing():
                upstream.save(update_fields=list(fields))

    def _staying(
        self, optional: OptionalFiles, before: dict[str, str], prefix: str = ""
    ) -> dict[str, str]:
        """The last good state of files that cannot be had now, with a warning of each."""
        for name, reason in optional.missed.items():
            stays = "its last state stays" if name in before else "it is not published"
            self.warnings.append(f"{prefix}{name} cannot be had now, {stays}: {reason}")
        return {name: before[name] for name in optional.missed if name in before}

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with transaction.atomic():
            # Changes nothing; raises `Fenced` where another owner has the row by now.
            self._row.write(owner=self._row.owner)
            yield


def latest_snapshot(upstream: Upstream, section: str, scope: str | None = None) -> Snapshot | None:
    """The last snapshot of a section; of one scope, where it is given."""
    rows = Snapshot.objects.filter(upstream=upstream, section=section)
    # Not one that was put together here: it says nothing of what the upstream last answered.
    rows = rows.exclude(sha256=MERGED)
    if scope is not None:
        rows = rows.filter(scope=scope)
    return rows.order_by("-pk").first()


def _index_warnings(parsed: ParsedIndex) -> list[str]:
    """What is odd about an index, and which of its records are left out as invalid."""
    unnamed = left_out.named(parsed.invalid_names, parsed.invalid, UNREADABLE)
    with Pack(parsed.pack) as pack:
        return _storable([*parsed.warnings, *left_out.warnings(pack.left_out, unnamed)])


def _storable(texts: Iterable[str]) -> list[str]:
    return [storable(text) for text in texts]


def _stored(files: Mapping[str, Path]) -> dict[str, str]:
    """Files by name as blobs."""
    return {name: _blob(path) for name, path in files.items()}


def _blob(path: Path) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return blobs.store(path, sha256).sha256
