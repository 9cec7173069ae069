"""Does a channel's publication: judge what changed, write it, show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from channels import blobs
from channels.errors import WrongState
from channels.lease import Heartbeat
from channels.leased_work import Ending, working_on
from channels.models import Channel, Document, Package, Publication
from channels.package_rows import Listing, next_judge_at
from channels.revision_builder import RevisionBuilder
from channels.states import ACTIVE, JobState
from ecosystems import registry
from ecosystems.progress import Progress, Stop, no_progress
from mirrors import run_control
from mirrors.models import Cause, Mirror, Run
from publishing import frozen_malware, optional_documents, tallies
from publishing.changed_packages import ChangedSection, changed_sections
from publishing.diff import compare
from publishing.inputs import Identity, Inputs, gather, on_demand, published_identity
from publishing.package_listings import listings

LONGEST_REASON = 200
"""As `Revision.reason` takes it."""

WAIT_SECONDS = 0.2
"""Between two looks at a publication that somebody else does."""


def publish(
    channel: Channel, *, stop: Stop, progress: Progress = no_progress, run: Run | None = None
) -> bool:
    """Do one publication of the channel if it wants one and nobody else does it.

    Of a frozen channel it is only counted what would change, and malware leaves. `run`: the one
    that it is done for. True if a publication was done (or tried) here.
    """
    publication = _claim(channel)
    if publication is None:
        return False

    def end(ending: Ending) -> bool:
        return _end(publication, ending.state, ending.error)

    # Frozen or deleted meanwhile: nothing is published, and nothing went wrong.
    with suppress(WrongState), working_on(publication, end) as heart:
        if publication.channel.frozen_at:
            removed = frozen_malware.remove_malware(publication, heart, stop=stop)
            _estimate(publication, removed=removed, stop=stop)
            if removed:
                tallies.recount(publication.channel)
        else:
            matured = _is_due(publication.channel)
            _build(publication, heart, stop=stop, progress=progress, run=run)
            tallies.recount(publication.channel)
            if matured:
                _fetch_matured(publication.channel)
    return True


def _is_due(channel: Channel) -> bool:
    """Whether files of the channel became old enough since it was judged."""
    rows = Package.objects.at(channel.current).filter(channel=channel)
    return rows.filter(judge_again_at__lte=timezone.now()).exists()


def _fetch_matured(channel: Channel) -> None:
    """Run active mirrors that have files to download now, without waiting for their schedule."""
    mirrors = Mirror.objects.filter(
        channel=channel, deleted_at=None, mode=Mirror.Mode.ACTIVE, counts__missing__gt=0
    )
    for mirror in mirrors.select_related("filter"):
        # One that is running downloads them, or its next run does.
        with suppress(WrongState):
            run_control.request_run(mirror, cause=Cause.AGE, actor="schedule")


def wants(channel: Channel) -> bool:
    """Whether there is something to do for the channel, as its row says now."""
    return wanting().filter(pk=channel.pk).exists()


def wanting() -> QuerySet[Channel]:
    """Channels to be published; frozen ones where what waits has not been counted."""
    todo = Q(frozen_at=None) | Q(estimated_version__lt=F("requested_version"))
    return Channel.objects.filter(
        todo, deleted_at=None, requested_version__gt=F("published_version")
    )


def _claim(channel: Channel) -> Publication | None:
    if not wants(channel):
        return None
    publication = Publication.objects.filter(channel=channel, state=JobState.PENDING).first()
    if publication is None:
        try:
            with transaction.atomic():
                publication = Publication.objects.create(channel=channel)
        # A unique constraint allows one unfinished publication of a channel: somebody else's is
        # it.
        except IntegrityError:
            return None
    if not publication.claim(state=JobState.RUNNING, started_at=timezone.now()):
        return None
    # Read after the claim: whatever was saved until now is judged, and whatever comes
    # later raises the channel's version beyond this.
    version = Channel.objects.values_list("requested_version", flat=True).get(pk=channel.pk)
    publication.write(requested_version=version)
    channels = Channel.objects.select_related("filter", "parent__filter")
    publication.channel = channels.get(pk=channel.pk)
    return publication


def _end(publication: Publication, state: JobState, error: str) -> bool:
    """Whether it was still ours to end. One whose commit was made stays completed.

    The channel still wants one that was stopped: the next round of the dispatcher begins it anew.
    """
    rows = Publication.objects.filter(
        pk=publication.pk, fence=publication.fence, state=JobState.RUNNING
    )
    fields = {"state": state, "error": error, "ended_at": timezone.now()}
    try:
        return bool(rows.update(**fields))
    except (OperationalError, InterfaceError):
        # The database may have ended the connection: over a new one it knows the row's state.
        connection.close()
        return bool(rows.update(**fields))


def _build(
    publication: Publication,
    heart: Heartbeat,
    *,
    stop: Stop,
    progress: Progress,
    run: Run | None,
) -> None:
    channel = publication.channel
    inputs, published = gather(channel), published_identity(channel)
    run = run or _covered_run(publication)
    build = RevisionBuilder(
        publication, heart, stop=stop, run=(run.mirror_id, run.pk) if run else None
    )
    sections = changed_sections(channel, inputs, published)
    count = _Count(progress, sum(len(section.names) for section in sections))
    for section in sections:
        _publish_section(build, inputs, published, section=section, count=count)
    reason = f"Run {run.number:,} of {run.mirror.name}" if run else "Published"
    build.commit(
        dict(optional_documents.identity(inputs, published)), reason=reason[:LONGEST_REASON]
    )


def _covered_run(publication: Publication) -> Run | None:
    """The run that this publication is for, whoever does it; None where that is not one."""
    channel = publication.channel
    runs = Run.objects.filter(mirror__channel=channel, state__in=ACTIVE)
    runs = runs.filter(
        requested_version__gt=channel.published_version,
        requested_version__lte=publication.requested_version,
    )
    # Two are enough to see that it is not one alone.
    covered = list(runs.select_related("mirror")[:2])
    return covered[0] if len(covered) == 1 else None


def _estimate(publication: Publication, *, removed: int, stop: Stop) -> None:
    """Count what a publication would change, and leave the channel as it is.

    `removed`: malware that left all the same.
    """
    channel = publication.channel
    sections = changed_sections(channel, gather(channel), published_identity(channel))
    difference = compare(
        channel,
        [
            (section.inputs, None if section.whole else section.names)
            for section in sections
            if section.section
        ],
        stop=stop,
        progress=no_progress,
        mirror_id=0,
        planning=False,
    )
    pending = {
        "added": difference.added,
        "replaced": difference.replaced,
        "removed": difference.removed,
        "malware": channel.pending_changes.get("malware", 0) + removed,
    }
    with transaction.atomic():
        # Fenced by the publication's own write: a worker that lost it changes no numbers.
        publication.write(state=JobState.COMPLETED, ended_at=timezone.now())
        Channel.objects.filter(pk=channel.pk).update(
            pending_changes=pending,
            estimated_version=publication.requested_version,
            next_judge_at=next_judge_at(channel, channel.current, after=timezone.now()),
        )


class _Count:
    """How many of all packages have been judged."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def over(self, listings: Iterable[Listing]) -> Iterator[Listing]:
        """The listings, counted as they pass."""
        for listing in listings:
            self._done += 1
            self._progress(self._done, self._total)
            yield listing


def _publish_section(
    build: RevisionBuilder,
    inputs: Inputs,
    published: Identity,
    *,
    section: ChangedSection,
    count: _Count,
) -> None:
    """Write a section's packages that changed, and its index files where they say something new."""
    ecosystem, name = section.inputs.ecosystem, section.section
    changed = False
    if section.whole or section.names:
        judged = count.over(listings(section.inputs, section.names, stop=build.stop))
        changed = build.section(ecosystem, name, judged, whole=section.whole)
    # Also while another type is looked at: the channel's root belongs to all of them.
    permanent = registry.at_root().permanent_sections
    if not section.inputs.sources and name not in permanent:
        build.documents.drop(name)
    elif changed or _documents_changed(build, inputs, published, name):
        with blobs.temporary_folder() as folder:
            files = optional_documents.files(inputs, published, name, folder, revision=build.number)
            build.documents.write(ecosystem, name, files)


def _documents_changed(
    build: RevisionBuilder, inputs: Inputs, published: Identity, section: str
) -> bool:
    """Whether a section's index files change although no package of it does."""
    served = Document.objects.at(build.channel.current).filter(
        channel=build.channel, section=section
    )
    if not served.exists() or (not section and build.changes.total):
        return True
    current = optional_documents.identity(inputs, published)
    optional = [
        optional_documents.section_identity(identity, section) for identity in (published, current)
    ]
    if optional[0] != optional[1]:
        return True
    # Names that are listed without their records: no change of records tells of them.
    snapshots = (mirror.snapshots.get(section) for mirror in inputs.mirrors)
    names_only = any(on_demand(snapshot) for snapshot in snapshots if snapshot is not None)
    # Advisories decide about files, never about a whole name.
    return names_only and {**published, "advisories": inputs.advisories} != inputs.identity()
