"""Channels, and the links by which one lists what another has."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q

from channels import notify
from filters.models import Filter


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

    `requested_version` is raised, in its own transaction, by whatever changes an input of the
    channel's content; a publication that judged everything up to n sets `published_version` to n.
    `current` is the revision that clients get, 0 before the first.
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
    """The `requested_version` that `pending_changes` was counted for."""
    indexed_revision = models.IntegerField(default=0)
    """The revision whose files `ListedAdvisory` rows are about."""
    indexed_advisories = models.BigIntegerField(default=0)
    """The number of the last change of advisories that they know."""
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
            # Two of them: NULLs are distinct in SQL, so one over both columns would not bind
            # channels without a parent.
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
    def with_parent(self) -> list[Channel]:
        """The channel, then its parent: both decide what it lists and who may read it."""
        return [self, self.parent] if self.parent else [self]

    @property
    def filters(self) -> list[Filter]:
        """The channel's own filter, then its parent's."""
        return [channel.filter for channel in self.with_parent]

    def request_publication(self, *, subchannels: bool = True) -> int:
        """Have this channel and its subchannels published, with what this transaction saves.

        Workers are woken when it commits. Returns the version to wait for in
        `published_version`. `subchannels=False`: what changed is no concern of theirs.
        """
        family = Channel.objects.filter(pk=self.pk)
        if subchannels:
            family = Channel.objects.filter(Q(pk=self.pk) | Q(parent_id=self.pk))
        # Raised in SQL: two changes at once must not be taken for one.
        family.update(requested_version=F("requested_version") + 1)
        requested = dict(family.values_list("pk", "requested_version"))
        for pk in requested:
            transaction.on_commit(partial(notify.publication, pk))
        return requested[self.pk]


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
