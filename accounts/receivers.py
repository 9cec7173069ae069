"""What happens when Django and django-allauth say that somebody signed in, out or anew."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.usersessions.models import UserSession
from django.contrib.auth import signals as auth
from django.http import HttpRequest

from accounts import audit, revocation, sessions
from accounts.models import SecurityEventType, User


def connect() -> None:
    """Listen; calling it again changes nothing."""
    auth.user_logged_in.connect(_begun, dispatch_uid="session begun")
    auth.user_logged_out.connect(_left, dispatch_uid="session left")
    account.user_logged_in.connect(_signed_in, dispatch_uid="signed in")
    account.password_changed.connect(_changed, dispatch_uid="password changed")


def _begun(request: HttpRequest | None = None, **_: Any) -> None:
    if request is not None:
        sessions.begin(request)


def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    audit.record(
        SecurityEventType.SIGNED_IN,
        request=request,
        actor=user,
        subject=user,
        detail="in a browser",
    )


def _left(request: HttpRequest | None = None, user: User | None = None, **_: Any) -> None:
    if request is None or user is None:
        return
    UserSession.objects.filter(session_key=request.session.session_key or "").delete()
    audit.record(SecurityEventType.SIGNED_OUT, request=request, actor=user, subject=user)


def _changed(request: HttpRequest, user: User, **_: Any) -> None:
    # Its browsers' other sessions have ended already, as the password is part of them.
    ended = revocation.end_others(user, request.session.session_key)
    audit.record(
        SecurityEventType.PASSWORD_CHANGED,
        request=request,
        actor=user,
        subject=user,
        after={"sessions_ended": ended.sessions},
    )
