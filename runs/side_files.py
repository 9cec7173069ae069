"""What a run does about small files that could not be had (see `channels.side_files`)."""

from __future__ import annotations

from django.db import transaction

from channels import access, blobs, file_sources, side_files
from channels.models import Blob, Channel, FileSource, Package, UnavailableFile
from delivery import on_demand
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.records import Record
from ecosystems.upstream import Client, Digest, TooSlow, UpstreamError, optional
from mirrors.models import Snapshot
from publishing.inputs import records
from runs.context import Work

MOST = 200
"""So many are asked for again in one run, those first that were tried longest ago."""
MOST_SILENT = 3


def retry(work: Work) -> bool:
    """Ask again for what could not be had; whether there is something to publish."""
    mirror = work.run.mirror
    snapshots = {
        one.file_source_id: one for one in Snapshot.objects.filter(accepted__mirror=mirror)
    }
    rows = UnavailableFile.objects.filter(file_source__in=snapshots).select_related(
        "file_source__channel"
    )
    silent, came = 0, False
    for row in rows.order_by("tried")[:MOST]:
        work.check()
        snapshot = snapshots[row.file_source_id]
        record = _record(registry.get(mirror.kind), row, snapshot)
        try:
            digest = None if record is None else _bring(work, row, record)
        except UpstreamError as error:
            silent += isinstance(error, TooSlow)
            row.message = str(error)
            row.save(update_fields=["message", "tried"])
            if silent >= MOST_SILENT:
                break
        else:
            came = True
            _settle(work, row, digest)
    return came


def _record(ecosystem: Ecosystem, row: UnavailableFile, snapshot: Snapshot) -> Record | None:
    """The file that it goes with; None where the index no longer says so."""
    pack = records(snapshot, [row.name])
    if row.section != snapshot.section or row.name not in pack.names():
        return None
    listed = ecosystem.records(pack.read(row.name), section=row.section, name=row.name)
    for one in listed:
        if isinstance(one, Record) and one.filename == row.filename and one.companions:
            return one if one.companions[0].sha256 == row.sha256 else None
    return None


def _bring(work: Work, row: UnavailableFile, record: Record) -> Digest:
    file = record.companions[0]
    known = side_files.out_of(
        record.sha256,
        file.filename,
        file.sha256,
        family=registry.get(work.run.mirror.kind).family,
        purpose=f"run{work.run.pk}",
    )
    if known is not None:
        return known
    if row.file_source.channel_id is not None:
        return on_demand.local(
            row.file_source, row.section, file.filename, name=row.name, stop=work.check
        )
    with file_sources.client(row.file_source) as client:
        return _fetched(work, client, row.file_source, row.section, file)


def _fetched(work: Work, client: Client, origin: FileSource, section: str, file: Record) -> Digest:
    temp = blobs.temporary(f"run{work.run.pk}")
    try:
        digest = file_sources.download(
            client,
            origin,
            temp,
            section=section,
            file=file,
            stop=work.check,
            patience=optional.PATIENCE,
        )
        blobs.settle(temp, digest.sha256, digest.size)
        return digest
    finally:
        temp.unlink(missing_ok=True)


def _settle(work: Work, row: UnavailableFile, digest: Digest | None) -> None:
    """It came, or nobody asks for it any more: the package is judged again."""
    channel = Channel.objects.get(pk=work.run.mirror.channel_id)
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=row.section, name=row.name
    )
    with transaction.atomic():
        work.run.write(owner=work.run.owner)
        if digest is not None:
            blob = Blob(sha256=digest.sha256, md5=digest.md5, size=digest.size, file=True)
            blobs.register([blob], [access.audience(channel)])
        rows.update(stale=True)
        row.delete()
