"""Pages for administrators: local accounts and roles."""

from __future__ import annotations

import secrets
from functools import wraps
from typing import ParamSpec

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from accounts.forms import RoleForm, UserForm
from accounts.models import ATTRIBUTES, Role, User
from accounts.pages import View, confirm, need, paged, render, signed_in, text_in, user_of

P = ParamSpec("P")


def administrators(view: View[P]) -> View[P]:
    """Only for roles with roles = manage."""

    @signed_in
    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        need(request, "roles", "manage")
        return view(request, *args, **kwargs)

    return guarded


@administrators
def users(request: HttpRequest) -> HttpResponse:
    """All local accounts."""
    query = text_in(request, "q")
    rows: QuerySet[User] = User.objects.select_related("role").order_by("username")
    if query:
        rows = rows.filter(Q(username__icontains=query) | Q(email__icontains=query))
    return render(request, "accounts/users.html", {"page": paged(request, rows), "query": query})


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
        return _with_password(request, user, "The account is created.")
    return render(request, "accounts/user_form.html", {"form": form})


@administrators
def edit_user(request: HttpRequest, pk: int) -> HttpResponse:
    """Change name, e-mail and role of an account."""
    user = _user(pk)
    initial = {"username": user.username, "email": user.email, "role": user.role_id}
    form = UserForm(request.POST or None, user=user, initial=initial)
    if request.method == "POST" and form.is_valid():
        role: Role = form.cleaned_data["role"]
        if role.attributes.get("roles") != "manage":
            _keep_one(user)
        user.username, user.email = form.cleaned_data["username"], form.cleaned_data["email"]
        user.role = role
        user.save(update_fields=["username", "email", "role"])
        messages.success(request, f"The account {user} is saved.")
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
            _keep_one(user)
        user.is_active = not user.is_active
        user.save(update_fields=["is_active"])
        word = "enabled" if user.is_active else "disabled"
        messages.success(request, f"The account {user} is {word}.")
        return redirect("users")
    if user.is_active:
        title, verb = f"Disable the account {user}?", "Disable account"
        losses = [
            "It cannot sign in any more, and its tokens are refused: clients that use them stop "
            "working. Its channels and mirrors stay and go on running."
        ]
    else:
        title, verb = f"Enable the account {user}?", "Enable account"
        losses = ["It can sign in again, and its tokens work again."]
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
        return _with_password(request, user, "The password is new; the old one is void.")
    return confirm(
        request,
        title=f"Reset the password of {user}?",
        losses=["The old password is void at once and the account's sessions end."],
        verb="Reset password",
        back=reverse("users"),
    )


def _with_password(request: HttpRequest, user: User, done: str) -> HttpResponse:
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    context = {"edited": user, "password": password, "done": done}
    return render(request, "accounts/new_password.html", context)


@administrators
def roles(request: HttpRequest) -> HttpResponse:
    """All roles and what they allow."""
    rows = Role.objects.annotate(users=Count("user")).order_by("name")
    context = {"roles": rows, "attributes": ATTRIBUTES}
    return render(request, "accounts/roles.html", context)


@administrators
def edit_role(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Create or change a role."""
    role = _role(pk) if pk else None
    form = RoleForm(request.POST or None, role=role, initial={"name": role.name} if role else None)
    if request.method == "POST" and form.is_valid():
        kept = role or Role()
        _check_own_role(request, kept, form.attributes())
        kept.name, kept.attributes = form.cleaned_data["name"], form.attributes()
        kept.save()
        messages.success(request, f"The role {kept} is saved; it holds from the next click on.")
        return redirect("roles")
    return render(request, "accounts/role_form.html", {"form": form, "role": role})


@administrators
def delete_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a role that nobody has."""
    role = _role(pk)
    if role.user_set.exists():
        raise PermissionDenied("People have this role. Give them another one first.")
    if request.method == "POST":
        role.delete()
        messages.success(request, f"The role {role} is deleted.")
        return redirect("roles")
    return confirm(
        request,
        title=f"Delete the role {role}?",
        losses=["Nobody has it, so nobody loses anything."],
        verb="Delete role",
        back=reverse("roles"),
    )


def _user(pk: int) -> User:
    user = User.objects.select_related("role").filter(pk=pk).first()
    if user is None:
        raise Http404("There is no such account.")
    return user


def _role(pk: int) -> Role:
    role = Role.objects.filter(pk=pk).first()
    if role is None:
        raise Http404("There is no such role.")
    return role


def _keep_one(user: User) -> None:
    """Refuse what would leave this server without an administrator."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    if not others.filter(Q(is_superuser=True) | Q(role__attributes__roles="manage")).exists():
        raise PermissionDenied("This is the last administrator; make another one first.")


def _check_own_role(request: HttpRequest, role: Role, attributes: dict[str, str]) -> None:
    user = user_of(request)
    own = user.role_id == role.pk and role.pk is not None and not user.is_superuser
    if own and attributes["roles"] != "manage":
        raise PermissionDenied("You cannot take roles = manage from your own role.")
