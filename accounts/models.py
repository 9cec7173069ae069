"""Who may do what: users, roles and tokens."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models

LEVELS = ("none", "read", "write", "manage")
ATTRIBUTES = ("channel", "mirror", "artifact", "cve", "roles")


class Role(models.Model):
    """A named set of attributes, each with one of `LEVELS`."""

    name = models.CharField(max_length=64, unique=True)
    attributes = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    role = models.ForeignKey(Role, on_delete=models.PROTECT, null=True, blank=True)
    theme = models.CharField(max_length=8, default="system")


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
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateField(null=True)
    last_used = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
