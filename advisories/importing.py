"""Imports a file, whatever it holds: the one way for uploads, fetched feeds and the command line.

First the whole file is read into a spool; only then the database is written, in batches.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from advisories import archives, bundle, lease, spool, tables
from advisories.archives import Kind
from advisories.compression import decompress
from advisories.formats import csaf, mapping, openvex
from advisories.formats.report import BadRecord
from advisories.lease import Lease
from advisories.models import Source
from advisories.spool import BadArchive, Spool
from advisories.store import Writer, Written
from ecosystems.progress import Stop, never_stop

SOURCES = {
    Kind.BUNDLE: Source.BUNDLE,
    Kind.OSV_ARCHIVE: Source.OSV,
    Kind.OSV_RECORD: Source.OSV,
    Kind.NVD: Source.NVD,
    Kind.MAPPING: Source.MAPPING,
    Kind.OPENVEX: Source.VEX,
    Kind.CSAF: Source.VEX,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What an import did."""

    kind: Kind
    written: Written

    @property
    def source(self) -> Source:
        """The kind of feed that such data comes from."""
        return SOURCES[self.kind]

    def __str__(self) -> str:
        done = self.written
        broken = f", {done.broken:,} broken" if done.broken else ""
        return (
            f"{done.added:,} added, {done.updated:,} updated, {done.unchanged:,} unchanged{broken}"
        )


def import_file(path: Path, *, expected: Collection[Kind] = (), stop: Stop = never_stop) -> Result:
    """Import a file of any kind (see `archives.Kind`), or of those that are `expected`.

    Raises `BadArchive` for what cannot be imported, and then nothing has changed; `ImportBusy`
    while another import writes; `LeaseLost` where one took over.
    """
    folder = Path(settings.DATA) / "tmp"
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="advisories-") as name,
        ExitStack() as stack,
    ):
        kind, file = archives.recognise(path, Path(name), stop=stop)
        if expected and kind not in expected:
            raise BadArchive(f"The file is {kind}, and {' or '.join(expected)} is expected.")
        spools = {
            member: stack.enter_context(spool.temporary(Path(name))) for member in _MEMBERS[kind]
        }
        _READERS[kind](file, spools, stop)
        # Only now: reading may take minutes, and nobody else has to wait for that.
        with lease.hold() as held:
            written = _write(spools, held, stop)
    for sentence in written.broken_names:
        log.warning("left out of the advisories: %s", sentence)
    return Result(kind, written)


def _write(spools: dict[str, Spool], held: Lease, stop: Stop) -> Written:
    writer = Writer(held)
    for member, records in spools.items():
        # What was too large for any reader never became a record, but is counted among the broken
        # ones.
        for error in records.broken:
            writer.written.note_broken(error)
        for batch in records.batches():
            stop()
            if member in _RECORDS:
                writer.write(_RECORDS[member], batch)
            else:
                # `map` decompresses one after the other: a document may have 16 MB, and a batch
                # several.
                _DOCUMENTS[member](map(decompress, batch), writer.written, held)
    return writer.written


def _read_bundle(path: Path, spools: dict[str, Spool], stop: Stop) -> None:
    bundle.read(path, spools, stop=stop)


def _read_osv(path: Path, spools: dict[str, Spool], stop: Stop) -> None:
    archives.read_osv_archive(path, spools[bundle.OSV], stop=stop)


def _read_nvd(path: Path, spools: dict[str, Spool], stop: Stop) -> None:
    archives.read_nvd(path, spools[bundle.NVD], stop=stop)


def _read_document(path: Path, spools: dict[str, Spool], _stop: Stop) -> None:
    (only,) = spools.values()
    only.add(archives.document(path))


def _write_mapping(texts: Iterable[bytes], written: Written, held: Lease) -> None:
    _write_names(texts, written, held, by_hand=False)


def _write_mapping_by_hand(texts: Iterable[bytes], written: Written, held: Lease) -> None:
    _write_names(texts, written, held, by_hand=True)


def _write_names(texts: Iterable[bytes], written: Written, held: Lease, *, by_hand: bool) -> None:
    for text in texts:
        try:
            names, broken = mapping.parse(text)
        except BadRecord as error:
            written.note_broken(error)
            continue
        for entry in broken:
            written.note_broken(entry)
        tables.write_mapping(names, written, held, by_hand=by_hand)


def _write_vex(texts: Iterable[bytes], written: Written, held: Lease) -> None:
    for text in texts:
        try:
            read = csaf.parse(text) if b'"csaf_version"' in text else openvex.parse(text)
        except BadRecord as error:
            written.note_broken(error)
            continue
        for statement in read.broken:
            written.note_broken(statement)
        tables.write_statements(read, written, held)


def _write_curations(texts: Iterable[bytes], written: Written, held: Lease) -> None:
    tables.write_curations(texts, written, held)


_VEX = "vex.json"
_RECORDS = {bundle.OSV: Source.OSV, bundle.NVD: Source.NVD}
_DOCUMENTS: dict[str, Callable[[Iterable[bytes], Written, Lease], None]] = {
    bundle.MAPPING: _write_mapping,
    bundle.BY_HAND: _write_mapping_by_hand,
    bundle.CURATIONS: _write_curations,
    _VEX: _write_vex,
}
_MEMBERS: dict[Kind, tuple[str, ...]] = {
    Kind.BUNDLE: bundle.MEMBERS,
    Kind.OSV_ARCHIVE: (bundle.OSV,),
    Kind.OSV_RECORD: (bundle.OSV,),
    Kind.NVD: (bundle.NVD,),
    Kind.MAPPING: (bundle.MAPPING,),
    Kind.OPENVEX: (_VEX,),
    Kind.CSAF: (_VEX,),
}
_READERS: dict[Kind, Callable[[Path, dict[str, Spool], Stop], None]] = {
    Kind.BUNDLE: _read_bundle,
    Kind.OSV_ARCHIVE: _read_osv,
    Kind.OSV_RECORD: _read_document,
    Kind.NVD: _read_nvd,
    Kind.MAPPING: _read_document,
    Kind.OPENVEX: _read_document,
    Kind.CSAF: _read_document,
}
