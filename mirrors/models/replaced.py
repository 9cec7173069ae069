"""Files of which the upstream has new bytes under the same name, and which wait for a release."""

from __future__ import annotations

from django.db import models

from mirrors.models.mirror import Mirror


class ReplacedFile(models.Model):
    """A listed file that the upstream has replaced; the old bytes stay until it is released.

    A released row stays until the new bytes are listed, so that they are not held again.
    """

    mirror = models.ForeignKey(Mirror, on_delete=models.CASCADE, related_name="replaced")
    section = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    """Of the package."""
    filename = models.CharField(max_length=255)
    old_digest = models.CharField(max_length=64)
    new_digest = models.CharField(max_length=64)
    """As the index states them: SHA-256, or MD5 where that is all there is."""
    held_at = models.DateTimeField(auto_now_add=True)
    released_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mirror", "section", "filename"], name="replaced_once")
        ]

    def __str__(self) -> str:
        return self.filename
