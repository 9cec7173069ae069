"""Asks again, in each run, for companions that could not be had (see `channels.companions`)."""

from __future__ import annotations

from django.db import transaction

from channels import access, blobs, companions, file_sources
from channels.models import Blob, FileSource, Package, UnavailableFile
from delivery.on_demand import blocking
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.records import Record
from ecosystems.upstream import Client, Digest, TooSlow, UpstreamError, optional
from mirrors.models import Snapshot
from publishing.inputs import records
from runs.context import RunContext

MOST = 200
"""So many are asked for again in one run, those first that were tried longest ago."""
MOST_SILENT = 3
"""After so many that did not answer in time, the others are left to the next run."""


def retry(context: RunContext) -> bool:
    """Ask again for what could not be had; whether there is something to publish."""
    mirror = context.run.mirror
    snapshots = {
        snapshot.file_source_id: snapshot
        for snapshot in Snapshot.objects.filter(accepted__mirror=mirror)
    }
    rows = UnavailableFile.objects.filter(file_source__in=snapshots).select_related(
        "file_source__channel"
    )
    silent, came = 0, False
    for row in rows.order_by("tried")[:MOST]:
        context.check()
        snapshot = snapshots[row.file_source_id]
        record = _record(registry.get(mirror.kind), row, snapshot)
        try:
            digest = None if record is None else _fetch(context, row, record)
        except UpstreamError as error:
            silent += isinstance(error, TooSlow)
            row.message = str(error)
            # Every save sets `tried`: in the next run others come first.
            row.save(update_fields=["message", "tried"])
            if silent >= MOST_SILENT:
                break
        else:
            came = True
            _settle(context, row, digest)
    return came


def _record(ecosystem: Ecosystem, row: UnavailableFile, snapshot: Snapshot) -> Record | None:
    """The file that the companion belongs to; None where the index no longer says so."""
    pack = records(snapshot, [row.name])
    if row.section != snapshot.section or row.name not in pack.names():
        return None
    listed = ecosystem.records(pack.read(row.name), section=row.section, name=row.name)
    for record in listed:
        if isinstance(record, Record) and record.filename == row.filename and record.companions:
            return record if record.companions[0].sha256 == row.sha256 else None
    return None


def _fetch(context: RunContext, row: UnavailableFile, record: Record) -> Digest:
    """Take the companion out of its file, where that is here; else ask its source."""
    companion, source = record.companions[0], row.file_source
    extracted = companions.extract(
        record.sha256,
        companion.filename,
        companion.sha256,
        family=registry.get(context.run.mirror.kind).family,
        purpose=f"run{context.run.pk}",
    )
    if extracted is not None:
        return extracted
    if source.is_local:
        return blocking.fetch_from_channel(
            source, row.section, companion.filename, name=row.name, stop=context.check
        )
    with file_sources.client_of(source) as client:
        return _download(context, client, source, row.section, companion)


def _download(
    context: RunContext, client: Client, source: FileSource, section: str, companion: Record
) -> Digest:
    temp = blobs.temporary_path(f"run{context.run.pk}")
    try:
        digest = file_sources.download(
            client,
            source,
            temp,
            section=section,
            file=companion,
            stop=context.check,
            patience=optional.PATIENCE,
        )
        blobs.commit(temp, digest.sha256, digest.size)
        return digest
    finally:
        temp.unlink(missing_ok=True)


def _settle(context: RunContext, row: UnavailableFile, digest: Digest | None) -> None:
    """It came, or nobody asks for it any more: the package is judged again."""
    channel = context.channel()
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=row.section, name=row.name
    )
    with transaction.atomic():
        # Changes nothing; raises `Fenced` where another owner has the run by now.
        context.run.write(owner=context.run.owner)
        if digest is not None:
            blob = Blob(sha256=digest.sha256, md5=digest.md5, size=digest.size, file=True)
            blobs.register([blob], [access.audience(channel)])
        # The publication would not look at it again, because the snapshot has not changed.
        rows.update(stale=True)
        row.delete()
