"""Roll a channel back: a new highest revision with the content of an older one, frozen there.

Built like any publication, under a number that nobody sees until one short transaction moves
the pointer, freezes the channel and writes the event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from channels import shards
from channels.errors import WrongState
from channels.lease import Heartbeat
from channels.leased_work import Ending, working_on
from channels.models import Channel, Package, Publication, Revision, Shard
from channels.package_rows import BATCH_NAMES, Listing
from channels.revision_builder import RevisionBuilder
from channels.services import record_event
from channels.states import ACTIVE, JobState
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.progress import never_stop
from history.models import EventType


def roll_back(channel: Channel, number: int, *, actor: str) -> Revision:
    """Show the content of revision `number` again under a new number, and freeze the channel."""
    publication = _take_over(channel)

    def end(ending: Ending) -> bool:
        mine = Publication.objects.filter(pk=publication.pk, fence=publication.fence)
        # One whose commit was made stays completed.
        unfinished = mine.exclude(state=JobState.COMPLETED)
        return bool(
            unfinished.update(state=ending.state, error=ending.error, ended_at=timezone.now())
        )

    with working_on(publication, end) as heartbeat:
        return _rebuild(publication, heartbeat, number, actor=actor)


def _take_over(channel: Channel) -> Publication:
    """The channel's publication, ours; one that is going loses its fence and writes no more."""
    now = timezone.now()
    try:
        with transaction.atomic():
            # Channel before publication, as whoever commits one locks them.
            Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
            going = Publication.objects.filter(channel=channel, state__in=ACTIVE)
            going.update(
                state=JobState.STOPPED, fence=F("fence") + 1, ended_at=now, error="rolled back"
            )
            publication = Publication.objects.create(
                channel=channel, requested_version=channel.published_version
            )
            # In the same transaction: no worker sees it pending and takes it first.
            publication.claim(state=JobState.RUNNING, started_at=now)
    except IntegrityError as error:
        raise WrongState(f"{channel.path} is being published; try again.") from error
    publication.channel = Channel.objects.select_related("parent").get(pk=channel.pk)
    return publication


def _rebuild(
    publication: Publication, heartbeat: Heartbeat, number: int, *, actor: str
) -> Revision:
    channel = publication.channel
    target = channel.revisions.filter(number=number).first()
    if target is None:
        raise _not_kept(channel, number)
    build = RevisionBuilder(publication, heartbeat, stop=never_stop)
    for family, section in _sections(channel, number):
        ecosystem = registry.of_family(family)
        build.section(
            ecosystem, section, _listings(channel, number, section, ecosystem), whole=True
        )
    _documents(build, number)
    with transaction.atomic():
        revision = build.commit(
            target.inputs, reason=f"Rolled back to revision {number}", rollback_of=number
        )
        # Clean-up forgets a revision first and its rows then, so all of them have been read.
        if revision is None or not channel.revisions.filter(number=number).exists():
            raise _not_kept(channel, number)
        Channel.objects.filter(pk=channel.pk).update(
            frozen_at=timezone.now(),
            frozen_by=actor,
            frozen_revision=number,
            # What today's judgement would change again is counted for the banner.
            requested_version=F("requested_version") + 1,
            pending_changes={},
            version=F("version") + 1,
        )
        record_event(
            EventType.CHANNEL_ROLLED_BACK,
            channel,
            actor,
            rolled_back_to=number,
            revision=revision.number,
        )
    return revision


def _not_kept(channel: Channel, number: int) -> WrongState:
    return WrongState(f"The revision {number} of {channel.path} is not kept any more.")


def _sections(channel: Channel, number: int) -> list[tuple[str, str]]:
    rows = Package.objects.filter(channel=channel)
    sections: set[tuple[str, str]] = set()
    # Today's as well: a section that the older revision did not have is emptied.
    for revision in (number, channel.current):
        there = rows.filter(added_in__lte=revision, removed_in__gt=revision)
        sections.update(there.order_by().values_list("family", "section").distinct())
    return sorted(sections)


def _listings(
    channel: Channel, number: int, section: str, ecosystem: Ecosystem
) -> Iterator[Listing]:
    """The section as it was; bodies are read only where they differ from today's."""
    current = dict(
        Package.objects.at(channel.current)
        .filter(channel=channel, section=section)
        .values_list("name", "shard_id")
    )
    rows = Package.objects.at(number).filter(channel=channel, section=section).order_by("name")
    batch: list[Package] = []
    for row in rows.iterator(chunk_size=BATCH_NAMES):
        batch.append(row)
        if len(batch) == BATCH_NAMES:
            yield from _batch(batch, current, ecosystem)
            batch = []
    yield from _batch(batch, current, ecosystem)


def _batch(
    rows: list[Package], current: Mapping[str, str | None], ecosystem: Ecosystem
) -> Iterator[Listing]:
    differing = [
        row for row in rows if row.name not in current or current[row.name] != row.shard_id
    ]
    stored = Shard.objects.in_bulk([row.shard_id for row in differing if row.shard_id])
    for row in rows:
        shard = stored.get(row.shard_id or "")
        body = shards.decompress(shard.body) if shard else b""
        yield Listing(
            name=row.name,
            body=body,
            filenames=list(ecosystem.entries(body)) if body else [],
            size=row.bytes,
            present=row.present,
            stale=row.stale,
            has_purls=row.has_purls,
            judge_again_at=row.judge_again_at,
            tally=row.tally,
            sources=row.sources,
            digest=row.shard_id or "",
        )


def _documents(build: RevisionBuilder, number: int) -> None:
    """The index files as they were; those that clean-up has taken are built again."""
    sections = build.documents.restore(number)
    listed = Package.objects.at(build.number).filter(channel=build.channel, shard__isnull=False)
    for family, section in sorted(listed.values_list("family", "section").distinct().order_by()):
        if section not in sections:
            build.documents.write(registry.of_family(family), section, {})
