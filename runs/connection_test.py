"""Test connection: what is at an address, before anything is saved.

The rule: a handful of small requests within `SECONDS`; no index is read.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TypedDict

from django.conf import settings

from accounts import limits
from accounts.disconnect import IsDisconnected, never_disconnected
from accounts.models import User
from channels import connection_slots
from channels.file_sources import client_for
from channels.models import Document, Package
from ecosystems import connection_test, registry
from ecosystems.connection_test import PEEK_BYTES, DetectedSource
from ecosystems.kinds import Kind
from ecosystems.upstream import Client, NotFound, UpstreamError
from ecosystems.upstream.client import Peek
from mirrors import source_urls
from mirrors.models import Upstream

# Somebody waits in front of the form, and one of few threads with them.
SECONDS = 10.0
CONNECT_SECONDS = 3.0
MOST_REQUESTS = 20
TOO_MANY_TESTS = "Too many connection tests: at most {} for an account."


class SectionSize(TypedDict):
    """One section of an upstream, and the bytes of its index; None where that is not stated."""

    name: str
    size: int | None


class ConnectionTestResult(TypedDict):
    """What is at an address; `source_root` is the right address, where the given one is another.

    `size`: bytes of all indexes whose size is known.
    """

    type: str
    found_type: Kind | None
    sections: list[SectionSize]
    size: int
    source_root: str | None
    warnings: list[str]


class _BudgetExceeded(UpstreamError):
    """The time or the number of requests of a test is used up, or its client has left."""


def probe(
    upstream: Upstream, asker: User, *, is_disconnected: IsDisconnected = never_disconnected
) -> ConnectionTestResult:
    """Test an upstream (saved or not) for a user; raises `UpstreamError`, `TooMany`.

    Ends at once where nobody waits for the answer any more.
    """
    limits.hit_setting_or_raise(
        "tests", f"account {asker.pk}", settings.LIMIT_TESTS, TOO_MANY_TESTS
    )
    if upstream.is_local:
        return _result(upstream, _detect_local_channel(upstream), [])
    requests = _LimitedRequests(upstream.url, is_disconnected)
    patience = replace(settings.UPSTREAM_LIMITS, connect_timeout=CONNECT_SECONDS)
    # Runs may have taken all connections to this host; a person does not wait behind them.
    client = client_for(
        upstream.credential, upstream.proxy, limits=patience, slots=connection_slots.AWAITED
    )
    with client:
        detected = connection_test.detect(
            upstream.url, upstream.kind, partial(requests.peek, client)
        )
    if detected is None and requests.error is not None:
        raise requests.error
    warnings = []
    if requests.error is not None:
        warnings.append(f"Not everything was looked at: {requests.error}")
    if detected is not None and detected.kind is Kind.CONDA:
        warnings.append(
            f"Only these platforms were asked for: {', '.join(connection_test.ASKED_SUBDIRS)}."
        )
    return _result(upstream, detected, warnings)


class _LimitedRequests:
    """The requests of one test, limited in number and time; remembers the first failure."""

    def __init__(self, url: str, is_disconnected: IsDisconnected) -> None:
        self._url = url
        self._is_disconnected = is_disconnected
        self._end = time.monotonic() + SECONDS
        self._left = MOST_REQUESTS
        self.error: UpstreamError | None = None

    def stop(self) -> None:
        if self._is_disconnected():
            raise _BudgetExceeded(self._url, "The client that asked has left.")
        if time.monotonic() >= self._end:
            raise _BudgetExceeded(
                self._url, f"The address did not answer all within {SECONDS:g} seconds."
            )

    def peek(self, client: Client, url: str, accept: str) -> Peek | None:
        """The start of what is at an address; None where nothing is, or it failed."""
        # No answer at all: the next address of the same host would cost the same wait.
        if self.error is not None and not self.error.status:
            return None
        try:
            return self._peek(client, url, accept)
        except NotFound:
            return None
        except UpstreamError as error:
            # That there was no answer says more than a status that came before it.
            if self.error is None or not error.status:
                self.error = error
            return None

    def _peek(self, client: Client, url: str, accept: str) -> Peek:
        self.stop()
        self._left -= 1
        if self._left < 0:
            raise _BudgetExceeded(self._url, f"More than {MOST_REQUESTS} requests would be needed.")
        return client.peek(url, most=PEEK_BYTES, accept=accept, stop=self.stop)


def _detect_local_channel(upstream: Upstream) -> DetectedSource | None:
    """What a channel of this server lists now."""
    channel = upstream.channel
    assert channel is not None
    family = registry.get(upstream.kind).family
    rows = Package.objects.at(channel.current).filter(
        channel=channel, family=family, shard__isnull=False
    )
    detected = DetectedSource(Kind(upstream.kind), upstream.url)
    documents = Document.objects.at(channel.current).filter(channel=channel)
    for section in rows.order_by("section").values_list("section", flat=True).distinct():
        # The plain index is the largest document of a section.
        sizes = documents.filter(section=section).order_by("-size").values_list("size", flat=True)
        detected.sections[section] = sizes.first()
    return detected if detected.sections else None


def _result(
    upstream: Upstream, detected: DetectedSource | None, warnings: list[str]
) -> ConnectionTestResult:
    source_root = None
    if detected is not None and detected.url != upstream.url:
        source_root = source_urls.redacted_url(
            Upstream(url=detected.url, credential=upstream.credential)
        )
    sections = detected.sections if detected else {}
    return {
        "type": upstream.kind,
        "found_type": detected.kind if detected else None,
        "sections": [{"name": name, "size": size} for name, size in sections.items()],
        "size": sum(size or 0 for size in sections.values()),
        "source_root": source_root,
        "warnings": warnings,
    }
