"""What the fault tests share: upstreams to mirror, and limits that nobody waits for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import LazySettings

from ecosystems.upstream.backoff import PROCESS_BACKOFF
from tests import machine, sources
from tests.condatree import FakeConda
from tests.sources import KINDS, Source

FILES = 4
"""How many files the channel below `conda` lists."""


@pytest.fixture
def conda(settings: LazySettings) -> Iterator[FakeConda]:
    with FakeConda() as server:
        settings.UPSTREAM_ALLOW = (server.url,)
        settings.UPSTREAM_LIMITS = replace(
            settings.UPSTREAM_LIMITS, backoff=0.0, backoff_max=0.0, retry_after_max=0.0, tick=0.02
        )
        server.add("noarch", "six", "1.16.0")
        server.add("noarch", "six", "1.15.0", ext=".tar.bz2")
        server.add("linux-64", "zlib", "1.3", license="Zlib")
        server.add("linux-64", "numpy", "2.0", depends=("six",), license="GPL-3.0-only")
        server.publish()
        yield server
    # Nobody who comes later waits for a server of this test.
    PROCESS_BACKOFF._until.clear()


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, settings: LazySettings) -> Iterator[Source]:
    """A small upstream of each type."""
    with sources.serving(request.param) as one:
        settings.UPSTREAM_ALLOW = (one.server.url,)
        settings.UPSTREAM_LIMITS = replace(
            settings.UPSTREAM_LIMITS, backoff=0.0, backoff_max=0.0, retry_after_max=0.0, tick=0.02
        )
        yield one
    PROCESS_BACKOFF._until.clear()


@pytest.fixture
def disk(data: Path) -> Iterator[Path]:
    """DATA on a disk of 8 MB."""
    machine.program("mount")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(data)], capture_output=True
    )
    if mounted.returncode:
        machine.lacks(f"a small disk cannot be mounted: {mounted.stderr.decode().strip()}")
    yield data
    subprocess.run(["umount", "-l", str(data)], check=True)
