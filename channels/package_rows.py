"""What judging found for a package name, and the rows that say so.

A publication writes these rows; nothing here decides what is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Min

from channels import shards
from channels.listed_from import ListedFrom
from channels.models import Channel, Package, Shard, Tallies
from ecosystems.base import Ecosystem

# What one transaction writes: little, so that others get their turn. In bytes too, because a
# package may have some records or many thousands.
BATCH_NAMES = 200
BATCH_BYTES = 8 * 1024 * 1024
IN_PLACE_FIELDS = ("tally", "sources", "present", "stale", "bytes", "has_purls", "judge_again_at")
"""What of a row changes without a new one."""


@dataclass(slots=True)
class Listing:
    """What judging found for one package name in one section.

    `body` is empty where nothing of the name is listed; `filenames` are the
    listed files; `digest` is the SHA-256 of `body` and `packed` its zstd form, where
    the caller has them.
    """

    name: str
    body: bytes
    filenames: list[str]
    size: int
    present: int = 0
    stale: bool = False
    has_purls: bool = False
    judge_again_at: datetime | None = None
    tally: Tallies = field(default_factory=dict)
    sources: list[ListedFrom] = field(default_factory=list)
    digest: str = ""
    packed: bytes = b""


def shard_row(ecosystem: Ecosystem, item: Listing, body: bytes) -> Shard:
    """The row of a listing's records; `body` is their zstd form."""
    served = ecosystem.served(item.body)
    return Shard(
        sha256=item.digest,
        body=body,
        served=served,
        served_sha256=hashlib.sha256(served).hexdigest() if served else "",
    )


def package_row(
    channel: Channel, family: str, section: str, item: Listing, *, added_in: int
) -> Package:
    """The row of a name, visible from revision `added_in` on."""
    return Package(
        channel=channel,
        family=family,
        section=section,
        name=item.name,
        shard_id=item.digest or None,
        files=len(item.filenames),
        bytes=item.size,
        present=item.present,
        stale=item.stale,
        has_purls=item.has_purls,
        judge_again_at=item.judge_again_at,
        tally=item.tally,
        sources=item.sources,
        added_in=added_in,
    )


def update_in_place(row: Package, item: Listing) -> bool:
    """Copy what clients do not see onto the row; True if that changes it."""
    # Sizes that the index does not state are known once the bytes are here.
    values = [
        item.tally, item.sources, item.present, item.stale, item.size, item.has_purls,
        item.judge_again_at,
    ]  # fmt: skip
    changed = [getattr(row, name) for name in IN_PLACE_FIELDS] != values
    for name, value in zip(IN_PLACE_FIELDS, values, strict=True):
        setattr(row, name, value)
    return changed


def insert_listing(
    channel: Channel, ecosystem: Ecosystem, section: str, item: Listing, *, at: int, until: int
) -> None:
    """Write a listing into a revision that is shown already; call it in a transaction.

    For packages whose records nobody has asked for before, so that nothing listed changes.
    """
    if item.body:
        item.digest = hashlib.sha256(item.body).hexdigest()
        shard = shard_row(ecosystem, item, shards.compress(item.body))
        Shard.objects.bulk_create([shard], ignore_conflicts=True)
    row = package_row(channel, ecosystem.family, section, item, added_in=at)
    row.removed_in = until
    row.save(force_insert=True)


def next_judge_at(
    channel: Channel, number: int, *, after: datetime | None = None
) -> datetime | None:
    """When time alone changes what a revision lists; None for never."""
    rows = Package.objects.at(number).filter(channel=channel, judge_again_at__isnull=False)
    if after is not None:
        rows = rows.filter(judge_again_at__gt=after)
    first: datetime | None = rows.aggregate(first=Min("judge_again_at"))["first"]
    return first


def bodies_of(rows: Iterable[Package]) -> dict[str, bytes]:
    """The shard bodies of these rows by their hash."""
    hashes = {row.shard_id for row in rows if row.shard_id}
    stored = Shard.objects.filter(pk__in=hashes).values_list("pk", "body")
    return {pk: shards.decompress(body) for pk, body in stored}


def batches(listings: Iterable[Listing]) -> Iterator[list[Listing]]:
    """What is written in one transaction: so many names, or so many bytes."""
    batch: list[Listing] = []
    size = 0
    for item in listings:
        batch.append(item)
        size += len(item.body)
        if len(batch) >= BATCH_NAMES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
