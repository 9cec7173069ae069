"""Channels, revisions and packages as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, Q, QuerySet

from channels.models import Channel, Revision
from web.api.schemas import timestamp

CHANNEL_KEYS = frozenset(
    {
        "id", "artifact_count", "file_count", "size", "download_count", "subchannel_count",
        "group_count", "mirror_count", "owners", "created", "updated", "frozen",
        "current_revision", "publishing", "parent", "access", "changed",
    }
)  # fmt: skip
"""What a channel shows that nobody can set by sending it."""


def with_counts(channels: QuerySet[Channel]) -> QuerySet[Channel]:
    """With all that `channel_list` reads, in one query."""
    return channels.select_related("parent", "filter", "owner").annotate(
        subchannel_count=Count(
            "subchannels", filter=Q(subchannels__deleted_at=None), distinct=True
        ),
        mirror_count=Count("mirrors", filter=Q(mirrors__deleted_at=None), distinct=True),
    )


def channel_items(channels: Iterable[Channel]) -> list[dict[str, Any]]:
    """Channels from `counted`, with their packages counted by their current revisions."""
    rows = list(channels)
    current = {row.pk: row.current for row in rows}
    revisions = Revision.objects.filter(channel__in=current, number__in=set(current.values())).only(
        "channel_id", "number", "packages", "files", "bytes"
    )
    now = {row.channel_id: row for row in revisions if row.number == current[row.channel_id]}
    return [_channel(row, now.get(row.pk)) for row in rows]


def channel_item(channel: Channel) -> dict[str, Any]:
    return channel_items(with_counts(Channel.objects.filter(pk=channel.pk)))[0]


def _channel(channel: Channel, revision: Revision | None) -> dict[str, Any]:
    shape = {
        "id": channel.pk,
        "name": channel.name,
        "description": channel.description,
        "privacy": channel.privacy,
        "artifact_count": revision.packages if revision else 0,
        "file_count": revision.files if revision else 0,
        "size": revision.bytes if revision else 0,
        "download_count": channel.download_count,
        "subchannel_count": getattr(channel, "subchannel_count", 0),
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
    return {**shape, "parent": channel.parent.name} if channel.parent else shape


def freeze_item(channel: Channel) -> dict[str, Any] | None:
    """Since when, by whom, and the revision a rollback froze the channel at."""
    if not channel.frozen_at:
        return None
    return {
        "since": timestamp(channel.frozen_at),
        "by": channel.frozen_by,
        "rolled_back_to": channel.frozen_revision,
    }


def revision_item(row: Revision, current: int) -> dict[str, Any]:
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
