"""Which advisories are about the files that a channel lists."""

from __future__ import annotations

from django.db import models

from advisories.formats.report import LONGEST_ID
from advisories.formats.scores import Severity
from advisories.formats.statement import Status
from advisories.models import choices
from channels.models.channel import Channel


class ListedAdvisory(models.Model):
    """An advisory and a status of it, with how many listed files of a package have it.

    What the advisory says is copied, so that lists are sorted and counted without a look at each
    file; `publishing.advisory_index` writes it anew when the listing or the advisory changes.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    family = models.CharField(max_length=8)
    section = models.CharField(max_length=128)
    package = models.CharField(max_length=200)
    advisory = models.CharField(max_length=LONGEST_ID)
    """`Advisory.name`: rows of advisories are made anew when their aliases change."""
    status = models.CharField(max_length=9, choices=choices(Status))
    severity = models.CharField(max_length=8, choices=choices(Severity))
    score = models.FloatField(null=True)
    score_version = models.CharField(max_length=8, blank=True)
    malware = models.BooleanField(default=False)
    matched_by = models.CharField(max_length=8)
    """A `MatchedBy`: why the advisory is taken for one of these files."""
    files = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "section", "package", "advisory", "status"],
                name="advisory_listed_once",
            )
        ]
        indexes = [
            models.Index(fields=["advisory"], name="listed_advisory"),
            models.Index(fields=["channel", "advisory"], name="listed_in_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.advisory} in {self.channel}: {self.section}/{self.package}"
