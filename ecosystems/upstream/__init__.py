"""The HTTP client of the product: egress policy, retries, conditional GET, verified downloads."""

from __future__ import annotations

from ecosystems.upstream.address import redact
from ecosystems.upstream.client import Client, Fetched, NotModified
from ecosystems.upstream.credential import Credential, split_credentials
from ecosystems.upstream.decode import open_decoded
from ecosystems.upstream.errors import (
    Denied,
    DigestMismatch,
    EgressRefused,
    Elsewhere,
    NotFound,
    TooSlow,
    UpstreamError,
)
from ecosystems.upstream.gate import Gate, ProcessGate
from ecosystems.upstream.limits import Limits
from ecosystems.upstream.policy import Policy
from ecosystems.upstream.slots import ProcessSlots, Slots
from ecosystems.upstream.transfer import Digest, Progress

__all__ = [
    "Client",
    "Credential",
    "Denied",
    "Digest",
    "DigestMismatch",
    "EgressRefused",
    "Elsewhere",
    "Fetched",
    "Gate",
    "Limits",
    "NotFound",
    "NotModified",
    "Policy",
    "ProcessGate",
    "ProcessSlots",
    "Progress",
    "Slots",
    "TooSlow",
    "UpstreamError",
    "open_decoded",
    "redact",
    "split_credentials",
]
