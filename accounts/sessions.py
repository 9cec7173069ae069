"""How long a browser's session lasts, and what ends it.

The rules: it ends when nobody has used it for `SESSION_IDLE_HOURS`, and `SESSION_DAYS` after the
sign-in in any case. A page that only follows a run by itself is not use. While a password must be
changed, a session reaches nothing but the page that changes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts import audit, client_ip, locks
from accounts.models import SecurityEventType, User
from accounts.session_store import SessionStore

logger = logging.getLogger(__name__)

# Keys in the session's data.
BEGAN, USED = "began", "used"
POLL = "X-Poll"
"""The header of requests that a page makes by itself; see app.js."""
NOTES_PER_IDLE_TIME = 60
"""Use is written down once in this part of the idle time, not with every request."""
OPEN_PAGES = ("sign-out", "password", "theme")


def begin(request: HttpRequest) -> None:
    """Note when the session of this request began; called at each sign-in."""
    request.session[BEGAN] = request.session[USED] = time.time()


def expire_sessions(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: end sessions whose time is over, and note that the others are used."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        # The cookie first: Django lets an answer vary by cookie once somebody looks at the session.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and isinstance(request.user, User):
            if reason := _end_reason(request):
                audit.record(
                    SecurityEventType.SESSION_ENDED,
                    request=request,
                    actor=request.user,
                    detail=reason,
                )
                request.session.flush()
                request.user = AnonymousUser()
            elif request.user.must_change_password and not _is_allowed_meanwhile(request):
                return _redirect_to_password(request)
            else:
                _note_use(request)
        return get_response(request)

    return middleware


def _end_reason(request: HttpRequest) -> str:
    """Why the session is over; empty while it is not."""
    now = time.time()
    # A session from before these keys starts its time now; `_note_use` writes them.
    began, used = request.session.get(BEGAN, now), request.session.get(USED, now)
    if now - began >= settings.SESSION_DAYS * 24 * 3600:
        return f"{settings.SESSION_DAYS} days after the sign-in"
    if now - used >= settings.SESSION_COOKIE_AGE:
        return f"not used for {settings.SESSION_IDLE_HOURS:g} hours"
    return ""


def _is_allowed_meanwhile(request: HttpRequest) -> bool:
    # The API refuses such a user itself, in its own shape; see web.api.authentication.
    return request.path.startswith("/api/") or request.path in map(reverse, OPEN_PAGES)


def _redirect_to_password(request: HttpRequest) -> HttpResponse:
    # htmx would follow a redirect itself and put the whole page into a part of the old one.
    if "HX-Request" in request.headers:
        return HttpResponse("Choose a password of your own first.", status=403)
    messages.warning(request, "Choose a password of your own. Until then, nothing else is open.")
    return redirect("password")


def _note_use(request: HttpRequest) -> None:
    now = time.time()
    used = request.session.get(USED, 0)
    if POLL in request.headers or now - used < settings.SESSION_COOKIE_AGE / NOTES_PER_IDLE_TIME:
        return
    key = request.session.session_key
    address = client_ip.of_client(request)
    try:
        with locks.wait_at_most(0):
            UserSession.objects.filter(session_key=key).update(
                last_seen_at=timezone.now(), **({"ip": address} if address else {})
            )
    except locks.Locked:
        # Nobody who only reads waits for this; the next request notes it.
        logger.info("The database is locked: the use of a session is not noted now.")
        return
    request.session.setdefault(BEGAN, now)
    request.session[USED] = now


def of_user(user: User) -> list[UserSession]:
    """The sessions of a user's browsers that are alive, newest first."""
    return sorted(
        UserSession.objects.purge_and_list(user),
        key=lambda session: session.last_seen_at,
        reverse=True,
    )


def end(sessions: Iterable[UserSession]) -> int:
    """End these sessions; how many they were."""
    ended = 0
    # One by one: `end` deletes the session's data, too, which is what signs the browser out.
    for session in sessions:
        session.end()
        ended += 1
    return ended


def purge() -> None:
    """Forget sessions that have expired."""
    SessionStore.clear_expired()
    # allauth's rows do not expire with Django's: those whose session is gone go here.
    for session in UserSession.objects.iterator(chunk_size=500):
        if not session.exists():
            session.delete()
