"""Test connection: what is at an address, before anything is saved.

The rule: a handful of small requests within `SECONDS`; no index is read.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.conf import settings

from accounts import limits
from accounts.models import User
from accounts.presence import Gone, never_gone
from channels import connection_slots
from channels.file_sources import client_for
from channels.models import Document, Package
from ecosystems import connection_test, registry
from ecosystems.connection_test import PEEK_BYTES, DetectedSource, PeekAt
from ecosystems.kinds import Kind
from ecosystems.upstream import Client, NotFound, UpstreamError
from ecosystems.upstream.client import Peek
from mirrors import source_urls
from mirrors.models import Upstream

SECONDS = 10.0
CONNECT_SECONDS = 3.0
MOST_REQUESTS = 20
TESTED = "Too many connection tests: at most {} for an account."

Shape = dict[str, Any]


class _Late(UpstreamError):
    """The time or the number of requests of a test is used up, or its client has left."""


def probe(upstream: Upstream, asker: User, *, gone: Gone = never_gone) -> Shape:
    """PeekAt at an upstream (saved or not) for a user; raises `UpstreamError`, `TooMany`.

    Ends at once where nobody waits for the answer any more.

    `source_root` is the address that was meant, where the given one is another. Sizes are of the
    indexes, in bytes; null where the upstream does not tell.
    """
    limits.hit_setting_or_raise("tests", f"account {asker.pk}", settings.LIMIT_TESTS, TESTED)
    if upstream.channel_id is not None:
        return _shape(upstream, _own(upstream), [])
    asked = _Asked(upstream.url, gone)
    patience = replace(settings.UPSTREAM_LIMITS, connect_timeout=CONNECT_SECONDS)
    client = client_for(
        upstream.credential, upstream.proxy, limits=patience, slots=connection_slots.AWAITED
    )
    with client:
        detected = connection_test.detect(upstream.url, upstream.kind, asked.look(client))
    if detected is None and asked.failed is not None:
        raise asked.failed
    warnings = []
    if asked.failed is not None:
        warnings.append(f"Not everything was looked at: {asked.failed}")
    if detected is not None and detected.kind is Kind.CONDA:
        warnings.append(
            f"Only these platforms were asked for: {', '.join(connection_test.ASKED_SUBDIRS)}."
        )
    return _shape(upstream, detected, warnings)


class _Asked:
    """Counts the requests and the time of one test; remembers the first failure.

    Where no answer came at all, nothing more is asked.
    """

    def __init__(self, url: str, gone: Gone) -> None:
        self._url = url
        self._gone = gone
        self._end = time.monotonic() + SECONDS
        self._left = MOST_REQUESTS
        self.failed: UpstreamError | None = None

    def stop(self) -> None:
        if self._gone():
            raise _Late(self._url, "The client that asked has left.")
        if time.monotonic() >= self._end:
            raise _Late(self._url, f"The address did not answer all within {SECONDS:g} seconds.")

    def look(self, client: Client) -> PeekAt:
        def look(url: str, accept: str) -> Peek | None:
            if self.failed is not None and not self.failed.status:
                return None
            try:
                return self._peek(client, url, accept)
            except NotFound:
                return None
            except UpstreamError as error:
                if self.failed is None or not error.status:
                    self.failed = error
                return None

        return look

    def _peek(self, client: Client, url: str, accept: str) -> Peek:
        self.stop()
        self._left -= 1
        if self._left < 0:
            raise _Late(self._url, f"More than {MOST_REQUESTS} requests would be needed.")
        return client.peek(url, most=PEEK_BYTES, accept=accept, stop=self.stop)


def _own(upstream: Upstream) -> DetectedSource | None:
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
        sizes = documents.filter(section=section).order_by("-size").values_list("size", flat=True)
        detected.sections[section] = sizes.first()
    return detected if detected.sections else None


def _shape(upstream: Upstream, detected: DetectedSource | None, warnings: list[str]) -> Shape:
    meant = None
    if detected is not None and detected.url != upstream.url:
        meant = source_urls.redacted_url(Upstream(url=detected.url, credential=upstream.credential))
    sections = detected.sections if detected else {}
    return {
        "type": upstream.kind,
        "found_type": detected.kind if detected else None,
        "sections": [{"name": name, "size": size} for name, size in sections.items()],
        "size": sum(size or 0 for size in sections.values()),
        "source_root": meant,
        "warnings": warnings,
    }
