"""Who may do what: users, roles and tokens."""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

from django.contrib.auth.models import AbstractUser
from django.db import models


class Role(models.Model):
    """A named set of attributes, each `permissions.Attribute` with a `Level`."""

    name = models.CharField(max_length=64, unique=True)
    attributes = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    role = models.ForeignKey(Role, on_delete=models.PROTECT, null=True, blank=True)
    theme = models.CharField(max_length=8, default="system")
    must_change_password = models.BooleanField(default=False)
    """An administrator made the password: its owner replaces it before anything else."""
    session_version = models.PositiveIntegerField(default=1)
    """Raised to end every session for good, also those that nothing else knows of."""

    def get_session_auth_hash(self) -> str:
        """What a session must know to be this user's; another password or version ends it."""
        return f"{super().get_session_auth_hash()}.{self.session_version}"

    def get_session_auth_fallback_hash(self) -> Any:
        """The same for retired keys of the server."""
        for old in super().get_session_auth_fallback_hash():
            yield f"{old}.{self.session_version}"


class Token(models.Model):
    """A secret for clients and scripts; only its SHA-256 is kept.

    `scopes` limits what it may do, `resources` which channels it may touch;
    both empty = everything its user may.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=8)
    scopes = models.JSONField(default=list)
    resources = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires = models.DateField(null=True)
    last_used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


def _new_id() -> str:
    return secrets.token_hex(16)


class ApiSession(models.Model):
    """One sign-in through the API. Its access tokens are valid as long as this row exists.

    `refresh_id` names the only refresh token that is valid now; each use replaces it.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_sessions")
    refresh_id = models.CharField(max_length=32, default=_new_id)
    address = models.CharField(max_length=64, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.user} from {self.address}"


class SecurityEventType(models.TextChoices):
    """What is written down about accounts, with the words of the screen."""

    SIGNED_IN = "signed_in", "Signed in"
    SIGN_IN_FAILED = "sign_in_failed", "Sign-in failed"
    SIGN_IN_THROTTLED = "sign_in_throttled", "Sign-in throttled"
    SIGNED_OUT = "signed_out", "Signed out"
    REFUSED = "refused", "Refused"
    USER_CREATED = "user_created", "User created"
    USER_UPDATED = "user_updated", "User updated"
    USER_DISABLED = "user_disabled", "User disabled"
    USER_ENABLED = "user_enabled", "User enabled"
    PASSWORD_CHANGED = "password_changed", "Password changed"
    PASSWORD_RESET = "password_reset", "Password reset"
    ROLE_CREATED = "role_created", "Role created"
    ROLE_UPDATED = "role_updated", "Role updated"
    ROLE_DELETED = "role_deleted", "Role deleted"
    TOKEN_CREATED = "token_created", "Token created"
    TOKEN_ROTATED = "token_rotated", "Token rotated"
    TOKEN_REVOKED = "token_revoked", "Token revoked"
    SESSION_ENDED = "session_ended", "Session ended"
    REFRESH_REUSED = "refresh_reused", "Refresh token used twice"


class AppendOnly(Exception):
    """Somebody tried to change or delete a security event."""


class SecurityEvents(models.QuerySet["SecurityEvent"]):
    """Security events can be read and written, and only `retire` takes old ones away."""

    def update(self, **_: Any) -> NoReturn:
        raise AppendOnly("Security events cannot be changed.")

    def delete(self) -> NoReturn:
        raise AppendOnly("Security events cannot be deleted; they expire.")

    def retire(self) -> int:
        """Delete what this query set holds; for the retention time only."""
        return self._raw_delete(self.db)


class SecurityEvent(models.Model):
    """One line of the audit log. Names and numbers, no foreign keys: it outlives what it names."""

    type = models.CharField(max_length=32, choices=SecurityEventType.choices)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=200, blank=True)
    """Who did it; for a failed sign-in the name that was given."""
    actor_id = models.BigIntegerField(null=True)
    address = models.CharField(max_length=64, blank=True)
    object_type = models.CharField(max_length=16, blank=True)
    object_id = models.BigIntegerField(null=True)
    object_name = models.CharField(max_length=200, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    detail = models.CharField(max_length=300, blank=True)

    objects = SecurityEvents.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["type", "id"]),
            models.Index(fields=["actor", "id"]),
            models.Index(fields=["actor_id", "type", "address"]),
            models.Index(fields=["object_type", "object_id", "id"]),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.get_type_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; there is no update."""
        if not self._state.adding:
            raise AppendOnly("Security events cannot be changed.")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise AppendOnly("Security events cannot be deleted; they expire.")
