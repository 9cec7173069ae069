"""A channel's numbered revisions, what belongs to each, and the row that builds the next.

Shards and blobs are immutable and named by their SHA-256; what is mutable is
`Channel.current`, moved by a publication in one short transaction.
"""

from __future__ import annotations

from typing import Self, TypeVar

from django.db import models
from django.db.models import Q

from channels.lease import Leased
from channels.listed_from import ListedFromField
from channels.models.channel import Channel
from channels.models.files import Blob
from channels.states import ACTIVE

FOREVER = 2_147_483_647
"""`removed_in` of what no revision has removed."""

Tallies = dict[str, dict[str, int]]
"""{mirror id: {"active" | "passive" | "missing" | "mirror.<rule>" | "channel.<rule>": n}}"""

Interval_co = TypeVar("Interval_co", bound="Interval", covariant=True)


class Shard(models.Model):
    """The kept records of one package name in one section, immutable.

    `body` is the ecosystem's canonical form, zstd; `served` is the form clients
    fetch by `served_sha256` where the ecosystem has one.
    """

    sha256 = models.CharField(max_length=64, primary_key=True)
    body = models.BinaryField()
    served_sha256 = models.CharField(max_length=64, db_index=True, blank=True)
    served = models.BinaryField(default=b"")

    def __str__(self) -> str:
        return self.sha256


class Interval(models.Model):
    """A row that belongs to the revisions `added_in <= r < removed_in`."""

    added_in = models.IntegerField()
    removed_in = models.IntegerField(default=FOREVER)

    class Meta:
        abstract = True


class IntervalQuerySet(models.QuerySet[Interval_co]):
    def at(self, revision: int) -> Self:
        return self.filter(added_in__lte=revision, removed_in__gt=revision)


class Package(Interval):
    """One package name in one section: what the channel lists of it, and why not more."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    family = models.CharField(max_length=8)
    section = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    # PROTECT: clean-up must not take the records of a package that a kept revision lists.
    shard = models.ForeignKey(Shard, on_delete=models.PROTECT, null=True)
    """None where nothing of the name is listed; the row then holds the tally only."""
    files = models.IntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    present = models.IntegerField(default=0)
    """Listed files whose bytes are here, at the time of judging."""
    stale = models.BooleanField(default=False)
    """True: files may have come or be missing, so the next publication judges it again."""
    has_purls = models.BooleanField(default=False)
    """Whether records state package URLs: advisories of other names can be about its files."""
    judge_again_at = models.DateTimeField(null=True)
    """When time alone changes what is listed of it: a file becomes old enough."""
    tally: models.JSONField[Tallies, Tallies] = models.JSONField(default=dict)
    sources = ListedFromField(default=list)
    """Where its files come from: a list of `ListedFrom`."""

    objects = IntervalQuerySet.as_manager()

    class Meta:
        indexes = [
            # With the column that lookups are sorted by: SQLite, which has no statistics, would
            # else read the whole channel by an index that saves it the sorting.
            models.Index(fields=["channel", "section", "name", "added_in"]),
            # With the id: what came or went between two revisions is read in parts, in this order.
            models.Index(fields=["channel", "added_in", "id"]),
            models.Index(fields=["channel", "removed_in", "id"]),
            models.Index(fields=["channel", "name"]),
            models.Index(fields=["channel"], condition=Q(has_purls=True), name="with_purls"),
            models.Index(
                fields=["channel", "judge_again_at"],
                condition=Q(judge_again_at__isnull=False),
                name="judged_again",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.section}/{self.name}"


class Document(Interval):
    """An index file of a section as clients get it."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    section = models.CharField(max_length=128, blank=True)
    name = models.CharField(max_length=128)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT)
    packed = models.BooleanField(default=False)
    """True: the blob is the zstd form of what is served; decompressed while it is sent."""
    size = models.BigIntegerField()
    etag = models.CharField(max_length=80)
    media_type = models.CharField(max_length=80)

    objects = IntervalQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["channel", "section", "name", "removed_in"]),
            models.Index(fields=["channel", "removed_in"]),
        ]

    def __str__(self) -> str:
        return f"{self.section}/{self.name}"


class Revision(models.Model):
    """One numbered state of a channel."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="revisions")
    number = models.IntegerField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    reason = models.CharField(max_length=200, blank=True)
    added = models.IntegerField(default=0)
    replaced = models.IntegerField(default=0)
    removed = models.IntegerField(default=0)
    files = models.IntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    packages = models.IntegerField(default=0)
    inputs = models.JSONField(default=dict)
    """What was judged: {"channel": [...], "mirrors": {id: `publishing.inputs.Input.identity`}}."""
    pinned = models.BooleanField(default=False)
    rollback_of = models.IntegerField(null=True)
    retired_at = models.DateTimeField(null=True)
    """When it stopped being current; clean-up counts from here."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["channel", "number"], name="revision_number")
        ]

    def __str__(self) -> str:
        return f"{self.channel}.r{self.number}"


class Publication(Leased):
    """The row that builds a revision; one that is not final per channel."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    requested_version = models.IntegerField(default=0)
    revision = models.IntegerField(null=True)
    """The number whose rows it writes ahead of the pointer."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["channel"],
                condition=Q(state__in=ACTIVE),
                name="one_publication",
            )
        ]

    def __str__(self) -> str:
        return f"publication {self.pk} of {self.channel}"
