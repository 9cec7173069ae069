"""A channel whose files are all at a fake upstream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from channels.models import Channel
from delivery.on_demand import pending
from ecosystems.upstream import Limits
from publishing import explain
from tests.channels import factory
from tests.delivery.on_demand.files import BIG, PATIENT_SECONDS, SMALL
from tests.upstream import FakeUpstream
from tests.wsgi import Client, application


@pytest.fixture(autouse=True)
def upstream_settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.UPSTREAM_ALLOW = ("http://127.0.0.1:*",)
    settings.UPSTREAM_LIMITS = Limits(retries=0, backoff=0.01, tick=0.02)
    monkeypatch.setattr(explain, "verdict", lambda *_: None)
    monkeypatch.setattr(pending, "VERIFY_SECONDS", PATIENT_SECONDS)
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("fetch "):
            thread.join()


@pytest.fixture
def client() -> Client:
    return Client(application)


@pytest.fixture
def tools(upstream: FakeUpstream) -> Channel:
    """A channel whose files are all at the upstream."""
    channel = factory.channel("tools")
    for file in (SMALL, BIG):
        upstream.set(f"/noarch/{file.filename}", file.content)
    origin = factory.file_source(f"{upstream.url}/noarch/")
    factory.publish(channel, {"noarch": [SMALL, BIG]}, file_source=origin, here=False)
    return channel


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "VERIFY_SECONDS", 0)
