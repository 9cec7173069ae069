"""What the tests of mirrors share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from tests.condatree import FakeConda


@pytest.fixture
def small(settings: LazySettings) -> Iterator[FakeConda]:
    """A conda channel of four files in two subdirs."""
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        server.add("noarch", "six", "1.16.0")
        server.add("noarch", "six", "1.15.0", ext=".tar.bz2")
        server.add("linux-64", "zlib", "1.3", license="Zlib")
        server.add("linux-64", "numpy", "2.0", depends=("six",), license="GPL-3.0-only")
        server.publish()
        yield server
