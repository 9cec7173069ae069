"""What the attacks have in common."""

from __future__ import annotations

import pytest

from channels import downloads


@pytest.fixture(autouse=True)
def no_flusher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads are counted, and written by the tests that ask for it."""
    monkeypatch.setattr(downloads, "_start", lambda: None)
