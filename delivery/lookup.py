"""Finds what an address names in a revision of a channel.

The rule: a file is found through the records that a revision lists, never by its name alone;
and one that a rule refuses now is not found at any address, freeze apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Min, QuerySet
from django.utils import timezone

from channels import blobs, pins, shards
from channels.access import audience, effective_privacy
from channels.errors import Missing
from channels.file_sources import file_source_id_of
from channels.models import Blob, Channel, Document, Package, Shard
from delivery import paths
from delivery.paths import Address
from delivery.prepared_queries import Prepared
from delivery.ranges import http_date
from delivery.responses import FOREVER_AGE, INDEX_AGE, Entity, Item
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.documents import Location
from ecosystems.memo import Sized
from ecosystems.records import Record
from publishing import explain

REMEMBERED_RECORDS = 48 * 1024 * 1024
REMEMBERED_SECTIONS = 1024 * 1024
TOLD_BYTES = 400
"""What a file of `Records` weighs beside its texts."""


class Unnamed(Missing):
    """The section has packages, and has had none of this name in any revision."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as a channel lists it."""

    channel: Channel
    package: Package
    filename: str
    sha256: str
    md5: str
    size: int
    address: str
    """As in `Record`."""
    private: bool
    pinned: bool = False
    """The index has no hash of it: `sha256` is that of the bytes that came first."""
    lasting: bool = True
    """Whether the answer holds until the generation rises."""

    @property
    def item(self) -> Item:
        return Item(self.channel.pk, self.package.section, self.filename, self.package.name)


Told = tuple[str, str, int, str]
"""sha256, md5, size and address of a file."""


class Records:
    """What the last used shards tell of their files, by file name. Shards are immutable."""

    def __init__(self, most: int) -> None:
        self._shards: Sized[dict[str, Told]] = Sized(most)

    def of(self, package: Package) -> dict[str, Told]:
        """The files of the package's shard, those beside them included."""
        key = package.shard_id
        if key is None:
            return {}
        return self._shards.get(
            key, lambda: _read(package, key), lambda found: sum(map(_weight, found.items()))
        )


def _weight(item: tuple[str, Told]) -> int:
    filename, (sha256, md5, _, address) = item
    return TOLD_BYTES + len(filename) + len(sha256) + len(md5) + len(address)


_records = Records(REMEMBERED_RECORDS)
_shard = Prepared(lambda sha256: Shard.objects.filter(pk=sha256).only("body"), str)


def _read(package: Package, key: str) -> dict[str, Told]:
    (shard,) = _shard(key)
    plain = shards.decompress(shard.body)
    ecosystem = registry.of_family(package.family)
    records = ecosystem.records(plain, section=package.section, name=package.name)
    return {
        one.filename: (one.sha256, one.md5, one.size, one.address)
        for record in records
        if isinstance(record, Record)
        for one in (record, *record.companions)
    }


def revision(channel: Channel, text: str) -> int:
    """The number that `r<number>`, a date or "" names."""
    if not text:
        return channel.current
    if text.startswith("r"):
        number = int(text[1:])
        if not channel.revisions.filter(number=number, number__lte=channel.current).exists():
            raise Missing(
                f"The channel {channel.path} has no revision {number}, or keeps it no longer."
            )
        return number
    return _at_end_of(channel, text)


def _at_end_of(channel: Channel, text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Missing(f"There is no day {text}.") from None
    if day > timezone.now().date():
        raise Missing(f"The day {text} is still to come.", lasting=False)
    end = datetime.combine(day, time(), UTC) + timedelta(days=1)
    found = channel.revisions.filter(created_at__lt=end).order_by("-number").first()
    if found is None:
        raise Missing(f"The channel {channel.path} has no revision of {text} or before.")
    if found.retired_at is not None and found.retired_at < end:
        raise Missing(f"The channel {channel.path} no longer keeps its state of {text}.")
    return found.number


def index(channel: Channel, address: Address, number: int, *, vary: str = "") -> Entity:
    """A document, or the constant that stands for one that is always there."""
    document = (
        Document.objects.at(number)
        .filter(channel=channel, section=address.section, name=address.filename)
        .select_related("blob")
        .first()
    )
    private = effective_privacy(channel) != Channel.Privacy.PUBLIC
    if document is not None:
        return Entity(
            etag=document.etag,
            size=document.size,
            media_type=document.media_type,
            age=INDEX_AGE,
            private=private,
            path=blobs.path(document.blob_id),
            packed=document.packed,
            stored=document.blob.size,
            modified=http_date(document.blob.created_at.timestamp()),
            vary=vary,
        )
    constant = paths.AT_ROOT.default_document(address.section, address.filename)
    if constant is not None and not address.prefix:
        etag = f'"{address.filename.partition(".")[0]}-empty"'
        return Entity(etag, len(constant), "application/json", INDEX_AGE, private, body=constant)
    raise Missing(_no_index(channel, address))


def _no_index(channel: Channel, address: Address) -> str:
    where = f"{address.section} of the channel {channel.path}" if address.section else channel.path
    return f"There is no {address.filename} in {where}."


def page(
    channel: Channel, spot: Location, number: int, *, ecosystem: Ecosystem, form: str
) -> Entity:
    """A package's own index page, made of the served form of its shard."""
    rows = Package.objects.at(number).filter(
        channel=channel, section=spot.section, name=spot.name, shard__isnull=False
    )
    shard = rows.values_list("shard__served", "shard__served_sha256").first()
    if shard is None:
        raise Missing(f"The channel {channel.path} lists no package {spot.name}.")
    made = ecosystem.page(bytes(shard[0]), shard[1], form)
    return Entity(
        etag=made.etag,
        size=len(made.body),
        media_type=made.media_type,
        age=INDEX_AGE,
        private=effective_privacy(channel) != Channel.Privacy.PUBLIC,
        body=made.body,
        vary="Accept" if form else "",
    )


def shard(channel: Channel, address: Address) -> Entity:
    """A shard that any revision of the channel points at, superseded ones included."""
    digest = paths.AT_ROOT.shard_digest(address.filename)
    packages = Package.objects.filter(
        channel=channel, section=address.section, added_in__lte=channel.current
    )
    listed = packages.filter(shard__served_sha256=digest).select_related("shard")
    package = listed.first() if digest else None
    if package is None or package.shard is None:
        raise Missing(_no_index(channel, address))
    body = bytes(package.shard.served)
    return Entity(
        etag=f'"{digest}"',
        size=len(body),
        media_type="application/zstd",
        age=FOREVER_AGE,
        private=effective_privacy(channel) != Channel.Privacy.PUBLIC,
        body=body,
    )


def file(channel: Channel, section: str, filename: str, *, name: str, number: int) -> Listed:
    """The file that revision `number` lists, or that was current not long ago.

    `name` is its package's. Rules are asked again for what is not in the current revision, and
    for all while a change waits for its publication; a frozen channel waits for none.
    """
    rows = _rows(channel, section, name)
    if not rows and _lists_any(channel, section):
        raise unnamed(channel, section, filename)
    now = _listed(channel, _at(rows, channel.current), filename)
    listed = now
    if number != channel.current:
        listed = _listed(channel, _at(rows, number), filename)
    elif now is None:
        listed = _lately(channel, rows, filename)
    judged = now is None or (
        not channel.frozen_at and channel.requested_version > channel.published_version
    )
    verdict = explain.verdict(channel, section, filename) if judged else None
    if listed is None or (verdict is not None and verdict.refused):
        words = [] if verdict and verdict.refused else [_no_file(channel, section, filename)]
        words += [verdict.message] if verdict else []
        raise Missing(" ".join(words), lasting=verdict is None)
    listed = _pinned(listed)
    return replace(listed, lasting=False) if judged else listed


def unnamed(channel: Channel, section: str, filename: str) -> Unnamed:
    """For a file of a package that the section has never had: rules say nothing of it either."""
    return Unnamed(_no_file(channel, section, filename))


def sibling(listed: Listed, filename: str) -> Listed | None:
    """Another file of the same package, as the same revision lists it."""
    told = _records.of(listed.package).get(filename)
    if told is None:
        return None
    sha256, md5, size, address = told
    return replace(
        listed, filename=filename, sha256=sha256, md5=md5, size=size, address=address, pinned=False
    )


def _pinned(listed: Listed) -> Listed:
    """With the hash of its first bytes, where the index has none and they have come."""
    if listed.sha256 or listed.md5:
        return listed
    origin = file_source_id_of(listed.package.sources, listed.filename)
    if origin is None:
        return listed
    found = pins.pinned_hashes([(origin, listed.filename)])
    return replace(listed, sha256=next(iter(found.values()), ""), pinned=bool(found))


def here(listed: Listed) -> Blob | None:
    """The file's bytes, if they are here and came for this channel, or for all its readers."""
    listed = _pinned(listed)
    whose = audience(listed.channel)
    if listed.sha256:
        rows = _servable(listed.sha256, whose.channel_id, whose.required_openness)
        return next(iter(rows), None)
    return _by_md5(listed, blobs.readable_by(whose))


_servable = Prepared(
    lambda sha256, channel, needed: blobs.readable_by(blobs.Audience(channel, needed)).filter(
        sha256=sha256
    ),
    str, int, int,
)  # fmt: skip


def unproven(listed: Listed) -> Blob | None:
    """Bytes of this hash, whoever brought them: for nobody before the source has proved them."""
    listed = _pinned(listed)
    rows = Blob.objects.filter(file=True, deleting=False)
    if listed.sha256:
        return rows.filter(sha256=listed.sha256).first()
    return _by_md5(listed, rows)


def _by_md5(listed: Listed, rows: QuerySet[Blob]) -> Blob | None:
    return rows.filter(md5=listed.md5).first() if listed.md5 else None


def promised(listed: Listed, age: str) -> Entity:
    """What is known of a file before its bytes are here."""
    return Entity(
        etag=f'"{listed.sha256 or listed.md5 or listed.filename}"',
        size=listed.size,
        media_type="application/octet-stream",
        age=age,
        private=listed.private,
        item=listed.item,
    )


def entity(listed: Listed, blob: Blob, age: str) -> Entity:
    """The file's bytes, which are here."""
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


def _rows(channel: Channel, section: str, name: str) -> list[Package]:
    """Every row of the name that was ever seen, the newest first."""
    return _of_name(channel.pk, section, name, channel.current)


_of_name = Prepared(
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


_listing: Sized[bool] = Sized(REMEMBERED_SECTIONS)
"""The sections of a channel's revisions that have packages."""


def _lists_any(channel: Channel, section: str) -> bool:
    """Whether the channel has any package in the section; what has some keeps some."""
    key = (channel.pk, channel.current, section)
    if _listing.items.get(key):
        return True
    found = bool(_any_package(channel.pk, section))
    if found:
        _listing.put(key, found, TOLD_BYTES)
    return found


def _at(rows: list[Package], number: int) -> list[Package]:
    return [row for row in rows if row.added_in <= number < row.removed_in]


def _listed(channel: Channel, rows: list[Package], filename: str) -> Listed | None:
    """The file in the first of these rows that lists it."""
    for package in rows:
        found = _records.of(package).get(filename)
        if found is not None:
            private = effective_privacy(channel) != Channel.Privacy.PUBLIC
            return Listed(channel, package, filename, *found, private)
    return None


def _lately(channel: Channel, rows: list[Package], filename: str) -> Listed | None:
    """The file in a revision that was current within the last `KEEP_HOURS`."""
    if not rows:
        return None
    since = timezone.now() - timedelta(hours=settings.KEEP_HOURS)
    recent = channel.revisions.filter(retired_at__gt=since, number__lt=channel.current)
    oldest = recent.aggregate(oldest=Min("number"))["oldest"]
    if oldest is None:
        return None
    return _listed(channel, [row for row in rows if row.removed_in > oldest], filename)


def _no_file(channel: Channel, section: str, filename: str) -> str:
    return f"There is no {filename} in {section} of the channel {channel.path}."
