"""How the files of an origin are reached."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from urllib.parse import quote, urljoin

from django.conf import settings

from channels.models import Channel, Origin
from channels.secrets import unseal
from ecosystems.upstream import Client, Credential, Policy


@lru_cache(maxsize=8)
def _policy(allow: tuple[str, ...]) -> Policy:
    return Policy(allow)


def policy() -> Policy:
    """The egress policy of this server."""
    return _policy(tuple(settings.UPSTREAM_ALLOW))


def client_for(credential: bytes | memoryview, proxy: bytes | memoryview) -> Client:
    """An HTTP client with these sealed secrets, under the egress policy."""
    secret = unseal(credential)
    return Client(
        policy(),
        credential=Credential.load(secret) if secret else None,
        proxy=unseal(proxy) or None,
        settings=settings.UPSTREAM_LIMITS,
    )


def client(origin: Origin) -> Client:
    """The client that fetches this origin's files."""
    return client_for(origin.credential, origin.proxy)


def address(origin: Origin, filename: str, place: str = "") -> str:
    """Where one of the origin's files lies; `place` is its record's own address, if it has one."""
    base = f"{origin.base_url.rstrip('/')}/"
    return urljoin(base, place) if place else f"{base}{quote(filename)}"


def remember(
    base_url: str,
    *,
    credential: bytes = b"",
    proxy: bytes = b"",
    identity: str = "",
    channel: Channel | None = None,
) -> Origin:
    """The origin row for this place; `identity` tells sealed secrets apart (they are salted)."""
    source = f"{base_url}\0{identity}\0{channel.pk if channel else ''}"
    key = hashlib.sha256(source.encode()).hexdigest()
    origin, _ = Origin.objects.get_or_create(
        key=key,
        defaults={
            "base_url": base_url,
            "credential": credential,
            "proxy": proxy,
            "channel": channel,
        },
    )
    return origin
