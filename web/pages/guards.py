"""Who may open a page: decorators and checks that send away whoever may not."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.access import can
from accounts.models import User
from accounts.permissions import Attribute, Level

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def signed_in(view: View[P]) -> View[P]:
    """Send people who are not signed in to the sign-in page, and back when they are."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        if "HX-Request" in request.headers:
            # Not a redirect: the sign-in page must not be swapped into a part of this one.
            response = HttpResponse("Your session has ended. Sign in again.", status=401)
            response["Content-Type"] = "text/plain; charset=utf-8"
            return response
        return redirect_to_login(request.get_full_path())

    return guarded


def administrators(view: View[P]) -> View[P]:
    """Only for roles with roles = manage."""

    @signed_in
    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        require_level(request, Attribute.ROLES, Level.MANAGE)
        return view(request, *args, **kwargs)

    return guarded


def require_level(request: HttpRequest, attribute: Attribute, level: Level) -> None:
    """Raise PermissionDenied, which names the attribute, unless the user's role has the level."""
    if not can(request.user, attribute, level):
        raise PermissionDenied(
            f"You need a role whose attribute “{attribute}” is “{level}”. "
            "An administrator can give you such a role."
        )


def user_of(request: HttpRequest) -> User:
    """The signed-in user; for views behind `signed_in`."""
    # For mypy: Django types it as a user or AnonymousUser, which `signed_in` has ruled out.
    assert isinstance(request.user, User)
    return request.user
