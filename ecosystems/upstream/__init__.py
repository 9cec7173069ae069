"""The HTTP client of the product: egress policy, retries, conditional GET, verified downloads."""

from __future__ import annotations

from ecosystems.upstream.backoff import Backoff
from ecosystems.upstream.client import Client, FetchedFile, NotModified
from ecosystems.upstream.credential import Credential, split_credentials
from ecosystems.upstream.decode import open_decoded
from ecosystems.upstream.egress import EgressPolicy
from ecosystems.upstream.errors import (
    Denied,
    DigestMismatch,
    EgressRefused,
    Elsewhere,
    NotFound,
    TooSlow,
    UpstreamError,
)
from ecosystems.upstream.limits import Limits
from ecosystems.upstream.settings import ClientSettings
from ecosystems.upstream.slots import ProcessSlots, Slots
from ecosystems.upstream.transfer import Digest
from ecosystems.upstream.urls import redact

__all__ = [
    "Backoff",
    "Client",
    "ClientSettings",
    "Credential",
    "Denied",
    "Digest",
    "DigestMismatch",
    "EgressPolicy",
    "EgressRefused",
    "Elsewhere",
    "FetchedFile",
    "Limits",
    "NotFound",
    "NotModified",
    "ProcessSlots",
    "Slots",
    "TooSlow",
    "UpstreamError",
    "open_decoded",
    "redact",
    "split_credentials",
]
