"""From which address a request comes.

The rule: a proxy is believed only if `TRUSTED_PROXIES` names it. Anybody can send the header
X-Forwarded-For, so it is read from its end, up to the first address that no trusted proxy has.
"""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def of_client(request: HttpRequest) -> str:
    """The address of whoever asked, as far as it can be known."""
    address: str = request.META.get("REMOTE_ADDR", "")
    passed_on = request.headers.get("X-Forwarded-For", "").split(",")
    # From the right: each proxy appends whom it heard from, and only the last entries are ours.
    while _is_proxy(address) and passed_on:
        before = passed_on.pop().strip()
        # The proxy passed on what its client made up: the last address that is one counts.
        if _parse(before) is None:
            break
        address = before
    return address


def _is_proxy(address: str) -> bool:
    ip = _parse(address)
    return ip is not None and any(ip in network for network in settings.TRUSTED_PROXIES)


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
