"""Build a channel's next revision and move its pointer to it.

A publication writes everything under a number that nobody sees yet, in small
fenced batches; then one short transaction shows it. What an abandoned one
left is undone before its number is given again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models import Count, Max, Sum
from django.utils import timezone

from channels import shards
from channels.batches import batched
from channels.errors import WrongState
from channels.lease import Heartbeat
from channels.models import (
    FOREVER,
    Channel,
    Document,
    Generation,
    Package,
    Publication,
    Revision,
    Shard,
)
from channels.package_rows import (
    BATCH_NAMES,
    IN_PLACE_FIELDS,
    Listing,
    batches,
    bodies_of,
    next_judge_at,
    package_row,
    shard_row,
    update_in_place,
)
from channels.revision_changes import Changes
from channels.revision_documents import RevisionDocuments
from channels.states import JobState
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.progress import Stop
from history.models import Event


class RevisionBuilder:
    """The rows and documents of one coming revision of a channel."""

    def __init__(
        self,
        publication: Publication,
        heartbeat: Heartbeat,
        *,
        stop: Stop,
        run: tuple[int, int] | None = None,
    ) -> None:
        """`run`: the ids of the mirror and the run that it is done for, if any."""
        self.publication = publication
        self.channel = publication.channel
        self.heartbeat = heartbeat
        self.stop = stop
        self.run = run
        self.changes = Changes()
        self._resized = False
        """Whether sizes of listed files are known that were not."""
        with transaction.atomic():
            undo_abandoned(self.channel)
            last = self.channel.revisions.aggregate(last=Max("number"))["last"] or 0
            self.number: int = last + 1
            # Checks the fence: one that lost it undoes nothing of what its successor wrote.
            self.publication.write(revision=self.number)
        self.documents = RevisionDocuments(publication, heartbeat, self.number, stop=stop)

    def section(
        self, ecosystem: Ecosystem, section: str, listings: Iterable[Listing], *, whole: bool
    ) -> bool:
        """Write a section's listings; True if what clients see of it changes.

        `whole`: `listings` are all there is, so a name that is not among them goes.
        """
        before = self.changes.total
        names: set[str] = set()
        for batch in batches(listings):
            self.stop()
            self.heartbeat.check()
            if whole:
                names.update(listing.name for listing in batch)
            self._write(ecosystem, section, batch)
        if whole:
            self._remove_others(ecosystem, section, names)
        return self.changes.total > before

    def commit(
        self,
        inputs: Mapping[str, object],
        *,
        reason: str,
        within_freeze: bool = False,
        rollback_of: int | None = None,
    ) -> Revision | None:
        """Show what was built: the one moment at which clients see a change.

        `inputs`: what was judged, as `Revision.inputs` has it. `within_freeze`: the channel is
        frozen, what waits goes on waiting, and so does the publication, which has to count it.
        `rollback_of`: the revision whose content this one has.

        None where nothing changed, so that no revision is needed. Raises
        `WrongState` where the channel was frozen or deleted meanwhile.
        """
        changed = bool(self.changes.total) or self.documents.changed
        # Sums over all packages take long, so they are made before the channel's row is locked.
        totals = self._totals() if changed or self._resized else {}
        if changed:
            self._write_events()
        with transaction.atomic():
            # A rollback may begin in a frozen channel, and it freezes every other.
            channel = self._locked_channel(frozen=None if rollback_of else within_freeze)
            revision, current = None, channel.current
            if changed or rollback_of:
                revision = self._create_revision(channel, inputs, reason, totals, rollback_of)
                current = self.number
                Generation.rise()
            else:
                _keep_tallies(channel, self.number)
                # Noted all the same, or the next publication would judge these inputs once more.
                channel.revisions.filter(number=current).update(inputs=inputs, **totals)
            self._move_pointer(channel, current, waits=within_freeze)
            ended = {"state": JobState.COMPLETED, "ended_at": timezone.now()}
            self.publication.write(**({} if within_freeze else ended), revision=None)
        self.channel.refresh_from_db()
        return revision

    def _move_pointer(self, channel: Channel, current: int, *, waits: bool) -> None:
        """Let clients get revision `current`; `waits`: what was asked for is still to be done."""
        version = self.publication.requested_version
        Channel.objects.filter(pk=channel.pk).update(
            current=current,
            next_judge_at=next_judge_at(channel, current),
            **({} if waits else {"published_version": version}),
        )

    def _locked_channel(self, *, frozen: bool | None) -> Channel:
        """The channel's row, locked; WrongState where it is deleted or not as `frozen` says."""
        # Without the key, or it would block whoever creates rows of the channel.
        rows = Channel.objects.select_for_update(no_key=True)
        channel = rows.get(pk=self.channel.pk)
        if channel.deleted_at or frozen not in (None, channel.frozen_at is not None):
            raise WrongState(f"The channel {channel.path} was frozen or deleted meanwhile.")
        return channel

    def _create_revision(
        self,
        channel: Channel,
        inputs: Mapping[str, object],
        reason: str,
        totals: Mapping[str, int],
        rollback_of: int | None,
    ) -> Revision:
        revision = Revision.objects.create(
            channel=channel,
            number=self.number,
            reason=reason,
            inputs=inputs,
            rollback_of=rollback_of,
            **self.changes.counts(),
            **totals,
        )
        retired = channel.revisions.filter(number=channel.current)
        retired.update(retired_at=timezone.now())
        return revision

    def _write(self, ecosystem: Ecosystem, section: str, batch: list[Listing]) -> None:
        rows = {
            row.name: row
            for row in Package.objects.at(self.channel.current).filter(
                channel=self.channel, section=section, name__in=[item.name for item in batch]
            )
        }
        fresh: list[tuple[Listing, Package | None]] = []
        update: list[Package] = []
        for item in batch:
            if item.body and not item.digest:
                item.digest = hashlib.sha256(item.body).hexdigest()
            row = rows.get(item.name)
            # Equal digests are equal records: clients would see no difference, so the row stays.
            if row is None or (row.shard_id or "") != item.digest:
                fresh.append((item, row))
                continue
            self._resized = self._resized or row.bytes != item.size
            if update_in_place(row, item):
                update.append(row)
        # Before the transaction, which has to be short: SQLite has one writer at a time.
        bodies = bodies_of([row for _, row in fresh if row])
        for item, row in fresh:
            old = bodies.get(row.shard_id or "", b"") if row else b""
            self.changes.compare(ecosystem, item.name, item.filenames, item.body, old)
        with transaction.atomic():
            # First in each batch: it checks the fence, and locks the row until the batch is in.
            self.publication.write(revision=self.number)
            new_shards = self._new_shards(ecosystem, [item for item, _ in fresh if item.body])
            # Another channel may publish the same shard at this moment.
            Shard.objects.bulk_create(new_shards, ignore_conflicts=True)
            Package.objects.bulk_update(update, IN_PLACE_FIELDS)
            gone = [row.pk for _, row in fresh if row is not None]
            Package.objects.filter(pk__in=gone).update(removed_in=self.number)
            Package.objects.bulk_create(
                [
                    package_row(self.channel, ecosystem.family, section, item, added_in=self.number)
                    for item, _ in fresh
                ]
            )

    def _new_shards(self, ecosystem: Ecosystem, items: list[Listing]) -> list[Shard]:
        # Locked, so that clean-up takes none of them before a package points at it.
        stored = Shard.objects.select_for_update(no_key=True).order_by("pk")
        stored = stored.filter(pk__in=[item.digest for item in items])
        digests = set(stored.values_list("pk", flat=True))
        rows = []
        for item in items:
            if item.digest not in digests:
                digests.add(item.digest)
                body = item.packed or shards.compress(item.body)
                rows.append(shard_row(ecosystem, item, body))
        return rows

    def _remove_others(self, ecosystem: Ecosystem, section: str, names: set[str]) -> None:
        """Remove the section's packages that are not among `names`."""
        rows = Package.objects.at(self.channel.current).filter(
            channel=self.channel, section=section, removed_in=FOREVER
        )
        gone = [pk for pk, name in rows.values_list("pk", "name") if name not in names]
        for ids in batched(gone, BATCH_NAMES):
            batch = rows.filter(pk__in=ids)
            bodies = bodies_of(batch)
            for row in batch:
                old = bodies.get(row.shard_id or "", b"")
                self.changes.compare(ecosystem, row.name, [], b"", old)
            with transaction.atomic():
                self.publication.write(revision=self.number)
                batch.update(removed_in=self.number)

    def _totals(self) -> dict[str, int]:
        rows = Package.objects.at(self.number).filter(channel=self.channel, shard__isnull=False)
        sums = rows.aggregate(
            files=Sum("files"), bytes=Sum("bytes"), packages=Count("name", distinct=True)
        )
        return {key: value or 0 for key, value in sums.items()}

    def _write_events(self) -> None:
        events = self.changes.events(
            channel=self.channel, number=self.number, old=self.channel.current, run=self.run
        )
        for batch in batched(events):
            self.heartbeat.check()
            with transaction.atomic():
                self.publication.write(revision=self.number)
                Event.objects.bulk_create(batch)


def undo_abandoned(channel: Channel) -> None:
    """Remove what an abandoned publication wrote ahead of the pointer."""
    last = channel.revisions.aggregate(last=Max("number"))["last"] or 0
    for model in (Package, Document):
        rows = model.objects.filter(channel=channel)
        rows.filter(added_in__gt=last).delete()
        rows.filter(removed_in__gt=last, removed_in__lt=FOREVER).update(removed_in=FOREVER)
    Event.objects.filter(channel_id=channel.pk, revision__gt=last).delete()


def _keep_tallies(channel: Channel, number: int) -> None:
    """Nothing listed changed: rows that only count belong to the current revision."""
    rows = Package.objects.filter(channel=channel, shard=None)
    rows.filter(removed_in=number).delete()
    rows.filter(added_in=number).update(added_in=channel.current)


def publish_first_revision(channel: Channel) -> Revision:
    """Revision 1: an empty `noarch`, so that clients find a channel at once."""
    publication = Publication.objects.create(
        channel=channel, state=JobState.RUNNING, requested_version=0
    )
    # The heartbeat is not started: all of this is one short transaction, which nobody takes over.
    build = RevisionBuilder(publication, Heartbeat(publication), stop=lambda: None)
    root = registry.at_root()
    for section in root.permanent_sections:
        build.documents.write(root, section, {})
    revision = build.commit({}, reason="Channel created")
    if revision is None:
        raise WrongState("The channel has been published before.")
    return revision
