"""Where a mirror's indexes come from: a type's upstream over HTTP, or a channel of this server."""

from __future__ import annotations

from typing import Protocol

from ecosystems.base import Ecosystem
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    IndexNotModified,
    OptionalFiles,
    ParsedIndex,
)
from mirrors.models import Upstream
from runs.local_channel import LocalChannel


class IndexSource(Protocol):
    """What `Ecosystem` says of an upstream's index."""

    def fetch(
        self, base_url: str, section: str, context: FetchContext, /
    ) -> FetchedIndex | IndexNotModified | None:
        """As `Ecosystem.fetch`."""

    def parse(self, fetched: FetchedIndex, section: str, context: FetchContext, /) -> ParsedIndex:
        """As `Ecosystem.parse`."""

    def fetch_optional(self, address: str, section: str, context: FetchContext, /) -> OptionalFiles:
        """As `Ecosystem.fetch_optional`."""


def index_source(upstream: Upstream, ecosystem: Ecosystem) -> IndexSource:
    """The source of an upstream's indexes."""
    return LocalChannel(upstream) if upstream.is_local else ecosystem
