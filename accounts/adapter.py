"""What this server decides differently from django-allauth: limits, addresses, words, sign-up."""

from __future__ import annotations

import ipaddress
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from typing_extensions import override

from accounts import client_ip, passwords
from accounts.models import User
from accounts.redirects import local_url

UNKNOWN_ADDRESS = "0.0.0.0"


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Local accounts that administrators make, with the limits of `accounts.passwords`."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": passwords.WRONG_CREDENTIALS,
        "enter_current_password": "This is not your password.",
    }

    @override
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody makes an account for themselves."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that the limits and the log know; the list of sessions wants a valid one."""
        address = client_ip.of_client(request)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return UNKNOWN_ADDRESS
        return address

    def is_safe_url(self, url: str) -> bool:
        """Only addresses of this server."""
        request: HttpRequest = self.request
        return bool(local_url(request, url, ""))

    @override
    def is_ajax(self, request: HttpRequest) -> bool:
        """Pages are answered as pages; scripts have the REST API."""
        return False

    @override
    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        """Disabled while they signed in: the library's page about that is not served."""
        return redirect("sign-in")

    def add_message(self, *_: Any, **__: Any) -> None:
        """The pages say themselves what has happened."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """The active user of these credentials; counted, and wrong ones written down."""
        username = str(credentials.get("username", ""))
        attempt = passwords.count_attempt(request, username)
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user is None or not user.is_active:
            passwords.record_failure(request, username)
            return None
        attempt.take_back()
        return user

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Nothing: allauth's own counts would lock an account out for its owner elsewhere."""

    def clean_password(self, password: str, user: AbstractBaseUser | None = None) -> str:
        """A password that fits the rules and is not the one that is to be replaced."""
        if isinstance(user, User) and user.pk and user.check_password(password):
            raise ValidationError("This is your password already. Choose another one.")
        cleaned: str = super().clean_password(password, user)
        return cleaned

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """A password its owner has chosen."""
        if isinstance(user, User):
            user.must_change_password = False
        super().set_password(user, password)
