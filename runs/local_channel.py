"""A channel of this server as the source of a mirror.

It is read from that channel's current revision in the database; nothing goes over
HTTP, so no token and no egress rule is needed. Who may use which channel, and
that no cycle arises, is checked when the mirror is saved and again when it runs.
"""

from __future__ import annotations

import hashlib

from django.db.models import QuerySet

from channels import blobs, shards
from channels.models import Channel, Document, Package
from ecosystems import registry
from ecosystems.errors import BadIndex
from ecosystems.indexes import FetchContext, FetchedIndex, OptionalFiles, ParsedIndex
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record
from mirrors.models import Upstream

# Each row brings the body of its shard into memory.
ROWS_AT_ONCE = 100


class LocalChannel:
    """An `IndexSource` that reads another channel's rows."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._ecosystem = registry.get(upstream.kind)

    def fetch(self, base_url: str, section: str, context: FetchContext, /) -> FetchedIndex | None:
        """What the channel lists in a section now, as one hash; there is no file to fetch."""
        rows = self._rows(section)
        # conda clients ask every channel for noarch, so it exists though it lists nothing.
        if not rows.exists() and section not in self._ecosystem.permanent_sections:
            return None
        state = hashlib.sha256()
        for name, shard in rows.values_list("name", "shard_id"):
            # Neither NUL nor newline stands in a name, so no two states give the same bytes.
            state.update(f"{name}\0{shard}\n".encode())
        for name, blob in self._optional(section):
            state.update(f"{name}\0{blob}\n".encode())
        # Empty, because no byte has come over the network.
        path = context.folder / f"{_file_name(section)}.index"
        path.touch()
        return FetchedIndex(base_url, path, state.hexdigest(), etag="", last_modified="")

    def parse(self, fetched: FetchedIndex, section: str, context: FetchContext, /) -> ParsedIndex:
        """The section's shards, grouped like any index; unchanged ones are copied as they lie."""
        path = context.folder / f"{_file_name(section)}.pack"
        old = Pack(context.previous.pack) if context.previous else None
        listed = newest = 0

        def records(name: str, body: bytes) -> list[Record | Invalid]:
            return self._ecosystem.records(body, section=section, name=name)

        with PackWriter(path, records=records) as writer:
            rows = self._rows(section).values_list("name", "shard_id", "shard__body")
            for name, digest, stored in rows.iterator(chunk_size=ROWS_AT_ONCE):
                context.stop()
                body = shards.decompress(stored)
                listed_records = records(name, body)
                listed += len(listed_records)
                times = [
                    record.timestamp or 0 for record in listed_records if isinstance(record, Record)
                ]
                newest = max(newest, *times, 0)
                entry = old.names().get(name) if old is not None else None
                if old is not None and entry is not None and entry.digest.hex() == digest:
                    writer.copy(name, old)
                else:
                    writer.add(name, body, len(listed_records))
            names = len(writer.names())
            sha256 = writer.close()
        return ParsedIndex(
            pack=path,
            pack_sha256=sha256,
            base_url=f"{fetched.address.rstrip('/')}/{section}",
            listed=listed,
            names=names,
            newest=newest,
        )

    def fetch_optional(
        self, _address: str, section: str, context: FetchContext, /
    ) -> OptionalFiles:
        """The optional files as the channel publishes them: its blobs under another name."""
        folder = context.folder / f"{_file_name(section)}.optional"
        folder.mkdir()
        files = {}
        for name, blob in self._optional(section):
            # A link, because whoever keeps the file moves it.
            files[name] = folder / name
            files[name].hardlink_to(blobs.path(blob))
        return OptionalFiles(files)

    @property
    def _channel(self) -> Channel:
        channel = self._upstream.channel
        if channel is None or channel.deleted_at:
            raise BadIndex(f"The channel {self._upstream.url} no longer exists.")
        return channel

    def _optional(self, section: str) -> list[tuple[str, str]]:
        """Names and blobs of the section's optional files; of the root for ""."""
        names = self._ecosystem.optional_names(section)
        documents = Document.objects.at(self._channel.current).filter(
            channel=self._channel, section=section, name__in=names
        )
        return list(documents.order_by("name").values_list("name", "blob_id"))

    def _rows(self, section: str) -> QuerySet[Package]:
        rows: QuerySet[Package] = Package.objects.at(self._channel.current)
        return rows.filter(
            channel=self._channel,
            section=section,
            family=self._ecosystem.family,
            shard__isnull=False,
        ).order_by("name")


def _file_name(section: str) -> str:
    # Sections of R are paths: src/contrib.
    return section.replace("/", "-") or "root"
