"""Pages: where one is signed in, and ending that."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts import audit, revocation
from accounts import sessions as browser_sessions
from accounts.models import ApiSession, SecurityEvent, SecurityEventType, User
from web.pages.guards import signed_in, user_of
from web.pages.rendering import confirm, render

NEWEST = 20


@signed_in
def sessions(request: HttpRequest) -> HttpResponse:
    """The browsers and scripts that are signed in as you, and what happened to your account."""
    user = user_of(request)
    own = SecurityEvent.objects.filter(actor_id=user.pk)
    about = SecurityEvent.objects.filter(object_type="user", object_id=user.pk)
    context = {
        "browsers": browser_sessions.of_user(user),
        "current": request.session.session_key,
        "api_sessions": ApiSession.objects.filter(user=user, expires__gt=timezone.now()).order_by(
            "-pk"
        ),
        "events": (own | about).order_by("-pk")[:NEWEST],
    }
    return render(request, "accounts/sessions.html", context)


@signed_in
def end_others(request: HttpRequest) -> HttpResponse:
    """End every session but this one."""
    user = user_of(request)
    if request.method == "POST":
        # One transaction each: no session ends without its entry in the audit log.
        with transaction.atomic():
            ended = revocation.end_others(user, request.session.session_key)
            _record(request, user, f"all but the one in use: {ended.sessions}")
        messages.success(request, "All other sessions have ended.")
        return redirect("sessions")
    return confirm(
        request,
        title="End all other sessions?",
        losses=["All other browsers and scripts must sign in again. Tokens keep working."],
        verb="End sessions",
        back=reverse("sessions"),
    )


@signed_in
def end_browser(request: HttpRequest, pk: int) -> HttpResponse:
    """End one browser's session."""
    user = user_of(request)
    # 404 for the session of another user as for none: ids of sessions are nobody else's business.
    session = UserSession.objects.filter(user=user, pk=pk).first()
    if session is None:
        raise Http404("You have no such session. It may have ended already.")
    if request.method == "POST":
        with transaction.atomic():
            browser_sessions.end([session])
            _record(request, user, f"a browser at {session.ip}")
        messages.success(request, "The session has ended.")
        return redirect("sessions")
    return _confirm_end(request, "This browser must sign in again.")


@signed_in
def end_api(request: HttpRequest, pk: int) -> HttpResponse:
    """End one API session with all its tokens."""
    user = user_of(request)
    session = ApiSession.objects.filter(user=user, pk=pk).first()
    if session is None:
        raise Http404("You have no such session. It may have ended already.")
    if request.method == "POST":
        with transaction.atomic():
            _record(request, user, f"a script at {session.address or 'an unknown address'}")
            session.delete()
        messages.success(request, "The session has ended.")
        return redirect("sessions")
    return _confirm_end(request, "The script or client that uses it must sign in again.")


def _confirm_end(request: HttpRequest, loss: str) -> HttpResponse:
    return confirm(
        request,
        title="End this session?",
        losses=[loss],
        verb="End session",
        back=reverse("sessions"),
    )


def _record(request: HttpRequest, user: User, detail: str) -> None:
    audit.record(
        SecurityEventType.SESSION_ENDED, request=request, actor=user, subject=user, detail=detail
    )
