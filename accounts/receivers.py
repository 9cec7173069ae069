"""What happens when Django and django-allauth say that somebody signed in, out or anew."""

from __future__ import annotations

from allauth.account import signals as allauth_signals
from allauth.usersessions.models import UserSession
from django.contrib.auth import signals as django_signals
from django.http import HttpRequest

from accounts import audit, revocation, sessions
from accounts.models import SecurityEventType, User


def connect() -> None:
    """Listen; calling it again changes nothing."""
    # Django sends its signal once there is a session, allauth its own when the sign-in is done.
    django_signals.user_logged_in.connect(_begin_session, dispatch_uid="session begun")
    django_signals.user_logged_out.connect(_end_session, dispatch_uid="session left")
    allauth_signals.user_logged_in.connect(_record_sign_in, dispatch_uid="signed in")
    allauth_signals.password_changed.connect(_end_other_sessions, dispatch_uid="password changed")


def _begin_session(request: HttpRequest | None = None, **_: object) -> None:
    if request is not None:
        sessions.begin(request)


def _record_sign_in(request: HttpRequest, user: User, **_: object) -> None:
    audit.record(
        SecurityEventType.SIGNED_IN,
        request=request,
        actor=user,
        subject=user,
        detail="in a browser",
    )


def _end_session(request: HttpRequest | None = None, user: User | None = None, **_: object) -> None:
    if request is None or user is None:
        return
    # Sent before Django flushes the session, so its key still says which row it is.
    UserSession.objects.filter(session_key=request.session.session_key or "").delete()
    audit.record(SecurityEventType.SIGNED_OUT, request=request, actor=user, subject=user)


def _end_other_sessions(request: HttpRequest, user: User, **_: object) -> None:
    # Its browsers' other sessions have ended already, as the password is part of them.
    ended = revocation.end_others(user, request.session.session_key)
    audit.record(
        SecurityEventType.PASSWORD_CHANGED,
        request=request,
        actor=user,
        subject=user,
        after={"sessions_ended": ended.sessions},
    )
