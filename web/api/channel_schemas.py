"""Channels and revisions as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NotRequired, TypedDict

from django.db.models import Count, Q, QuerySet

from channels.models import Channel, Revision
from web.api.schemas import JsonObject, timestamp


class FreezeItem(TypedDict):
    since: str | None
    by: str
    rolled_back_to: int | None


class ChannelItem(TypedDict):
    id: int
    name: str
    description: str
    privacy: str
    artifact_count: int
    file_count: int
    size: int
    download_count: int
    subchannel_count: int
    group_count: int
    mirror_count: int
    filters: JsonObject
    owners: list[str]
    created: str | None
    updated: str | None
    indexing_behavior: str
    frozen: FreezeItem | None
    current_revision: int
    publishing: bool
    parent: NotRequired[str]
    access: NotRequired[str]
    """In lists of one's own channels: `owner`."""
    changed: NotRequired[bool]
    """In the answer to a change: whether anything became different."""


class RevisionItem(TypedDict):
    number: int
    created: str | None
    reason: str
    current: bool
    added: int
    replaced: int
    removed: int
    packages: int
    files: int
    bytes: int
    pinned: bool
    rollback_of: int | None


CHANNEL_KEYS = frozenset(ChannelItem.__annotations__)
"""What a channel shows."""


def with_counts(channels: QuerySet[Channel]) -> QuerySet[Channel]:
    """With all that `channel_items` reads, in one query."""
    return channels.select_related("parent", "filter", "owner").annotate(
        subchannel_count=Count(
            "subchannels", filter=Q(subchannels__deleted_at=None), distinct=True
        ),
        # Two joins multiply each other's rows; `distinct` takes that back.
        mirror_count=Count("mirrors", filter=Q(mirrors__deleted_at=None), distinct=True),
    )


def channel_items(channels: Iterable[Channel]) -> list[ChannelItem]:
    """Channels from `with_counts`, with the packages that their current revisions count."""
    rows = list(channels)
    current = {row.pk: row.current for row in rows}
    # A few rows too many (any channel with any of the numbers); the next line drops them.
    revisions = Revision.objects.filter(channel__in=current, number__in=set(current.values())).only(
        "channel_id", "number", "packages", "files", "bytes"
    )
    now = {row.channel_id: row for row in revisions if row.number == current[row.channel_id]}
    return [_channel(row, now.get(row.pk)) for row in rows]


def channel_item(channel: Channel) -> ChannelItem:
    return channel_items(with_counts(Channel.objects.filter(pk=channel.pk)))[0]


def _channel(channel: Channel, revision: Revision | None) -> ChannelItem:
    item: ChannelItem = {
        "id": channel.pk,
        "name": channel.name,
        "description": channel.description,
        "privacy": channel.privacy,
        "artifact_count": revision.packages if revision else 0,
        "file_count": revision.files if revision else 0,
        "size": revision.bytes if revision else 0,
        "download_count": channel.download_count,
        # Annotated by `with_counts`; the model does not declare it.
        "subchannel_count": getattr(channel, "subchannel_count", 0),
        # The vendor's clients read it; this server has no groups.
        "group_count": 0,
        "mirror_count": getattr(channel, "mirror_count", 0),
        "filters": channel.filter.terms,
        "owners": [channel.owner.get_username()] if channel.owner else [],
        "created": timestamp(channel.created_at),
        "updated": timestamp(channel.updated_at),
        "indexing_behavior": "frozen" if channel.frozen_at else "default",
        "frozen": freeze_item(channel),
        "current_revision": channel.current,
        "publishing": channel.requested_version > channel.published_version,
    }
    # The vendor's client takes the key's presence for "this is a subchannel".
    return {**item, "parent": channel.parent.name} if channel.parent else item


def freeze_item(channel: Channel) -> FreezeItem | None:
    """Since when, by whom, and the revision a rollback froze the channel at."""
    if not channel.frozen_at:
        return None
    return {
        "since": timestamp(channel.frozen_at),
        "by": channel.frozen_by,
        "rolled_back_to": channel.frozen_revision,
    }


def revision_item(row: Revision, current: int) -> RevisionItem:
    return {
        "number": row.number,
        "created": timestamp(row.created_at),
        "reason": row.reason,
        "current": row.number == current,
        "added": row.added,
        "replaced": row.replaced,
        "removed": row.removed,
        "packages": row.packages,
        "files": row.files,
        "bytes": row.bytes,
        "pinned": row.pinned,
        "rollback_of": row.rollback_of,
    }
