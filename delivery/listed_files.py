"""Finds the file that an address means in a revision of a channel, and its bytes.

The rule: a file is found through the records that a revision lists, never by its name alone;
and one that a rule refuses now is not found at any address, freeze apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.db.models import Min, QuerySet
from django.utils import timezone

from channels import blobs, pins
from channels.access import audience, effective_privacy
from channels.errors import Missing
from channels.file_sources import file_source_id_of
from channels.models import Blob, Channel, Package
from delivery import shard_files
from delivery.prepared_queries import Prepared
from delivery.ranges import http_date
from delivery.responses import Entity, Item
from ecosystems.memo import Sized
from publishing import explain

SECTIONS_MEMORY = 1024 * 1024
"""Bytes that a process remembers of which sections have packages."""
_SECTION_BYTES = 400


class UnknownPackage(Missing):
    """The section has packages, and has had none of this name in any revision."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file as a channel lists it."""

    channel: Channel
    package: Package
    filename: str
    sha256: str
    md5: str
    size: int
    address: str
    checksum: str
    """These as in `Record`."""
    private: bool
    pinned: bool = False
    """The index has no hash of it: `sha256` is that of the bytes that came first."""
    lasting: bool = True
    """Whether the answer holds until the generation rises."""

    @property
    def item(self) -> Item:
        """The file as downloads are counted by."""
        return Item(self.channel.pk, self.package.section, self.filename, self.package.name)


def find(channel: Channel, section: str, filename: str, *, name: str, number: int) -> ListedFile:
    """The file that revision `number` lists, or that was current not long ago.

    `name` is its package's. Rules are asked again for what is not in the current revision, and
    for all while a change waits for its publication; a frozen channel waits for none.
    """
    rows = _rows_of_name(channel.pk, section, name, channel.current)
    # Where the section is empty, the rules may still say why: its mirror may exclude everything.
    if not rows and _has_packages(channel, section):
        raise unknown_package(channel, section, filename)
    current = _in_rows(channel, _visible(rows, channel.current), filename)
    listed = current
    if number != channel.current:
        listed = _in_rows(channel, _visible(rows, number), filename)
    elif current is None:
        # Clients install by an index that they fetched before the channel changed.
        listed = _recently_listed(channel, rows, filename)
    # Publishing judges what the current revision lists. Anything else, and everything while a
    # saved change is not published yet, could slip through a rule that is older than the request.
    judged = current is None or (
        not channel.frozen_at and channel.requested_version > channel.published_version
    )
    verdict = explain.verdict(channel, section, filename) if judged else None
    if listed is None or (verdict is not None and verdict.refused):
        sentences = [] if verdict and verdict.refused else [_no_file(channel, section, filename)]
        sentences += [verdict.message] if verdict else []
        raise Missing(" ".join(sentences), lasting=verdict is None)
    listed = _with_pin(listed)
    return replace(listed, lasting=False) if judged else listed


def unknown_package(channel: Channel, section: str, filename: str) -> UnknownPackage:
    """For a file of a package that the section has never had: rules say nothing of it either."""
    return UnknownPackage(_no_file(channel, section, filename))


def sibling(listed: ListedFile, filename: str) -> ListedFile | None:
    """Another file of the same package, as the same revision lists it."""
    entry = shard_files.SHARED.of(listed.package).get(filename)
    if entry is None:
        return None
    sha256, md5, size, address, checksum = entry
    return replace(
        listed,
        filename=filename,
        sha256=sha256,
        md5=md5,
        size=size,
        address=address,
        checksum=checksum,
        pinned=False,
    )


def _with_pin(listed: ListedFile) -> ListedFile:
    """With the SHA-256 of its first bytes, where the index has none and they have come."""
    if listed.sha256 or listed.md5:
        return listed
    file_source_id = file_source_id_of(listed.package.sources, listed.filename)
    if file_source_id is None:
        return listed
    hashes = pins.pinned_hashes([(file_source_id, listed.filename, listed.checksum)])
    pinned = bool(hashes) and not listed.checksum
    return replace(listed, sha256=next(iter(hashes.values()), ""), pinned=pinned)


def stored_blob(listed: ListedFile) -> Blob | None:
    """The file's bytes, if they are stored and came for this channel, or for all its readers."""
    # The pin anew: a file without a hash may have come since it was found.
    listed = _with_pin(listed)
    readers = audience(listed.channel)
    if listed.sha256:
        rows = _readable(listed.sha256, readers.channel_id, readers.required_openness)
        return next(iter(rows), None)
    return _by_md5(listed, blobs.readable_by(readers))


_readable = Prepared(
    lambda sha256, channel, openness: blobs.readable_by(blobs.Audience(channel, openness)).filter(
        sha256=sha256
    ),
    str, int, int,
)  # fmt: skip


def unproven_blob(listed: ListedFile) -> Blob | None:
    """Bytes of this hash, whoever brought them: for nobody before the source has proved them."""
    listed = _with_pin(listed)
    rows = Blob.objects.filter(file=True, deleting=False)
    if listed.sha256:
        return rows.filter(sha256=listed.sha256).first()
    return _by_md5(listed, rows)


def _by_md5(listed: ListedFile, rows: QuerySet[Blob]) -> Blob | None:
    return rows.filter(md5=listed.md5).first() if listed.md5 else None


def expected_entity(listed: ListedFile, age: str) -> Entity:
    """What the index says of a file whose bytes are not stored yet."""
    # Without Last-Modified: that is when the bytes came. A hash is the ETag that the stored file
    # will have, so that a client's copy stays valid.
    return Entity(
        etag=f'"{listed.sha256 or listed.md5 or listed.checksum or listed.filename}"',
        size=listed.size,
        media_type="application/octet-stream",
        age=age,
        private=listed.private,
        item=listed.item,
    )


def stored_entity(listed: ListedFile, blob: Blob, age: str) -> Entity:
    """The file with its stored bytes."""
    return Entity(
        etag=f'"{blob.sha256}"',
        size=blob.size,
        media_type="application/octet-stream",
        age=age,
        private=listed.private,
        path=blobs.path(blob.sha256),
        modified=http_date(blob.created_at.timestamp()),
        item=listed.item,
    )


# Every row of a name that was ever visible up to a revision, the newest first. All of them at once:
# one query answers for the current revision, an older one, and the recent ones.
_rows_of_name = Prepared(
    lambda channel, section, name, number: (
        Package.objects.filter(
            channel=channel, section=section, name=name, added_in__lte=number
        )
        .defer("tally")
        .order_by("-added_in")
    ),
    int, str, str, int,
)  # fmt: skip
_any_package = Prepared(
    lambda channel, section: (
        Package.objects.filter(channel=channel, section=section).only("pk")[:1]
    ),
    int, str,
)  # fmt: skip


_filled_sections: Sized[bool] = Sized(SECTIONS_MEMORY)
"""The sections of a channel's revisions that have packages."""


def _has_packages(channel: Channel, section: str) -> bool:
    """Whether the channel has any package in the section, or had one."""
    key = (channel.pk, channel.current, section)
    if _filled_sections.items.get(key):
        return True
    # An empty section is not remembered: the build of the next revision may add to it.
    has_any = bool(_any_package(channel.pk, section))
    if has_any:
        _filled_sections.put(key, has_any, _SECTION_BYTES)
    return has_any


def _visible(rows: list[Package], number: int) -> list[Package]:
    return [row for row in rows if row.added_in <= number < row.removed_in]


def _in_rows(channel: Channel, rows: list[Package], filename: str) -> ListedFile | None:
    """The file in the first of these rows that lists it."""
    for package in rows:
        entry = shard_files.SHARED.of(package).get(filename)
        if entry is not None:
            private = effective_privacy(channel) != Channel.Privacy.PUBLIC
            return ListedFile(channel, package, filename, *entry, private)
    return None


def _recently_listed(channel: Channel, rows: list[Package], filename: str) -> ListedFile | None:
    """The file in a revision that was current within the last `KEEP_HOURS`."""
    if not rows:
        return None
    since = timezone.now() - timedelta(hours=settings.KEEP_HOURS)
    recent = channel.revisions.filter(retired_at__gt=since, number__lt=channel.current)
    oldest = recent.aggregate(oldest=Min("number"))["oldest"]
    if oldest is None:
        return None
    return _in_rows(channel, [row for row in rows if row.removed_in > oldest], filename)


def _no_file(channel: Channel, section: str, filename: str) -> str:
    return f"There is no {filename} in {section} of the channel {channel.path}."
