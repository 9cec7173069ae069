"""Pages: one's own account, with its tokens and theme."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts import tokens
from accounts.access import level
from accounts.models import Token
from accounts.permissions import Attribute
from accounts.redirects import local_url
from history.models import EventType
from web.pages.account_forms import TokenForm
from web.pages.guards import signed_in, user_of
from web.pages.rendering import confirm, render
from web.token_events import record_token_event

THEMES = ("system", "light", "dark")


@signed_in
def profile(request: HttpRequest) -> HttpResponse:
    """Who you are, what your role lets you do, your tokens."""
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _issue_token(request, form)
    return _profile_page(request, form)


def _issue_token(request: HttpRequest, form: TokenForm) -> HttpResponse:
    scopes, resources = form.limits()
    with transaction.atomic():
        token, secret = tokens.issue(
            user_of(request),
            form.cleaned_data["name"],
            expires=form.cleaned_data["expires"],
            scopes=scopes,
            resources=resources,
        )
        record_token_event(EventType.TOKEN_CREATED, token, request)
    # No redirect after this POST: the secret would have to be kept meanwhile, in the session or
    # in the address, and it must not be kept anywhere.
    return _profile_page(request, TokenForm(), secret=secret, token=token)


def _profile_page(
    request: HttpRequest, form: TokenForm, *, secret: str = "", token: Token | None = None
) -> HttpResponse:
    user = user_of(request)
    context = {
        "form": form,
        "tokens": Token.objects.filter(user=user).order_by("-id"),
        "levels": [(attribute, level(user, attribute)) for attribute in Attribute],
        "secret": secret,
        "token_created": token,
    }
    return render(request, "accounts/profile.html", context)


@signed_in
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke one of your tokens."""
    token = Token.objects.filter(user=user_of(request), pk=pk).select_related("user").first()
    if token is None:
        raise Http404("You have no such token. It may have been revoked already.")
    if request.method == "POST":
        with transaction.atomic():
            # First the event: it names the token by the id that the deletion takes away.
            record_token_event(EventType.TOKEN_REVOKED, token, request)
            token.delete()
        messages.success(request, f"Token {token.name} revoked.")
        return redirect("profile")
    losses = ["Clients and scripts that use it stop working immediately."]
    return confirm(
        request,
        title=f"Revoke the token {token.name}?",
        losses=losses,
        verb="Revoke token",
        back=reverse("profile"),
    )


@signed_in
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or as the system has it."""
    user = user_of(request)
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        user.theme = chosen
        user.save(update_fields=["theme"])
    return redirect(local_url(request, request.POST.get("next"), "/"))
