"""What roles and tokens can allow: levels, the attributes that have one, and scopes.

The names are the API's (`permissions`, `/account/scopes`), so they stand in database rows, too.
"""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """How much somebody may do with a thing; each level includes those before it."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    MANAGE = "manage"

    def includes(self, needed: Level) -> bool:
        """Whether this level is enough where `needed` is asked for."""
        return _RANKS[self] >= _RANKS[needed]


# A dictionary, because a plain string from a database row finds its rank in it, too.
_RANKS = {level: rank for rank, level in enumerate(Level)}


class Attribute(StrEnum):
    """What a role has a `Level` for."""

    CHANNEL = "channel"
    MIRROR = "mirror"
    ARTIFACT = "artifact"
    CVE = "cve"
    ROLES = "roles"


class Scope(StrEnum):
    """What a token may be limited to, by the names that the vendor's clients know."""

    ARTIFACT_CREATE = "artifact:create"
    ARTIFACT_VIEW = "artifact:view"
    ARTIFACT_EDIT = "artifact:edit"
    ARTIFACT_DOWNLOAD = "artifact:download"
    ARTIFACT_DELETE = "artifact:delete"
    CHANNEL_CREATE = "channel:create"
    CHANNEL_VIEW = "channel:view"
    CHANNEL_EDIT = "channel:edit"
    CHANNEL_DELETE = "channel:delete"
    CHANNEL_HISTORY = "channel:history"
    CHANNEL_VIEW_ARTIFACTS = "channel:view-artifacts"
    SUBCHANNEL_CREATE = "subchannel:create"
    SUBCHANNEL_VIEW = "subchannel:view"
    SUBCHANNEL_EDIT = "subchannel:edit"
    SUBCHANNEL_DELETE = "subchannel:delete"
    SUBCHANNEL_HISTORY = "subchannel:history"
    SUBCHANNEL_VIEW_ARTIFACTS = "subchannel:view-artifacts"
    CHANNEL_GROUP_VIEW = "channel.group:view"
    CHANNEL_GROUP_EDIT = "channel.group:edit"
    SUBCHANNEL_GROUP_VIEW = "subchannel.group:view"
    SUBCHANNEL_GROUP_EDIT = "subchannel.group:edit"
    CHANNEL_MIRROR_VIEW = "channel.mirror:view"
    CHANNEL_MIRROR_EDIT = "channel.mirror:edit"
    SUBCHANNEL_MIRROR_VIEW = "subchannel.mirror:view"
    SUBCHANNEL_MIRROR_EDIT = "subchannel.mirror:edit"
    DEFAULT_CHANNEL_EDIT = "channel.default-channel:edit"
    CVE_VIEW = "cve:view"


READING_SCOPES = frozenset(
    {
        Scope.ARTIFACT_DOWNLOAD,
        Scope.ARTIFACT_VIEW,
        Scope.CHANNEL_VIEW,
        Scope.CHANNEL_VIEW_ARTIFACTS,
        Scope.SUBCHANNEL_VIEW,
        Scope.SUBCHANNEL_VIEW_ARTIFACTS,
    }
)
"""Any one of them lets a token read the index and the files of a channel."""
