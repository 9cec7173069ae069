"""The one place that answers: may this user do that?"""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from accounts.models import LEVELS, User


def level(user: AbstractBaseUser | AnonymousUser, what: str) -> str:
    """The level (`none`, `read`, `write`, `manage`) that `user` has for the attribute `what`."""
    if not isinstance(user, User) or not user.is_active:
        return "none"
    if user.is_superuser:
        return "manage"
    if user.role is None:
        return "none"
    value = user.role.attributes.get(what, "none")
    return value if value in LEVELS else "none"


def can(user: AbstractBaseUser | AnonymousUser, what: str, needed: str) -> bool:
    """Whether `user` has at least the level `needed` for the attribute `what`."""
    return LEVELS.index(level(user, what)) >= LEVELS.index(needed)
