"""Who may see and change which channel: one answer for clients, API and screens.

A subchannel is never more public than its parent, and who owns the parent owns it too.
A token narrows what its user may do and never widens it.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet

from accounts import access
from accounts.models import Token, User
from accounts.permissions import READING_SCOPES, Attribute, Level
from channels.blobs import Audience
from channels.models import Channel, SourceLink

AnyUser = access.AnyUser | None


def effective_privacy(channel: Channel) -> Channel.Privacy:
    """The strictest of the channel's own privacy, its parent's, and that of its sources.

    A source counts that is a channel of this server, unless who manages it allows more readers.
    """
    return min(
        (
            declared_privacy(channel),
            # Of a source that is gone nobody can say who might read it.
            *(
                declared_privacy(source) if source else Channel.Privacy.PRIVATE
                for source in restricting_sources(channel)
            ),
        ),
        key=lambda privacy: privacy.openness,
    )


def is_public_without_query(channel: Channel) -> bool:
    """Whether anybody may read the channel, as far as that needs no query; false where it does."""
    # Every request for a public channel asks this; the links are looked at only where one exists.
    return declared_privacy(channel) == Channel.Privacy.PUBLIC and not any(
        row.restricted for row in channel.with_parent
    )


def declared_privacy(channel: Channel) -> Channel.Privacy:
    """The stricter of the channel's own privacy and its parent's, whatever its sources are."""
    privacies = (Channel.Privacy(row.privacy) for row in channel.with_parent)
    return min(privacies, key=lambda privacy: privacy.openness)


def is_more_open(privacy: str, than: str) -> bool:
    """Whether `privacy` lets more people read than `than`."""
    return Channel.Privacy(privacy).openness > Channel.Privacy(than).openness


def restricting_sources(channel: Channel) -> list[Channel | None]:
    """The channels of this server whose readers alone may read `channel`, through all mirrors.

    None stands for one that is gone for good.
    """
    sources: dict[int | None, Channel | None] = {}
    # `restricted` saves the query for most channels: those without a local source.
    pending = [row.pk for row in channel.with_parent if row.restricted]
    while pending:
        links = SourceLink.objects.filter(channel__in=pending, more_readers=False)
        pending = []
        for link in links.select_related("source__parent"):
            # Links outlive their mirrors, so they can form a circle that no mirror does.
            if link.source_id in sources:
                continue
            sources[link.source_id] = link.source
            if link.source is not None:
                pending += [source.pk for source in link.source.with_parent]
    # A circle leads back to the channel itself, which is no limit to itself.
    sources.pop(channel.pk, None)
    return list(sources.values())


def audience(channel: Channel) -> Audience:
    """Whom the channel's bytes are for."""
    return Audience(channel.pk, effective_privacy(channel).openness)


def is_owner(user: AnyUser, channel: Channel) -> bool:
    """Whether `user` owns the channel or its parent."""
    if not isinstance(user, User) or not user.is_active:
        return False
    return user.pk in (row.owner_id for row in channel.with_parent)


def level_on(user: AnyUser, channel: Channel) -> Level:
    """What `user` may do with this channel."""
    signed_in = isinstance(user, User) and user.is_active
    role = access.level(user, Attribute.CHANNEL) if user is not None else Level.NONE
    if is_owner(user, channel) or role == Level.MANAGE:
        return Level.MANAGE
    privacy = effective_privacy(channel)
    if privacy == Channel.Privacy.PRIVATE or (
        privacy == Channel.Privacy.AUTHENTICATED and not signed_in
    ):
        return Level.NONE
    # Whoever may know of a channel may read it, whatever their role says.
    return Level.WRITE if role == Level.WRITE else Level.READ


def can(user: AnyUser, channel: Channel, needed: Level) -> bool:
    """Whether `user` has at least the level `needed` on this channel."""
    return level_on(user, channel).includes(needed)


def token_covers(token: Token, channel: Channel) -> bool:
    """Whether the token's resources name this channel or its parent; without any they name all."""
    return token_reaches(token, channel, Level.NONE)


def may_read(user: AnyUser, token: Token | None, channel: Channel) -> bool:
    """Whether this channel's index and files may be read; anybody may read a public one."""
    # Before the token: one that names other channels takes nothing away that everybody has.
    if effective_privacy(channel) == Channel.Privacy.PUBLIC:
        return True
    if token is not None:
        if not token_covers(token, channel):
            return False
        if token.scopes and not READING_SCOPES.intersection(token.scopes):
            return False
    # Also its owner gets what came from another channel only while they may read that one.
    sources = [source for source in restricting_sources(channel) if source is not None]
    return all(can(user, row, Level.READ) for row in (channel, *sources))


def token_reaches(token: Token, channel: Channel, needed: Level) -> bool:
    """Whether the token's resources cover `needed` on the channel; without any they cover all."""
    # A token for a channel covers its subchannels, too.
    paths = {row.path for row in channel.with_parent}
    return not token.resources or any(
        resource["channel"] in paths and Level(resource["level"]).includes(needed)
        for resource in token.resources
    )


def visible_channels(user: AnyUser) -> QuerySet[Channel]:
    """The channels and subchannels `user` may know of."""
    channels = Channel.objects.filter(deleted_at=None).select_related("parent")
    if not isinstance(user, User) or not user.is_active:
        return channels.filter(_has_privacy(Channel.Privacy.PUBLIC))
    if access.can(user, Attribute.CHANNEL, Level.MANAGE):
        return channels
    owned = Q(owner=user) | Q(parent__owner=user)
    return channels.filter(
        owned | _has_privacy(Channel.Privacy.PUBLIC, Channel.Privacy.AUTHENTICATED)
    )


def _has_privacy(*allowed: str) -> Q:
    """The channels whose effective privacy is one of `allowed`."""
    declared = Q(privacy__in=allowed) & (Q(parent=None) | Q(parent__privacy__in=allowed))
    return declared & ~Q(pk__in=_restricted_beyond(*allowed))


def _restricted_beyond(*allowed: str) -> list[int]:
    """The channels whose sources make them stricter than any of `allowed`."""
    # Few channels have local sources, so these are followed in Python, and the rest in SQL.
    rows = Channel.objects.filter(Q(restricted=True) | Q(parent__restricted=True), deleted_at=None)
    return [
        channel.pk
        for channel in rows.select_related("parent")
        if effective_privacy(channel) not in allowed
    ]
