"""When files appeared in upstreams' indexes that do not say it themselves."""

from __future__ import annotations

from django.db import models


class IndexHistory(models.Model):
    """An index by its address, whoever mirrors it and with which credential, and for ever.

    What it lists and of which there is no `FileAppearance` was there when it was first read.
    """

    key = models.CharField(max_length=64, unique=True)
    """SHA-256 of the address below which its files lie."""
    first_read_at = models.BigIntegerField()
    """Milliseconds since 1970."""

    def __str__(self) -> str:
        return self.key[:8]


class FileAppearance(models.Model):
    """A file came into an index after it was first read. Written once, never changed."""

    index = models.ForeignKey(IndexHistory, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)
    """Of the package."""
    filename = models.CharField(max_length=255)
    digest = models.CharField(max_length=64, blank=True)
    """The hash that the index states: other bytes under the same name are another file."""
    appeared_at = models.BigIntegerField()
    """Milliseconds since 1970."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["index", "name", "filename", "digest"], name="one_appearance"
            )
        ]

    def __str__(self) -> str:
        return self.filename
