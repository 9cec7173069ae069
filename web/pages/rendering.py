"""How every page leaves: through `render`, which sets the content-security policy.

So no page can forget the policy, and none can weaken it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render as django_render
from django.utils.cache import patch_vary_headers

Context: TypeAlias = Mapping[str, object]
"""What a template reads, by name."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # No 'unsafe-inline': base.html tells htmx not to add a style element of its own.
        "style-src 'self'",
        # No data: URLs: frontend/vendor.py takes the pictures out of the libraries' style sheets.
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        # A base element in injected HTML would redirect every relative address of a page.
        "base-uri 'none'",
        # Against clickjacking: a foreign page could lay a frame of this one under its own buttons.
        "frame-ancestors 'none'",
    )
)
"""W3C's Content Security Policy Level 3: nothing but files of this server, and no frames."""
DIALOG = "dialog-body"
"""The id of the element in base.html that pages opened as a dialog are put into."""


def render(
    request: HttpRequest,
    template: str,
    context: Context | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    """A page; or its `content` block, when it is requested as a dialog."""
    layout = "dialog.html" if in_dialog(request) else "base.html"
    response = django_render(
        request, template, {"layout": layout, **(context or {})}, status=status
    )
    response["Content-Security-Policy"] = POLICY
    # Pages show what only their user may see, and state that changes by itself.
    response["Cache-Control"] = "no-store"
    # One address gives a page or, for htmx, a part of it: caches must keep them apart.
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
