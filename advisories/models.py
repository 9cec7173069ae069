"""Advisories as stored: what sources say, joined by their ids, and what people decided.

A `Record` is one source's text. Records that name the same vulnerability (CVE, GHSA, PYSEC, ...)
share an `Advisory`; which do is worked out anew whenever one of them changes. A `Curation` names
an id and not a row, so it outlives that.
"""

from __future__ import annotations

import enum

import msgspec
from django.db import models

from advisories.compression import decompress
from advisories.formats.report import (
    LONGEST_ID,
    LONGEST_SUMMARY,
    Affected,
)
from advisories.formats.scores import Score, ScoreVersion, Severity
from advisories.formats.statement import LONGEST_REASON, Status

LONGEST_PACKAGE = 300


def choices(kind: type[enum.StrEnum]) -> list[tuple[str, str]]:
    """The members of a plain enum as Django's choices."""
    return [(str(member), str(member)) for member in kind]


class Source(models.TextChoices):
    """What kind of data a feed brings."""

    OSV = "osv", "OSV"
    NVD = "nvd", "NVD"
    MAPPING = "mapping", "conda name mapping"
    VEX = "vex", "VEX"
    BUNDLE = "bundle", "bundle"


class Feed(models.Model):
    """Where data comes from, and how the last import of it went.

    `url` is "" for uploads. Counts are of the last import that succeeded.
    """

    source = models.CharField(max_length=8, choices=Source.choices)
    url = models.CharField(max_length=1000, blank=True)
    etag = models.CharField(max_length=500, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    tried_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    """When the data was last known to be the source's own: imported, or unchanged there."""
    error = models.TextField(blank=True)
    added = models.IntegerField(default=0)
    updated = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    broken = models.IntegerField(default=0)
    broken_names = models.JSONField(default=list)
    """The first broken records, each as a sentence."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "url"], name="feed_once")]

    def __str__(self) -> str:
        return self.url or f"{self.get_source_display()} by upload"


class Advisory(models.Model):
    """One vulnerability, or one piece of malware, whatever many sources tell about it."""

    id = models.BigIntegerField(primary_key=True)
    """Given by `advisories.store`, which writes alone."""
    name = models.CharField(max_length=LONGEST_ID, db_index=True)
    """The best of its ids: CVE, else GHSA, PYSEC, RSEC, MAL, ..."""
    severity = models.CharField(max_length=8, choices=choices(Severity))
    score = models.FloatField(null=True)
    score_version = models.CharField(max_length=8, blank=True)
    malware = models.BooleanField(default=False)
    withdrawn = models.BooleanField(default=False)
    modified = models.DateTimeField()
    published = models.DateTimeField(null=True)
    summary = models.CharField(max_length=LONGEST_SUMMARY, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def cvss(self) -> Score | None:
        """Score and version together."""
        return None if self.score is None else Score(self.score, ScoreVersion(self.score_version))


class Record(models.Model):
    """One source's record of an advisory; `body` is its JSON, compressed."""

    id = models.BigIntegerField(primary_key=True)
    advisory = models.ForeignKey(Advisory, on_delete=models.CASCADE, related_name="records")
    source = models.CharField(max_length=8, choices=Source.choices)
    name = models.CharField(max_length=LONGEST_ID)
    modified = models.DateTimeField()
    malware = models.BooleanField(default=False)
    withdrawn = models.BooleanField(default=False)
    body = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "source"], name="record_once")]
        indexes = [
            # Whether there is any malware is asked by every publication.
            models.Index(fields=["malware"], condition=models.Q(malware=True), name="malicious")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def text(self) -> bytes:
        """The record as it came."""
        return decompress(bytes(self.body))


class Identifier(models.Model):
    """An id that a record names: one of its own, or with `upstream` what it comes from."""

    record = models.ForeignKey(Record, on_delete=models.CASCADE, related_name="identifiers")
    text = models.CharField(max_length=LONGEST_ID, db_index=True)
    upstream = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.text


class AffectedPackage(models.Model):
    """The affected versions of one package by one record that is not withdrawn."""

    record = models.ForeignKey(Record, on_delete=models.CASCADE, related_name="packages")
    ecosystem = models.CharField(max_length=64)
    name = models.CharField(max_length=LONGEST_PACKAGE)
    body = models.BinaryField()
    """`Affected` in MessagePack: ranges and versions."""

    class Meta:
        indexes = [models.Index(fields=["ecosystem", "name"])]

    def __str__(self) -> str:
        return f"{self.ecosystem} {self.name}"

    @property
    def affected(self) -> Affected:
        """Ranges and versions."""
        return _AFFECTED.decode(bytes(self.body))


class Mapping(models.Model):
    """The Python projects in a conda package: by a feed, and by hand, which comes first."""

    conda_name = models.CharField(max_length=128)
    by_hand = models.BooleanField(default=False)
    projects = models.JSONField(null=True)
    """Normalised names; null: not a Python package."""
    author = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conda_name", "by_hand"], name="map_once")]

    def __str__(self) -> str:
        return self.conda_name


class Curation(models.Model):
    """What somebody found out about an advisory and a package, or about some of its files.

    At most one of `spec` and `filename` is given; neither: all files. Of equal scope the newest
    counts.
    """

    advisory = models.CharField(max_length=LONGEST_ID, db_index=True)
    """Any id of the advisory."""
    family = models.CharField(max_length=16)
    package = models.CharField(max_length=LONGEST_PACKAGE)
    spec = models.CharField(max_length=200, blank=True)
    filename = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=9, choices=choices(Status))
    author = models.CharField(max_length=200)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    document = models.CharField(max_length=300, blank=True)
    """The id of the VEX document that says so."""
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["family", "package"])]

    def __str__(self) -> str:
        return f"{self.advisory} {self.package}: {self.status}"


class ChangeCounter(models.Model):
    """The one row that numbers changes; see `advisories.change_log`."""

    number = models.BigIntegerField(default=0)
    """Of the last change."""
    requested = models.BigIntegerField(default=0)
    """Up to this change publications have been asked for."""

    def __str__(self) -> str:
        return str(self.number)


class ChangedPackage(models.Model):
    """The last change of what is known about the files of a package; see `change_log`."""

    family = models.CharField(max_length=16)
    name = models.CharField(max_length=LONGEST_PACKAGE)
    malware = models.BooleanField(default=False)
    """Whether the change is about malware, which channels exclude without any other rule."""
    number = models.BigIntegerField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["family", "name", "malware"], name="changed_once")
        ]

    def __str__(self) -> str:
        return f"{self.family} {self.name}"


class ImportLease(models.Model):
    """The one row that whoever imports owns: two imports would join the same ids twice."""

    fence = models.IntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True)
    renewed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.owner or "free"


_AFFECTED = msgspec.msgpack.Decoder(Affected)
