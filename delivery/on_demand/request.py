"""What to fetch for a client, from which source, and for which channels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from channels import file_sources, readership
from channels.models import FileSource
from delivery import listed_files
from delivery.listed_files import ListedFile
from delivery.on_demand.errors import Unavailable

MAX_SOURCE_CHANNELS = 5
"""Channels of this server behind each other, each the source of the one before."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A listed file whose bytes are not stored for its channel, and where they come from."""

    file_source: FileSource
    claims: tuple[ListedFile, ...]
    """The file as the requested channel lists it, then as each source channel behind it does."""

    @property
    def listed(self) -> ListedFile:
        """The file as the client's channel lists it."""
        return self.claims[0]

    @property
    def url(self) -> str:
        """The file's URL at the upstream."""
        return file_sources.file_url(self.file_source, self.listed.filename, self.listed.address)

    @property
    def upstream_host(self) -> str:
        """Host and port of the upstream."""
        return urlsplit(self.file_source.base_url).netloc

    @property
    def refusal_key(self) -> str:
        """Of this URL and the bytes expected there: a changed record asks anew."""
        expected = self.listed.sha256 or self.listed.md5 or self.listed.checksum
        return self._hash(f"{self.url}\0{expected}")

    @property
    def key(self) -> str:
        """The same for everybody who wants these bytes from this source."""
        # Not by the hash alone: a channel that lists the hash of another's private file must not
        # read along. Its own source may not have the file at all.
        return self._hash(self.listed.sha256 or f"{self.url}\0{self.listed.checksum}")

    def _hash(self, text: str) -> str:
        return hashlib.sha256(f"{self.file_source.key}\0{text}".encode()).hexdigest()


def request_for(listed: ListedFile, *claims: ListedFile) -> FetchRequest:
    """How to fetch `listed`; follows it through the channels of this server that it is copied from.

    `claims`: the same file in the channels passed so far. Raises `Unavailable` and `Missing`.
    """
    claims = (*claims, listed)
    file_source = file_source_of(listed)
    channel = file_source.channel
    if channel is None:
        return FetchRequest(file_source, claims)
    if len(claims) > MAX_SOURCE_CHANNELS:
        raise Unavailable(502, f"{listed.filename} leads through too many channels.")
    if channel.deleted_at is not None:
        raise Unavailable(404, f"The source of {listed.filename} has been deleted.")
    # Rights may have changed since the record was copied: they are judged for each fetch.
    if not readership.may_pass_on(listed.channel, channel):
        raise Unavailable(404, f"The source of {listed.filename} no longer lets it be read.")
    package = listed.package
    upstream_listed = listed_files.find(
        channel, package.section, listed.filename, name=package.name, number=channel.current
    )
    if listed.sha256 and upstream_listed.sha256 != listed.sha256:
        raise Unavailable(404, f"The source has another {listed.filename} by now.")
    return request_for(upstream_listed, *claims)


def file_source_of(listed: ListedFile) -> FileSource:
    """Where the package's row says that this file comes from."""
    pk = file_sources.file_source_id_of(listed.package.sources, listed.filename)
    if pk is None:
        raise Unavailable(404, f"The source of {listed.filename} is unknown.")
    return FileSource.objects.select_related("channel__parent").get(pk=pk)
