"""What the log does not say."""

from __future__ import annotations

import logging

import pytest
from django.conf import settings

from accounts import jwt
from accounts.models import User
from mirrorserver.log_redaction import RedactionFilter

TOKEN = "0123456789abcdef" * 3


def line(message: str, *args: object, name: str = "django.request") -> str:
    record = logging.LogRecord(name, logging.INFO, "", 1, message, args, None)
    assert RedactionFilter().filter(record)
    return record.getMessage()


@pytest.mark.parametrize(
    ("message", "args", "said"),
    [
        ("Not Found: %s", (f"/T/{TOKEN}/api/repo/main",), "Not Found: /T/***/api/repo/main"),
        (f"{TOKEN} and {TOKEN}", (), "*** and ***"),
        ("%s of %d", ("six", 3), "six of 3"),
        # Hashes are no tokens.
        ("blob %s", ("a" * 64,), f"blob {'a' * 64}"),
        ("blob %s", ("a" * 40,), f"blob {'a' * 40}"),
    ],
)
def test_tokens_are_stars(message: str, args: tuple[object, ...], said: str) -> None:
    assert line(message, *args) == said


@pytest.mark.django_db
def test_bearer_tokens_are_stars() -> None:
    token = jwt.issue(User.objects.create_user("ann"))[0]
    assert line("Not Found: /t/%s/x", token) == "Not Found: /t/***/x"


def test_A13_a_forged_host_writes_one_line() -> None:
    error = ValueError()
    info = (type(error), error, None)
    record = logging.LogRecord("django.security.DisallowedHost", 40, "", 1, "Invalid", (), info)
    RedactionFilter().filter(record)
    assert record.exc_info is None


def test_the_console_redacts() -> None:
    assert settings.LOGGING["handlers"]["console"]["filters"] == ["redaction"]
