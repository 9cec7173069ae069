"""The index files of a channel's coming revision: written, dropped, or restored by a rollback.

Like the packages of a revision, they are written under a number that nobody sees yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet

from channels import blobs, shards
from channels.lease import Heartbeat
from channels.models import Document, Package, Publication
from ecosystems import documents
from ecosystems.base import Ecosystem
from ecosystems.progress import Stop


class RevisionDocuments:
    """The `Document` rows of revision `number`, written by the publication that builds it."""

    def __init__(
        self, publication: Publication, heartbeat: Heartbeat, number: int, *, stop: Stop
    ) -> None:
        self._publication = publication
        self._channel = publication.channel
        self._heartbeat = heartbeat
        self._number = number
        self._stop = stop
        self.changed = False
        """Whether any document differs from what the current revision serves."""

    def write(
        self, ecosystem: Ecosystem, section: str, extras: Mapping[str, Sequence[Path]]
    ) -> None:
        """Write a section's documents from its packages as they will be; "" is the root."""

        def listed() -> Iterator[tuple[str, bytes, str]]:
            return self._listed(ecosystem, section)

        names = []
        with blobs.temporary_folder() as folder:
            for document in ecosystem.documents(section, listed, folder, extras):
                self._heartbeat.check()
                self._save(section, document)
                names.append(document.name)
        if section:
            # The root is shared by all types, so what this one did not write may be another's.
            self.drop(section, keep=names)

    def drop(self, section: str, *, keep: Sequence[str] = ()) -> None:
        """Stop serving a section's documents, except those named in `keep`."""
        served = self._served().filter(section=section)
        with transaction.atomic():
            self._publication.write(revision=self._number)
            if served.exclude(name__in=keep).update(removed_in=self._number):
                self.changed = True

    def restore(self, number: int) -> set[str]:
        """Serve the documents of revision `number` again; their sections."""
        older = Document.objects.at(number).filter(channel=self._channel)
        missing = {(row.section, row.name): row for row in older}
        sections = {section for section, _ in missing}
        with transaction.atomic():
            self._publication.write(revision=self._number)
            for row in self._served():
                replacement = missing.pop((row.section, row.name), None)
                # The same bytes: the row stays, and clients need not fetch them again.
                if replacement is not None and replacement.etag == row.etag:
                    continue
                Document.objects.filter(pk=row.pk).update(removed_in=self._number)
                self.changed = True
                if replacement is not None:
                    self._copy(replacement)
            for row in missing.values():
                self._copy(row)
                self.changed = True
        return sections

    def _served(self) -> QuerySet[Document]:
        return Document.objects.at(self._number).filter(channel=self._channel)

    def _listed(self, ecosystem: Ecosystem, section: str) -> Iterator[tuple[str, bytes, str]]:
        """Name, body and hash of the served form of each listed package, by name."""
        rows = (
            Package.objects.at(self._number)
            .filter(channel=self._channel, family=ecosystem.family, shard__isnull=False)
            .order_by("name")
        )
        if section:
            rows = rows.filter(section=section)
        if not section or ecosystem.names_only:
            # The root's documents name the packages of all sections.
            for name in rows.values_list("name", flat=True).distinct():
                yield name, b"", ""
            return
        values = rows.values_list("name", "shard__body", "shard__served_sha256")
        # Few at a time, because the body of a package may have megabytes.
        for name, packed, served_sha256 in values.iterator(chunk_size=100):
            self._stop()
            yield name, shards.decompress(packed), served_sha256

    def _save(self, section: str, document: documents.Document) -> None:
        rows = self._served().filter(section=section, name=document.name)
        if rows.filter(etag=document.etag, packed=document.packed).exists():
            return
        # The bytes are durable before a row names them.
        blob = blobs.store(document.path, document.sha256)
        self.changed = True
        with transaction.atomic():
            self._publication.write(revision=self._number)
            rows.update(removed_in=self._number)
            Document.objects.create(
                channel=self._channel,
                section=section,
                name=document.name,
                blob=blob,
                packed=document.packed,
                size=document.size,
                etag=document.etag,
                media_type=document.media_type,
                added_in=self._number,
            )

    def _copy(self, row: Document) -> None:
        Document.objects.create(
            channel_id=row.channel_id,
            section=row.section,
            name=row.name,
            blob_id=row.blob_id,
            packed=row.packed,
            size=row.size,
            etag=row.etag,
            media_type=row.media_type,
            added_in=self._number,
        )
