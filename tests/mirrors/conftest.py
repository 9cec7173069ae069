"""A channel, and the upstreams that mirrors in these tests may read."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from channels.models import Channel
from tests import scene


@pytest.fixture
def allowed_upstreams(settings: LazySettings) -> None:
    settings.UPSTREAM_ALLOW = (
        "https://mirror.example.org",
        "https://other.example.org",
        "http://mirror.example.org",
    )
    settings.PUBLIC_URL = "http://127.0.0.1:8000"


@pytest.fixture
def channel() -> Channel:
    return scene.channel()
