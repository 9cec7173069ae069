"""What mirrors read: upstreams, their snapshots, and packages fetched one at a time."""

from __future__ import annotations

from django.db import models

from channels.models import Blob, Channel, FileSource
from ecosystems.kinds import Kind


class MirrorType(models.TextChoices):
    """The types that a mirror can have, with the words of the screen."""

    CONDA = Kind.CONDA.value, "conda"
    PYTHON = Kind.PYTHON.value, "standard python"
    CRAN = Kind.CRAN.value, "standard R"


class Upstream(models.Model):
    """A server mirrored from: type, address, credential, proxy. Mirrors of one source share it."""

    kind = models.CharField(max_length=16, choices=MirrorType.choices)
    url = models.TextField()
    credential = models.BinaryField(default=b"")
    """Encrypted; see `channels.secrets`."""
    proxy = models.BinaryField(default=b"")
    channel = models.ForeignKey(Channel, on_delete=models.SET_NULL, null=True)
    """Set when the source is a channel of this server."""
    key = models.CharField(max_length=64, unique=True)
    """Keyed hash of type, address, credential, proxy and channel; see `mirrors.source_urls`."""
    extras: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)
    """{file name: SHA-256 of the blob}: what lies beside the sections (`channeldata.json`)."""
    missed: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """Names of those that could not be had or read: the next run asks again."""
    warnings: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """What is odd about the extras, in sentences; see `mirrors.warnings`."""

    def __str__(self) -> str:
        return self.url

    @property
    def is_local(self) -> bool:
        """Whether it is a channel of this server: nothing is asked for over the network."""
        return self.channel_id is not None


class Snapshot(models.Model):
    """An upstream's index of one section as fetched, grouped by name into a pack."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    scope = models.CharField(max_length=64, blank=True)
    """What part of the index was fetched, by the ecosystem's key; "" = all of it."""
    address = models.TextField()
    """Of the index file that was read."""
    sha256 = models.CharField(max_length=64)
    """Of the index file as it came."""
    etag = models.TextField(blank=True)
    last_modified = models.CharField(max_length=64, blank=True)
    pack = models.ForeignKey(Blob, on_delete=models.PROTECT)
    file_source = models.ForeignKey(FileSource, on_delete=models.PROTECT)
    listed = models.IntegerField()
    newest = models.BigIntegerField(default=0)
    """The newest build time in it, milliseconds since 1970."""
    invalid = models.IntegerField(default=0)
    """How many of `listed` are in no shard, because not even their name can be read."""
    invalid_names: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    extras: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)
    """{file name: SHA-256 of the blob}: what goes with the index (`run_exports.json`)."""
    warnings: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """As `ecosystems.indexes.ParsedIndex.warnings`; see `mirrors.warnings`."""
    extras_warnings: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """As `ecosystems.indexes.OptionalFiles.warnings`."""
    missed: models.JSONField[list[str], list[str]] = models.JSONField(default=list)
    """Names of optional files that could not be had or read: the next run asks again."""
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        # Each run asks for the newest snapshot of its sections.
        indexes = [models.Index(fields=["upstream", "section", "-id"])]

    def __str__(self) -> str:
        return f"{self.upstream} {self.section} {self.sha256[:8]}"


class FetchedPackage(models.Model):
    """Records of a package fetched because a client asked, until a snapshot has them."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    body = models.BinaryField()
    """As in a pack, zstd."""
    count = models.IntegerField()
    created_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upstream", "section", "name"], name="one_page_a_name")
        ]

    def __str__(self) -> str:
        return f"{self.upstream} {self.section}/{self.name}"
