"""A channel of this server as the source of a mirror.

ParsedIndex from that channel's current revision in the database; nothing goes over
HTTP, so no token and no egress rule is needed. Who may use which channel, and
that no circle arises, is checked when the mirror is saved and again when it runs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.db.models import QuerySet

from channels import blobs, shards
from channels.models import Channel, Document, Package
from ecosystems import registry
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchedIndex, IndexNotModified, ParsedIndex
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record
from mirrors.models import Snapshot, Upstream


def fetch(
    upstream: Upstream, section: str, before: Snapshot | None
) -> FetchedIndex | IndexNotModified | None:
    """What the source channel lists in a section now, as one hash."""
    channel = _source(upstream)
    rows = _rows(upstream, channel, section)
    if not rows.exists() and section != "noarch":
        return None
    state = hashlib.sha256()
    for name, shard in rows.values_list("name", "shard_id"):
        state.update(f"{name}\0{shard}\n".encode())
    for name, blob in _optional(upstream, channel, section):
        state.update(f"{name}\0{blob}\n".encode())
    sha256 = state.hexdigest()
    if before is not None and before.sha256 == sha256:
        return IndexNotModified()
    return FetchedIndex(upstream.url, Path(), sha256, etag="", last_modified="")


def read(upstream: Upstream, section: str, before: Snapshot | None, *, work: Path) -> ParsedIndex:
    """A section of the source channel's current revision, grouped like any index."""
    channel = _source(upstream)
    ecosystem = registry.get(upstream.kind)
    target = work / f"{section.replace('/', '-')}.pack"
    old = Pack(blobs.path(before.pack_id)) if before else None
    listed = newest = names = 0

    def checked(name: str, body: bytes) -> list[Record | Invalid]:
        return ecosystem.records(body, section=section, name=name)

    writer = PackWriter(target, records=checked)
    rows = _rows(upstream, channel, section).values_list("name", "shard_id", "shard__body")
    for name, digest, body in rows.iterator(chunk_size=100):
        raw = shards.decompress(body)
        records = ecosystem.records(raw, section=section, name=name)
        listed += len(records)
        names += 1
        times = [getattr(record, "timestamp", None) or 0 for record in records]
        newest = max(newest, *times)
        known = old.names().get(name) if old is not None else None
        if old is not None and known is not None and known.digest.hex() == digest:
            writer.copy(name, old)
        else:
            writer.add(name, raw, len(records))
    return ParsedIndex(
        pack=target,
        pack_sha256=writer.close(),
        base_url=f"{upstream.url.rstrip('/')}/{section}",
        listed=listed,
        names=names,
        newest=newest,
        extras={
            name: _linked(blob, work / f"{section.replace('/', '-')}-{name}")
            for name, blob in _optional(upstream, channel, section)
        },
    )


def root_extras(upstream: Upstream) -> dict[str, str]:
    """The files of the source channel's root that belong to its packages, as blobs by name."""
    return dict(_optional(upstream, _source(upstream), ""))


def _source(upstream: Upstream) -> Channel:
    channel = upstream.channel
    if channel is None or channel.deleted_at:
        raise BadIndex(f"The channel {upstream.url} no longer exists.")
    return channel


def _optional(upstream: Upstream, channel: Channel, section: str) -> list[tuple[str, str]]:
    """The optional index files of a section as the source channel publishes them: name, blob."""
    names = registry.get(upstream.kind).optional_names(section)
    found = Document.objects.at(channel.current).filter(
        channel=channel, section=section, name__in=names
    )
    return list(found.order_by("name").values_list("name", "blob_id"))


def _linked(blob: str, path: Path) -> Path:
    """The blob under another name, which may be moved."""
    path.hardlink_to(blobs.path(blob))
    return path


def _rows(upstream: Upstream, channel: Channel, section: str) -> QuerySet[Package]:
    family = registry.get(upstream.kind).family
    return (
        Package.objects.at(channel.current)
        .filter(channel=channel, section=section, family=family, shard__isnull=False)
        .order_by("name")
    )
