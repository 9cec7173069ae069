"""What every test may ask for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import TransactionTestCase, override_settings

from accounts import limits
from delivery import cache, download_counts
from tests import emptying
from tests.condatree import FakeConda
from tests.upstream import FakeUpstream


def pytest_collection_finish() -> None:
    """Modules stay for good: the garbage collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """The real hash is slow on purpose: it was a third of the suite's time."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_emptying() -> Iterator[None]:
    """After a test that commits, rows are deleted; Django would flush."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", emptying.teardown)
        yield


@pytest.fixture(autouse=True)
def data(settings: object, tmp_path: Path) -> Path:
    """A DATA folder of the test's own."""
    settings.DATA = tmp_path / "data"  # type: ignore[attr-defined]
    settings.DATA.mkdir()  # type: ignore[attr-defined]
    return settings.DATA  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    """A server on a real port that can misbehave."""
    with FakeUpstream() as server:
        yield server


@pytest.fixture(autouse=True)
def unlimited(settings: object) -> None:
    """Tests ask as fast as they can; limits have tests of their own, which set them."""
    for name in ("LIMIT_WRITES", "LIMIT_RUNS", "LIMIT_TESTS"):
        setattr(settings, name, "")
    limits._refused.clear()


@pytest.fixture(autouse=True)
def no_flusher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads are counted, and written by the tests that ask for it."""
    monkeypatch.setattr(download_counts, "_start", lambda: None)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a database of its own, whose generations count from the start."""
    monkeypatch.setattr(cache, "_current", cache.Caches(-1))


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
