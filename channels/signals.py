"""Raises the generation when people, roles or tokens change: accounts know nothing of channels."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_save

from accounts.models import ApiSession, Role, Token, User
from channels.models import Generation

UNRELATED_FIELDS = frozenset({"last_login", "last_used_at", "theme"})
"""Fields that decide nothing about what a client may read."""


def connect() -> None:
    """Listen; calling it again changes nothing."""
    for model in (Role, Token, User):
        for signal in (post_save, post_delete):
            signal.connect(_changed, sender=model, dispatch_uid=f"generation of {model.__name__}")
    # A new API session takes nothing from anybody; its end does.
    post_delete.connect(_changed, sender=ApiSession, dispatch_uid="generation of ApiSession")


def _changed(update_fields: frozenset[str] | None = None, **_: Any) -> None:
    # A save that names no fields may have changed any of them.
    if update_fields is None or not UNRELATED_FIELDS.issuperset(update_fields):
        Generation.rise()
