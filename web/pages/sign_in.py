"""Pages: sign in, sign out, change the password. django-allauth does the work."""

from __future__ import annotations

from allauth.account.forms import ChangePasswordForm
from allauth.account.views import LoginView, LogoutView, PasswordChangeView
from allauth.utils import get_request_param
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.views.generic.base import TemplateResponseMixin

from accounts.limits import TooMany
from accounts.redirects import local_url
from web.pages.guards import signed_in, user_of
from web.pages.rendering import Context, render


class RenderMixin(TemplateResponseMixin):
    """A view of the library whose page leaves as every page of this product does."""

    request: HttpRequest
    template_name: str

    def render_to_response(self, context: Context, status: int = 200, **_: object) -> HttpResponse:
        """The page, under the policy that `web.pages.rendering.render` sets."""
        return render(self.request, self.template_name, context, status=status)


class SignIn(RenderMixin, LoginView):  # type: ignore[misc]
    """Sign in with a local account, then go on to where one came from."""

    template_name = "accounts/sign_in.html"

    def get_next_url(self) -> str | None:
        """The address in `next`, if it is one of this server."""
        # Else a link to this page could lead people on to a foreign one that looks the same.
        return local_url(self.request, get_request_param(self.request, "next"), "") or None

    def get_default_success_url(self) -> str:
        return reverse("dashboard")

    def get_context_data(self, **kwargs: object) -> Context:
        context: Context = super().get_context_data(**kwargs)
        return {**context, "next": self.get_success_url()}

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Try to sign in; after too many attempts, the same page says how long to wait."""
        try:
            response: HttpResponseBase = super().post(request, *args, **kwargs)
        except TooMany as error:
            form = self.get_form()
            form.add_error(None, error.message)
            response = self.render_to_response(self.get_context_data(form=form), status=429)
            response["Retry-After"] = str(error.retry_after)
        return response


class SignOut(LogoutView):  # type: ignore[misc]
    """End the session."""

    # No GET: the library would answer it with a page of its own that asks first.
    http_method_names = ["post", "options"]


@method_decorator(signed_in, name="dispatch")
class ChangePassword(RenderMixin, PasswordChangeView):  # type: ignore[misc]
    """Change one's own password; every other session ends. The library counts the tries."""

    template_name = "accounts/password.html"
    success_url = reverse_lazy("profile")

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """404 without a password: the library would go on to a page that is not served."""
        if not user_of(request).has_usable_password():
            raise Http404("This account has no password here. An administrator can make one.")
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def get_next_url(self) -> str | None:
        """Nowhere but to the profile."""
        return None

    def form_valid(self, form: ChangePasswordForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        messages.success(self.request, "Password changed. Other sessions have ended.")
        return response


sign_in = SignIn.as_view()
sign_out = SignOut.as_view()
change_password = ChangePassword.as_view()
