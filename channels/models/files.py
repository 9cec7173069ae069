"""The bytes that this server stores, where they come from, and for whom they came."""

from __future__ import annotations

from django.db import models

from channels.models.channel import Channel


class FileSource(models.Model):
    """Where published files come from. Immutable; kept while a kept revision names it."""

    base_url = models.TextField()
    """Of one section: a file's address is this, a slash, and its name."""
    credential = models.BinaryField(default=b"")
    proxy = models.BinaryField(default=b"")
    channel = models.ForeignKey(Channel, on_delete=models.SET_NULL, null=True)
    """Set when the source is a channel of this server."""
    key = models.CharField(max_length=64, unique=True)

    def __str__(self) -> str:
        return self.base_url

    @property
    def is_local(self) -> bool:
        """Whether it is a channel of this server: its files are read without a request."""
        return self.channel_id is not None


class Blob(models.Model):
    """Bytes on disk by SHA-256. A row exists only once its file is durable."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    md5 = models.CharField(max_length=32, blank=True, db_index=True)
    size = models.BigIntegerField()
    file = models.BooleanField(default=False)
    """A package's file; else a document or a snapshot."""
    openness = models.PositiveSmallIntegerField(default=0)
    """0, 1, 2: came for private, authenticated, public channels. To know a hash is no right to
    its bytes: a channel that is more open than this needs a `Provenance`."""
    created_at = models.DateTimeField(auto_now_add=True)
    unreferenced_at = models.DateTimeField(null=True, db_index=True)
    deleting = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.sha256


class Provenance(models.Model):
    """A channel whose own source brought these bytes, or proved that it has them.

    Only of channels that are not public; see `Blob.openness`.
    """

    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="provenance")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["blob", "channel"], name="one_provenance")]

    def __str__(self) -> str:
        return f"{self.blob} for {self.channel}"


class UnavailableFile(models.Model):
    """A companion (a wheel's metadata) that could not be had.

    The file it belongs to is listed without it; see `channels.companions`.
    """

    file_source = models.ForeignKey(FileSource, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    filename = models.CharField(max_length=255)
    """Of the file that it belongs to."""
    sha256 = models.CharField(max_length=64)
    """Its own, as the index states it."""
    message = models.TextField()
    tried = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file_source", "filename"], name="withheld_once")
        ]
        indexes = [models.Index(fields=["file_source", "name"])]

    def __str__(self) -> str:
        return f"the companion of {self.filename}"


class Pin(models.Model):
    """The bytes that a file had when it first came, where its index has no hash of it.

    Other bytes under the same name are not taken from then on.
    """

    key = models.CharField(max_length=64, primary_key=True)
    """SHA-256 over where it comes from and its name; see `channels.pins`."""
    sha256 = models.CharField(max_length=64, db_index=True)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256
