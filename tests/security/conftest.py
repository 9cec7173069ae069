"""What the attacks have in common."""

from __future__ import annotations

from typing import Any

import pytest

from channels import downloads


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """A quick hash: what is attacked is never the hash."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def no_flusher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads are counted, and written by the tests that ask for it."""
    monkeypatch.setattr(downloads, "_start", lambda: None)
