"""What tests of several pages about mirrors start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from channels.models import Channel
from tests import scene
from tests.condatree import FakeConda


@pytest.fixture
def allowed(settings: Any) -> None:
    """The sources of these tests may be mirrored."""
    settings.UPSTREAM_ALLOW = ("https://mirror.example.org", "http://127.0.0.1:*")


@pytest.fixture
def channel() -> Channel:
    return scene.channel("main")


@pytest.fixture
def conda() -> Iterator[FakeConda]:
    with FakeConda() as upstream:
        upstream.add("noarch", "six", "1.16.0")
        upstream.add("noarch", "copied", "1.0", license="GPL-3.0-only")
        upstream.add("linux-64", "tool", "2.1")
        upstream.publish()
        yield upstream


@pytest.fixture
def no_attempts() -> None:
    """Nobody has tried to sign in before: attempts are counted in the cache."""
    cache.clear()
