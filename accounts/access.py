"""The one place that answers: may this user do that?"""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from accounts.permissions import Attribute, Level

AnyUser = AbstractBaseUser | AnonymousUser


def level(user: AnyUser, attribute: Attribute) -> Level:
    """The level that the user's role has for `attribute`; superusers manage everything."""
    if not isinstance(user, User) or not user.is_active:
        return Level.NONE
    if user.is_superuser:
        return Level.MANAGE
    if user.role is None:
        return Level.NONE
    try:
        return Level(user.role.attributes.get(attribute, Level.NONE))
    except ValueError:
        # A row that somebody wrote by hand: what it does not clearly allow, it does not allow.
        return Level.NONE


def can(user: AnyUser, attribute: Attribute, needed: Level) -> bool:
    """Whether the user's role has at least the level `needed` for `attribute`."""
    return level(user, attribute).includes(needed)
