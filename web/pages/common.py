"""What all pages have in common: how they are rendered, paged, guarded and confirmed.

The rule: every page leaves through `render`, which sets the content-security policy; so no page
can forget it, and none can weaken it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render as django_render
from django.utils.cache import patch_vary_headers

from accounts.access import can
from accounts.models import User
from accounts.permissions import Attribute, Level
from web.api.common import COUNTED

P = ParamSpec("P")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
DIALOG = "dialog-body"
"""The id of the element in base.html that pages opened as a dialog are put into."""

SIZE = 50
LONGEST_TEXT = 300
LARGEST_PAGE = COUNTED // SIZE


def render(
    request: HttpRequest,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    """A page; or what stands in its `content` block, when it is asked for as a dialog."""
    layout = "dialog.html" if in_dialog(request) else "base.html"
    response = django_render(
        request, template, {"layout": layout, **(context or {})}, status=status
    )
    response["Content-Security-Policy"] = POLICY
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def in_dialog(request: HttpRequest) -> bool:
    """Whether the answer will stand in the page's one dialog."""
    return request.headers.get("HX-Target") == DIALOG


def confirm(
    request: HttpRequest,
    *,
    title: str,
    losses: Sequence[str],
    verb: str,
    back: str,
    danger: bool = True,
) -> HttpResponse:
    """Ask before something is done: a page or dialog that POSTs to its own address.

    `losses` are sentences that say what happens and what is lost; `verb` stands on the button.
    """
    context = {"title": title, "losses": losses, "verb": verb, "back": back, "danger": danger}
    return render(request, "confirm.html", {**context, "action": request.get_full_path()})


def user_of(request: HttpRequest) -> User:
    """The signed-in user; for views behind `signed_in`."""
    assert isinstance(request.user, User)
    return request.user


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


def need(request: HttpRequest, attribute: Attribute, level: Level) -> None:
    """Raise PermissionDenied, which names the attribute, unless the user's role has it."""
    if not can(request.user, attribute, level):
        raise PermissionDenied(
            f"This needs a role whose attribute “{attribute}” is “{level}”. "
            "An administrator can give you such a role."
        )


def text_in(request: HttpRequest, key: str) -> str:
    """A text in the query, without what no database can look for."""
    return request.GET.get(key, "").replace("\x00", "").strip()[:LONGEST_TEXT]


def number_in(request: HttpRequest, key: str, *, most: int, default: int = 1) -> int:
    """A number from 1 to `most` in the query; `default` for whatever else stands there."""
    text = request.GET.get(key, "")
    if text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= most:
        return int(text[:9])
    return default


@dataclass(frozen=True)
class Page:
    """Some rows of a list and where they stand in it."""

    rows: Sequence[Any]
    number: int
    total: int
    size: int = SIZE

    @property
    def capped(self) -> bool:
        """Whether there are more than were counted."""
        return self.total > COUNTED

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.last < self.total else None

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def paged(request: HttpRequest, rows: QuerySet[Any] | Sequence[Any], *, size: int = SIZE) -> Page:
    """The rows of the page that the address asks for."""
    capped = rows.order_by()[: COUNTED + 1].count() if isinstance(rows, QuerySet) else None
    total = len(rows) if capped is None else capped
    number = page_number(request)
    if (number - 1) * size >= total:
        number = 1
    return Page(list(rows[(number - 1) * size : number * size]), number, total, size)


def page_number(request: HttpRequest) -> int:
    """The page that the address asks for."""
    return number_in(request, "page", most=LARGEST_PAGE)
