"""What the end of a fetch changes in the database: the file is stored, or it is refused.

Each end is one transaction with the deletion of the `Fetch` row. Whoever sees no row finds either
the file or the reason why it did not come.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F

from channels import blobs, companions, pins
from channels.access import audience
from channels.lease import Fenced
from channels.models import Blob, Fetch, Package, UnavailableFile
from delivery.listed_files import ListedFile
from delivery.on_demand import refusals
from delivery.on_demand.request import FetchRequest, file_source_of
from ecosystems import registry
from ecosystems.upstream import Digest, UpstreamError
from history.models import EventType, record


def store(
    request: FetchRequest, row: Fetch, digest: Digest, *, also: Sequence[Digest] = ()
) -> None:
    """Register the file for all channels that it came through, with what it holds (`also`).

    Raises `Fenced`.
    """
    with transaction.atomic():
        end(row)
        blobs.register(
            [
                Blob(sha256=stored.sha256, md5=stored.md5, size=stored.size, file=True)
                for stored in (digest, *also)
            ],
            [audience(claim.channel) for claim in request.claims],
        )
        for claim in request.claims:
            mark_stale(claim)
            if claim.size < 0:
                _add_size(claim, digest.size)
            if not claim.sha256 and not claim.md5:
                pins.add_pin(file_source_of(claim), claim, digest)
            _record_event(EventType.ARTIFACT_GENERATED, claim, bytes=digest.size)


def refuse(request: FetchRequest, row: Fetch, error: Exception) -> None:
    """Remember that the file did not come, and why. Raises `Fenced`."""
    with transaction.atomic():
        end(row)
        if isinstance(error, UpstreamError):
            _withhold_companion(request, str(error))
        if refusals.is_held(request, error):
            message = refusals.describe(request, error)[1]
            for claim in request.claims:
                _record_event(EventType.ARTIFACT_HELD, claim, message=message)
        refusals.remember(request, error)


def end(row: Fetch) -> None:
    """Delete the row, if this process still owns it; else raise `Fenced`."""
    if not Fetch.objects.filter(pk=row.pk, fence=row.fence).delete()[0]:
        raise Fenced(f"fetch {row.pk} has another owner")


def mark_stale(listed: ListedFile) -> None:
    """Have the package judged again: more of its files are here than its row says."""
    package = listed.package
    rows = Package.objects.at(listed.channel.current).filter(
        channel=listed.channel, section=package.section, name=package.name, stale=False
    )
    # Most are marked already, by the file before: a read does not wait for a writer.
    if rows.exists():
        rows.update(stale=True)


def main_file(listed: ListedFile) -> str:
    """The file that this companion (a wheel's metadata) goes with; "" for any other file."""
    return registry.of_family(listed.package.family).main_file(listed.filename)


def _withhold_companion(request: FetchRequest, message: str) -> None:
    """List a package's file without the companion that failed, from the next publication on.

    Clients do without it: they read the metadata out of the wheel (PEP 658).
    """
    for claim in request.claims:
        filename = main_file(claim)
        if not filename:
            return
        companions.record_unavailable(
            [
                UnavailableFile(
                    file_source=file_source_of(claim),
                    section=claim.package.section,
                    name=claim.package.name,
                    filename=filename,
                    sha256=claim.sha256,
                    message=message,
                )
            ]
        )
        mark_stale(claim)
        claim.channel.request_publication()


def _add_size(listed: ListedFile, size: int) -> None:
    """Count what no index states; whoever judges the package next counts it anew."""
    channel, package = listed.channel, listed.package
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=package.section, name=package.name, shard__isnull=False
    )
    if rows.update(bytes=F("bytes") + size):
        channel.revisions.filter(number=channel.current).update(bytes=F("bytes") + size)


def _record_event(event: EventType, claim: ListedFile, **meta: str | int) -> None:
    package = claim.package
    record(
        event,
        channel_id=claim.channel.pk,
        family=package.family,
        data={
            "artifact_family": package.family,
            "name": package.name,
            "section": package.section,
            "ckey": registry.of_family(package.family).file_key(
                package.section, package.name, claim.filename
            ),
            "channel": claim.channel.path,
        },
        meta={"files": [claim.filename], **meta},
    )
