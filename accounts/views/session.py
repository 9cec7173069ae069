"""Pages: sign in, sign out."""

from __future__ import annotations

from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import caller
from accounts.answers import ApiError
from accounts.forms import SignIn
from accounts.pages import inside, render

TOO_MANY = 429


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in with a local account, then go on to where one came from."""
    onward = inside(request, request.POST.get("next") or request.GET.get("next"), "/")
    if request.user.is_authenticated:
        return redirect(onward)
    form = SignIn(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            user = caller.sign_in(request, **form.cleaned_data)
        except ApiError as error:
            form.add_error(None, error.message)
            status = error.status if error.status == TOO_MANY else 200
        else:
            login(request, user)
            return redirect(onward)
    context = {"form": form, "next": onward}
    return render(request, "accounts/sign_in.html", context, status=status)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("sign-in")
