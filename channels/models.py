"""Channels, their numbered revisions, and what a revision is made of.

Everything with bytes is immutable and named by its SHA-256; what is mutable is
`Channel.current`, moved by a publication in one short transaction.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q

from channels import notify
from channels.lease import Leased, Reserving
from channels.listed_from import ListedFromField
from channels.states import ACTIVE
from filters.models import Filter

FOREVER = 2_147_483_647
"""`removed_in` of what no revision has removed."""


class ChannelQuerySet(models.QuerySet["Channel"]):
    def alive(self) -> Self:
        return self.filter(deleted_at=None)

    def at(self, path: str) -> Self:
        """The channel with the address `name` or `parent/name`."""
        parent, _, name = path.rpartition("/")
        if parent:
            return self.alive().filter(name=name, parent__name=parent, parent__parent=None)
        return self.alive().filter(name=name, parent=None)


class Channel(models.Model):
    """What clients point at.

    `wanted` is raised, in its own transaction, by whatever changes an input of
    the channel's content; a publication that judged everything up to n sets
    `published` to n. `current` is the revision that clients get, 0 before the first.
    """

    class Privacy(models.TextChoices):
        """Who may read a channel; from the most readers to the fewest."""

        PUBLIC = "public", "Public"
        AUTHENTICATED = "authenticated", "Authenticated"
        PRIVATE = "private", "Private"

        @property
        def openness(self) -> int:
            """0 for private, more for more readers: the one order of the three."""
            return len(Channel.Privacy) - 1 - list(Channel.Privacy).index(self)

    name = models.CharField(max_length=64)
    parent = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="subchannels"
    )
    description = models.TextField(blank=True)
    privacy = models.CharField(
        max_length=16, choices=Privacy.choices, default=Privacy.AUTHENTICATED
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    filter = models.OneToOneField(Filter, on_delete=models.PROTECT)
    frozen_at = models.DateTimeField(null=True)
    frozen_by = models.CharField(max_length=200, blank=True)
    frozen_revision = models.IntegerField(null=True)
    """The revision a rollback froze the channel at; None for a plain freeze."""
    current = models.IntegerField(default=0)
    requested_version = models.IntegerField(default=0)
    published_version = models.IntegerField(default=0)
    pending_changes = models.JSONField(default=dict)
    """While frozen: how many files publishing would add, replace, remove now."""
    estimated_version = models.IntegerField(default=0)
    """The `wanted` that `awaiting` was counted for."""
    next_judge_at = models.DateTimeField(null=True)
    restricted = models.BooleanField(default=False)
    """Whether a `SourceLink` limits its readers; says if the links have to be looked at."""
    download_count = models.BigIntegerField(default=0)
    version = models.IntegerField(default=1)
    """Raised by every edit; the ETag of the API's channel object."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Channel]] = ChannelQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(parent=None, deleted_at=None),
                name="channel_name",
                violation_error_message="A channel of this name exists.",
            ),
            models.UniqueConstraint(
                fields=["parent", "name"],
                condition=Q(deleted_at=None),
                name="subchannel_name",
                violation_error_message="A subchannel of this name exists.",
            ),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """`name` or `parent/name`: what stands in addresses."""
        return f"{self.parent.name}/{self.name}" if self.parent else self.name

    @property
    def filters(self) -> list[Filter]:
        """The channel's own filter, then its parent's."""
        return [self.filter] + ([self.parent.filter] if self.parent else [])

    def request_publication(self) -> int:
        """Have this channel and its subchannels published, with what this transaction saves.

        Workers are woken when it commits. Returns the version to wait for in `published`.
        """
        family = Channel.objects.filter(Q(pk=self.pk) | Q(parent_id=self.pk))
        family.update(requested_version=F("requested_version") + 1)
        wanted = dict(family.values_list("pk", "requested_version"))
        for pk in wanted:
            transaction.on_commit(partial(notify.publication, pk))
        return wanted[self.pk]


class SourceLink(models.Model):
    """A channel lists what another channel of this server lists, by way of a mirror.

    While it is there, the channel has no reader that the source does not have, unless somebody
    who manages the source allows more. It outlives its mirror until no kept revision of the
    channel lists anything that came this way.
    """

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="source_links")
    source = models.ForeignKey(
        Channel, on_delete=models.SET_NULL, null=True, related_name="reader_links"
    )
    """None once the source is gone for good: then nobody can allow anything any more."""
    mirror = models.BigIntegerField()
    """The mirror's id; mirrors are known above channels."""
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)
    """Whose mirror it is: they must be allowed to read the source, too."""
    more_readers = models.BooleanField(default=False)
    granted_by = models.CharField(max_length=200, blank=True)
    granted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["mirror", "source"], name="one_link_a_source")
        ]

    def __str__(self) -> str:
        return f"{self.channel} from {self.source}"


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


class IntervalQuerySet(models.QuerySet[Any]):
    def at(self, revision: int) -> Self:
        return self.filter(added_in__lte=revision, removed_in__gt=revision)


class Package(Interval):
    """One package name in one section: what the channel lists of it, and why not more."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    family = models.CharField(max_length=8)
    section = models.CharField(max_length=128)
    name = models.CharField(max_length=200)
    shard = models.ForeignKey(Shard, on_delete=models.PROTECT, null=True)
    """None where nothing of the name is listed; the row then holds the tally only."""
    files = models.IntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    present = models.IntegerField(default=0)
    """Listed files whose bytes are here, at the time of judging."""
    stale = models.BooleanField(default=False)
    """True: files may have come or be missing, so the next publication judges it again."""
    tally = models.JSONField(default=dict)
    """{mirror id: {"active" | "passive" | "missing" | "mirror.<rule>" | "channel.<rule>": n}}"""
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


class Fetch(Reserving):
    """A file on its way for clients: one fetch over all processes, whoever asked first."""

    key = models.CharField(max_length=64, unique=True)
    path = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(default=-1)

    def __str__(self) -> str:
        return self.key


class Refusal(models.Model):
    """A file the upstream could not give; remembered for a short while."""

    key = models.CharField(max_length=64, primary_key=True)
    status = models.IntegerField()
    message = models.TextField()
    until = models.DateTimeField(db_index=True)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    """Whose client asked; a run of one of its mirrors ends the refusal."""
    file_source = models.ForeignKey(FileSource, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"{self.status} {self.message}"


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


class Download(models.Model):
    """How often a file was downloaded, per day and user."""

    day = models.DateField()
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE)
    section = models.CharField(max_length=128)
    filename = models.CharField(max_length=255)
    name = models.CharField(max_length=200)
    user = models.CharField(max_length=150, blank=True)
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day", "channel", "section", "filename", "user"], name="download_once"
            )
        ]
        indexes = [models.Index(fields=["channel", "name"])]

    def __str__(self) -> str:
        return f"{self.day} {self.filename} {self.count}"


class Generation(models.Model):
    """One number that rises whenever an answer to a client may change.

    Web processes keep answers in memory for as long as it stands still.
    """

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)

    @staticmethod
    def rise() -> None:
        """Call inside the transaction of the change."""
        if not Generation.objects.filter(pk=1).update(number=F("number") + 1):
            Generation.objects.get_or_create(pk=1, defaults={"number": 1})
