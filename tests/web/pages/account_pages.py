"""What tests of the pages about accounts share."""

from __future__ import annotations

from django.test import Client

from accounts.models import User


def browser(user: User) -> Client:
    """A browser in which this user is signed in."""
    client = Client()
    client.force_login(user)
    return client
