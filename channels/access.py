"""Who may see and change which channel: one answer for clients, API and screens.

A subchannel is never more public than its parent, and who owns the parent owns it too.
A token narrows what its user may do and never widens it.
"""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from accounts import access
from accounts.models import LEVELS, Token, User
from channels.models import Channel

Caller = AbstractBaseUser | AnonymousUser | None

_STRICTNESS = (Channel.Privacy.PUBLIC, Channel.Privacy.AUTHENTICATED, Channel.Privacy.PRIVATE)
READING_SCOPES = frozenset(
    {"artifact:download", "artifact:view", "channel:view", "channel:view-artifacts"}
    | {"subchannel:view", "subchannel:view-artifacts"}
)


def privacy(channel: Channel) -> str:
    """The stricter of the channel's own privacy and its parent's."""
    own = _STRICTNESS.index(Channel.Privacy(channel.privacy))
    if channel.parent is None:
        return _STRICTNESS[own]
    return _STRICTNESS[max(own, _STRICTNESS.index(Channel.Privacy(channel.parent.privacy)))]


def is_owner(user: Caller, channel: Channel) -> bool:
    """Whether `user` owns the channel or its parent."""
    if not isinstance(user, User) or not user.is_active:
        return False
    owners = {channel.owner_id, channel.parent.owner_id if channel.parent else None}
    return user.pk in owners


def level(user: Caller, channel: Channel) -> str:
    """`none`, `read`, `write` or `manage`: what `user` may do with this channel."""
    someone = isinstance(user, User) and user.is_active
    role = access.level(user, "channel") if user is not None else "none"
    if is_owner(user, channel) or role == "manage":
        return "manage"
    kind = privacy(channel)
    if kind == Channel.Privacy.PRIVATE or (kind == Channel.Privacy.AUTHENTICATED and not someone):
        return "none"
    return role if role == "write" else "read"


def can(user: Caller, channel: Channel, needed: str) -> bool:
    """Whether `user` has at least the level `needed` on this channel."""
    return LEVELS.index(level(user, channel)) >= LEVELS.index(needed)


def covers(token: Token, channel: Channel) -> bool:
    """Whether the token's resources name this channel or its parent; without any they name all."""
    if not token.resources:
        return True
    parent = channel.parent.name if channel.parent else channel.name
    return any(resource["channel"] in (channel.path, parent) for resource in token.resources)


def may_read(user: Caller, token: Token | None, channel: Channel) -> bool:
    """Whether this channel's index and files may be read; anybody may read a public one."""
    if privacy(channel) == Channel.Privacy.PUBLIC:
        return True
    if token is not None:
        if not covers(token, channel):
            return False
        if token.scopes and not READING_SCOPES.intersection(token.scopes):
            return False
    return can(user, channel, "read")


def visible_channels(user: Caller) -> QuerySet[Channel]:
    """The channels and subchannels `user` may know of."""
    channels = Channel.objects.filter(deleted=None).select_related("parent")
    if not isinstance(user, User) or not user.is_active:
        return channels.filter(_at_most(Channel.Privacy.PUBLIC))
    if access.can(user, "channel", "manage"):
        return channels
    owned = Q(owner=user) | Q(parent__owner=user)
    return channels.filter(owned | _at_most(Channel.Privacy.PUBLIC, Channel.Privacy.AUTHENTICATED))


def _at_most(*kinds: str) -> Q:
    return Q(privacy__in=kinds) & (Q(parent=None) | Q(parent__privacy__in=kinds))
