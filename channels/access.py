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
    family = [channel, *([channel.parent] if channel.parent else []), *restricting_sources(channel)]
    return min(
        # Of a source that is gone nobody can say who might read it.
        (declared_privacy(source) if source else Channel.Privacy.PRIVATE for source in family),
        key=lambda privacy: privacy.openness,
    )


def is_public_without_query(channel: Channel) -> bool:
    """Whether anybody may read the channel, as far as that needs no query; false where it does."""
    family = [channel, *([channel.parent] if channel.parent else [])]
    return declared_privacy(channel) == Channel.Privacy.PUBLIC and not any(
        one.restricted for one in family
    )


def declared_privacy(channel: Channel) -> Channel.Privacy:
    """The stricter of the channel's own privacy and its parent's, whatever its sources are."""
    kinds = [channel.privacy, *([channel.parent.privacy] if channel.parent else [])]
    return min(map(Channel.Privacy, kinds), key=lambda privacy: privacy.openness)


def is_more_open(privacy: str, other: str) -> bool:
    """Whether the first privacy lets more people read than the other."""
    return Channel.Privacy(privacy).openness > Channel.Privacy(other).openness


def restricting_sources(channel: Channel) -> list[Channel | None]:
    """The channels of this server whose readers alone may read `channel`, through all mirrors.

    None stands for one that is gone for good.
    """
    found: dict[int | None, Channel | None] = {}
    family = [channel, *([channel.parent] if channel.parent else [])]
    todo = [one.pk for one in family if one.restricted]
    while todo:
        links = SourceLink.objects.filter(channel__in=todo, more_readers=False)
        todo = []
        for link in links.select_related("source__parent"):
            if link.source_id in found:
                continue
            found[link.source_id] = link.source
            if link.source is not None:
                todo += [
                    link.source.pk,
                    *([link.source.parent_id] if link.source.parent_id else []),
                ]
    found.pop(channel.pk, None)
    return list(found.values())


def audience(channel: Channel) -> Audience:
    """Whom the channel's bytes are for."""
    return Audience(channel.pk, effective_privacy(channel).openness)


def is_owner(user: AnyUser, channel: Channel) -> bool:
    """Whether `user` owns the channel or its parent."""
    if not isinstance(user, User) or not user.is_active:
        return False
    owners = {channel.owner_id, channel.parent.owner_id if channel.parent else None}
    return user.pk in owners


def level_on(user: AnyUser, channel: Channel) -> Level:
    """What `user` may do with this channel."""
    someone = isinstance(user, User) and user.is_active
    role = access.level(user, Attribute.CHANNEL) if user is not None else Level.NONE
    if is_owner(user, channel) or role == Level.MANAGE:
        return Level.MANAGE
    kind = effective_privacy(channel)
    if kind == Channel.Privacy.PRIVATE or (kind == Channel.Privacy.AUTHENTICATED and not someone):
        return Level.NONE
    # Whoever may know of a channel may read it, whatever their role says.
    return Level.WRITE if role == Level.WRITE else Level.READ


def can(user: AnyUser, channel: Channel, needed: Level) -> bool:
    """Whether `user` has at least the level `needed` on this channel."""
    return level_on(user, channel).includes(needed)


def token_covers(token: Token, channel: Channel) -> bool:
    """Whether the token's resources name this channel or its parent; without any they name all."""
    if not token.resources:
        return True
    parent = channel.parent.name if channel.parent else channel.name
    return any(resource["channel"] in (channel.path, parent) for resource in token.resources)


def may_read(user: AnyUser, token: Token | None, channel: Channel) -> bool:
    """Whether this channel's index and files may be read; anybody may read a public one."""
    if effective_privacy(channel) == Channel.Privacy.PUBLIC:
        return True
    if token is not None:
        if not token_covers(token, channel):
            return False
        if token.scopes and not READING_SCOPES.intersection(token.scopes):
            return False
    # Also its owner gets what came from another channel only while they may read that one.
    sources = [one for one in restricting_sources(channel) if one is not None]
    return can(user, channel, Level.READ) and all(can(user, one, Level.READ) for one in sources)


def token_reaches(token: Token, channel: Channel, needed: Level) -> bool:
    """Whether the token's resources cover `needed` on the channel; without any they cover all."""
    names = {channel.path, channel.parent.name if channel.parent else channel.name}
    return not token.resources or any(
        resource["channel"] in names and Level(resource["level"]).includes(needed)
        for resource in token.resources
    )


def visible_channels(user: AnyUser) -> QuerySet[Channel]:
    """The channels and subchannels `user` may know of."""
    channels = Channel.objects.filter(deleted_at=None).select_related("parent")
    if not isinstance(user, User) or not user.is_active:
        return channels.filter(_at_most(Channel.Privacy.PUBLIC))
    if access.can(user, Attribute.CHANNEL, Level.MANAGE):
        return channels
    owned = Q(owner=user) | Q(parent__owner=user)
    return channels.filter(owned | _at_most(Channel.Privacy.PUBLIC, Channel.Privacy.AUTHENTICATED))


def _closed_by_sources(*kinds: str) -> list[int]:
    """The channels whose sources make them stricter than any of `kinds`."""
    rows = Channel.objects.filter(Q(restricted=True) | Q(parent__restricted=True), deleted_at=None)
    return [one.pk for one in rows.select_related("parent") if effective_privacy(one) not in kinds]


def _at_most(*kinds: str) -> Q:
    open_ = Q(privacy__in=kinds) & (Q(parent=None) | Q(parent__privacy__in=kinds))
    return open_ & ~Q(pk__in=_closed_by_sources(*kinds))
