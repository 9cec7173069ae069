"""Pages for administrators: local accounts."""

from __future__ import annotations

import secrets

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts import revocation
from accounts.models import Role, SecurityEventType, User
from accounts.permissions import Attribute, Level
from web.pages.account_events import record_change
from web.pages.account_forms import UserForm
from web.pages.guards import administrators, user_of
from web.pages.pagination import paginate, text_parameter
from web.pages.rendering import confirm, render


@administrators
def users(request: HttpRequest) -> HttpResponse:
    """All local accounts."""
    query = text_parameter(request, "q")
    rows: QuerySet[User] = User.objects.select_related("role").order_by("username")
    if query:
        rows = rows.filter(Q(username__icontains=query) | Q(email__icontains=query))
    return render(request, "accounts/users.html", {"page": paginate(request, rows), "query": query})


@administrators
def create_user(request: HttpRequest) -> HttpResponse:
    """A new account; its first password is shown once."""
    form = UserForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = User(
            username=form.cleaned_data["username"],
            email=form.cleaned_data["email"],
            role=form.cleaned_data["role"],
        )
        with transaction.atomic():
            password = _new_password(user)
            record_change(
                SecurityEventType.USER_CREATED, request, user, after=_audited_settings(user)
            )
        return _show_password(request, user, password, "Account created.")
    return render(request, "accounts/user_form.html", {"form": form})


@administrators
def edit_user(request: HttpRequest, pk: int) -> HttpResponse:
    """Change name, e-mail and role of an account."""
    user = _user(pk)
    initial = {"username": user.username, "email": user.email, "role": user.role_id}
    form = UserForm(request.POST or None, user=user, initial=initial)
    if request.method == "POST" and form.is_valid():
        role: Role = form.cleaned_data["role"]
        # Only if the new role is no administrator's: the last one can still be renamed.
        if role.attributes.get(Attribute.ROLES) != Level.MANAGE:
            _require_other_administrator(user)
        before = _audited_settings(user)
        user.username, user.email = form.cleaned_data["username"], form.cleaned_data["email"]
        user.role = role
        with transaction.atomic():
            user.save(update_fields=["username", "email", "role"])
            record_change(
                SecurityEventType.USER_UPDATED, request, user, before, _audited_settings(user)
            )
        messages.success(request, f"Account {user} saved.")
        return redirect("users")
    return render(request, "accounts/user_form.html", {"form": form, "edited": user})


@administrators
def switch_user(request: HttpRequest, pk: int) -> HttpResponse:
    """Disable an account, or enable it again."""
    user = _user(pk)
    # They could not sign in again to undo it.
    if user == user_of(request):
        raise PermissionDenied("You cannot disable your own account.")
    if request.method == "POST":
        if user.is_active:
            _require_other_administrator(user)
        messages.success(request, _toggle_active(request, user))
        return redirect("users")
    if user.is_active:
        title, verb = f"Disable the account {user}?", "Disable account"
        losses = [
            "The user can no longer sign in. Sessions end and tokens are revoked permanently: "
            "clients that use them stop working. Channels and mirrors stay and keep running."
        ]
    else:
        title, verb = f"Enable the account {user}?", "Enable account"
        losses = ["The user can sign in again. Old tokens stay revoked, so new ones are needed."]
    return confirm(
        request,
        title=title,
        losses=losses,
        verb=verb,
        back=reverse("users"),
        danger=user.is_active,
    )


@administrators
def reset_password(request: HttpRequest, pk: int) -> HttpResponse:
    """A new password for an account, shown once."""
    user = _user(pk)
    if request.method == "POST":
        with transaction.atomic():
            # Whoever knew the old password may be signed in with it.
            ended = revocation.end_everything(user)
            password = _new_password(user)
            record_change(SecurityEventType.PASSWORD_RESET, request, user, after=ended.counts())
        done = f"Password reset; the old password no longer works. {ended}."
        return _show_password(request, user, password, done)
    return confirm(
        request,
        title=f"Reset the password of {user}?",
        losses=[
            "The old password stops working immediately. The account's sessions end and its tokens "
            "are revoked: clients that use them stop working."
        ],
        verb="Reset password",
        back=reverse("users"),
    )


def _toggle_active(request: HttpRequest, user: User) -> str:
    """Disable or enable the account; the sentence that says so."""
    user.is_active = not user.is_active
    with transaction.atomic():
        if user.is_active:
            user.save(update_fields=["is_active"])
            record_change(SecurityEventType.USER_ENABLED, request, user)
            return f"Account {user} enabled. Its old tokens stay revoked."
        ended = revocation.end_everything(user)
        user.save(update_fields=["is_active"])
        record_change(SecurityEventType.USER_DISABLED, request, user, after=ended.counts())
    return f"Account {user} disabled. {ended}."


def _new_password(user: User) -> str:
    """Save the user with a password that its owner must replace at the first sign-in."""
    # 96 bits: nobody guesses it before its owner replaces it.
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.must_change_password = True
    user.save()
    return password


def _show_password(request: HttpRequest, user: User, password: str, done: str) -> HttpResponse:
    context = {"edited": user, "password": password, "done": done}
    return render(request, "accounts/new_password.html", context)


def _user(pk: int) -> User:
    user = User.objects.select_related("role").filter(pk=pk).first()
    if user is None:
        raise Http404("This account does not exist.")
    return user


def _audited_settings(user: User) -> dict[str, str]:
    """What administrators set of an account, for the audit log."""
    role = str(user.role) if user.role else ""
    return {"username": user.username, "email": user.email, "role": role}


def _require_other_administrator(user: User) -> None:
    """Refuse what would leave this server without an administrator."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    if not others.filter(Q(is_superuser=True) | Q(role__attributes__roles=Level.MANAGE)).exists():
        raise PermissionDenied("This is the last administrator. Create another one first.")
