"""Pages for administrators: local accounts and roles."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts import audit, revocation
from accounts.models import Role, SecurityEventType, User
from accounts.permissions import Attribute, Level
from web.pages.account_forms import RoleForm, UserForm
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
            _record(SecurityEventType.USER_CREATED, request, user, after=_audited_settings(user))
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
        if role.attributes.get(Attribute.ROLES) != Level.MANAGE:
            _require_other_administrator(user)
        before = _audited_settings(user)
        user.username, user.email = form.cleaned_data["username"], form.cleaned_data["email"]
        user.role = role
        with transaction.atomic():
            user.save(update_fields=["username", "email", "role"])
            _record(SecurityEventType.USER_UPDATED, request, user, before, _audited_settings(user))
        messages.success(request, f"Account {user} saved.")
        return redirect("users")
    return render(request, "accounts/user_form.html", {"form": form, "edited": user})


@administrators
def switch_user(request: HttpRequest, pk: int) -> HttpResponse:
    """Disable an account, or let it in again."""
    user = _user(pk)
    if user == user_of(request):
        raise PermissionDenied("You cannot disable your own account.")
    if request.method == "POST":
        if user.is_active:
            _require_other_administrator(user)
        messages.success(request, _switched(request, user))
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
            ended = revocation.end_everything(user)
            password = _new_password(user)
            _record(SecurityEventType.PASSWORD_RESET, request, user, after=ended.counts())
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


def _switched(request: HttpRequest, user: User) -> str:
    """Turn the account off or on; what to say about it."""
    user.is_active = not user.is_active
    with transaction.atomic():
        if user.is_active:
            user.save(update_fields=["is_active"])
            _record(SecurityEventType.USER_ENABLED, request, user)
            return f"Account {user} enabled. Its old tokens stay revoked."
        ended = revocation.end_everything(user)
        user.save(update_fields=["is_active"])
        _record(SecurityEventType.USER_DISABLED, request, user, after=ended.counts())
    return f"Account {user} disabled. {ended}."


def _new_password(user: User) -> str:
    """Save the user with a password that its owner must replace at the first sign-in."""
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.must_change_password = True
    user.save()
    return password


def _show_password(request: HttpRequest, user: User, password: str, done: str) -> HttpResponse:
    context = {"edited": user, "password": password, "done": done}
    return render(request, "accounts/new_password.html", context)


@administrators
def roles(request: HttpRequest) -> HttpResponse:
    """All roles and what they allow."""
    rows = Role.objects.annotate(users=Count("user")).order_by("name")
    context = {"roles": rows, "attributes": list(Attribute)}
    return render(request, "accounts/roles.html", context)


@administrators
def edit_role(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Create or change a role."""
    role = _role(pk) if pk else None
    form = RoleForm(request.POST or None, role=role, initial={"name": role.name} if role else None)
    if request.method == "POST" and form.is_valid():
        edited = role or Role()
        _check_own_role(request, edited, form.attributes())
        before = {"name": edited.name, **edited.attributes} if role else None
        edited.name, edited.attributes = form.cleaned_data["name"], form.attributes()
        event = SecurityEventType.ROLE_UPDATED if role else SecurityEventType.ROLE_CREATED
        with transaction.atomic():
            edited.save()
            _record(event, request, edited, before, {"name": edited.name, **edited.attributes})
        messages.success(request, f"Role {edited} saved. It takes effect immediately.")
        return redirect("roles")
    return render(request, "accounts/role_form.html", {"form": form, "role": role})


@administrators
def delete_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a role that nobody has."""
    role = _role(pk)
    if role.user_set.exists():
        raise PermissionDenied("This role is in use. Give its users another role first.")
    if request.method == "POST":
        with transaction.atomic():
            facts = {"name": role.name, **role.attributes}
            _record(SecurityEventType.ROLE_DELETED, request, role, facts)
            role.delete()
        messages.success(request, f"Role {role} deleted.")
        return redirect("roles")
    return confirm(
        request,
        title=f"Delete the role {role}?",
        losses=["No user has this role."],
        verb="Delete role",
        back=reverse("roles"),
    )


def _user(pk: int) -> User:
    user = User.objects.select_related("role").filter(pk=pk).first()
    if user is None:
        raise Http404("This account does not exist.")
    return user


def _role(pk: int) -> Role:
    role = Role.objects.filter(pk=pk).first()
    if role is None:
        raise Http404("This role does not exist.")
    return role


def _audited_settings(user: User) -> dict[str, str]:
    """What administrators set of an account, for the audit log."""
    role = str(user.role) if user.role else ""
    return {"username": user.username, "email": user.email, "role": role}


def _record(
    event: SecurityEventType,
    request: HttpRequest,
    subject: User | Role,
    before: dict[str, str] | None = None,
    after: Mapping[str, str | int] | None = None,
) -> None:
    audit.record(
        event,
        request=request,
        actor=user_of(request),
        subject=subject,
        before=before,
        after=after,
    )


def _require_other_administrator(user: User) -> None:
    """Refuse what would leave this server without an administrator."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    if not others.filter(Q(is_superuser=True) | Q(role__attributes__roles=Level.MANAGE)).exists():
        raise PermissionDenied("This is the last administrator. Create another one first.")


def _check_own_role(request: HttpRequest, role: Role, attributes: dict[str, str]) -> None:
    user = user_of(request)
    own = user.role_id == role.pk and role.pk is not None and not user.is_superuser
    if own and attributes[Attribute.ROLES] != Level.MANAGE:
        raise PermissionDenied("You cannot remove roles = manage from your own role.")
