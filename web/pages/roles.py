"""Pages for administrators: roles, which set a level for each attribute."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.models import Role, SecurityEventType
from accounts.permissions import Attribute, Level
from web.pages.account_events import record_change
from web.pages.account_forms import RoleForm
from web.pages.guards import administrators, user_of
from web.pages.rendering import confirm, render


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
    form = RoleForm(request.POST or None, role=role)
    if request.method == "POST" and form.is_valid():
        edited = role or Role()
        _check_own_role(request, edited, form.attributes())
        before = {"name": edited.name, **edited.attributes} if role else None
        edited.name, edited.attributes = form.cleaned_data["name"], form.attributes()
        event = SecurityEventType.ROLE_UPDATED if role else SecurityEventType.ROLE_CREATED
        with transaction.atomic():
            edited.save()
            record_change(
                event, request, edited, before, {"name": edited.name, **edited.attributes}
            )
        messages.success(request, f"Role {edited} saved. It takes effect immediately.")
        return redirect("roles")
    return render(request, "accounts/role_form.html", {"form": form, "role": role})


@administrators
def delete_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a role that nobody has."""
    role = _role(pk)
    # The database refuses it, too (PROTECT), but has no sentence for people.
    if role.user_set.exists():
        raise PermissionDenied("This role is in use. Give its users another role first.")
    if request.method == "POST":
        with transaction.atomic():
            before = {"name": role.name, **role.attributes}
            # First the entry: it names the role by the id that the deletion takes away.
            record_change(SecurityEventType.ROLE_DELETED, request, role, before)
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


def _role(pk: int) -> Role:
    role = Role.objects.filter(pk=pk).first()
    if role is None:
        raise Http404("This role does not exist.")
    return role


def _check_own_role(request: HttpRequest, role: Role, attributes: dict[str, str]) -> None:
    user = user_of(request)
    own = user.role_id == role.pk and role.pk is not None and not user.is_superuser
    # Nobody else may be left who could give it back.
    if own and attributes[Attribute.ROLES] != Level.MANAGE:
        raise PermissionDenied("You cannot remove roles = manage from your own role.")
