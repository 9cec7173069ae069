"""Reads URLs (RFC 3986): what they point at, how they may be shown, what an IP address is.

Rule: a host has one spelling here. Whatever resolvers would also understand
(decimal, octal or hexadecimal numbers, scopes) is refused, not guessed at.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Number = TypeVar("Number", ipaddress.IPv4Address, ipaddress.IPv6Address)
IpScope = Literal["public", "private", "forbidden"]

PORTS = {"http": 80, "https": 443}
TOKEN_PATH = re.compile(r"/t/([^/?#]+)(?=[/?#]|$)")

# Parsers read these differently: one host would be checked, and another one asked.
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# Cloud metadata services; the usual one, 169.254.169.254, is link-local.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
# NAT64 (RFC 6052, RFC 8215) and IPv4-compatible addresses lead to the IPv4 address in them.
_TRANSLATED = tuple(
    ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)


class Origin(NamedTuple):
    """Where a URL points (RFC 6454): what credentials and limits belong to."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if PORTS.get(self.scheme) == self.port else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def split_url(url: str) -> Url:
    """The parts of `url` as the transport will understand them; ValueError if it could not."""
    if _UNPRINTABLE.search(url):
        raise ValueError("The address contains a space, a control character or a backslash.")
    try:
        return parse_url(url)
    except LocationParseError:
        raise ValueError("The address cannot be read.") from None


def origin(url: str) -> Origin:
    """Where `url` points; ValueError for anything but http(s) to a well-spelled host."""
    parts = split_url(url)
    if parts.scheme not in PORTS:
        raise ValueError("The address must begin with http:// or https://.")
    if parts.auth is not None:
        raise ValueError("The address still contains a user name.")
    port = PORTS[parts.scheme] if parts.port is None else parts.port
    if not 0 < port < 65536:
        raise ValueError("The port must be between 1 and 65535.")
    return Origin(parts.scheme, canonical_host(parts.host or ""), port)


def canonical_host(host: str) -> str:
    """The one spelling of a host; ValueError for the odd ones."""
    if ":" in host:
        return f"[{_numbers(ipaddress.IPv6Address, _unscoped(host)).compressed}]"
    # A dot at the end (a fully qualified name) means the same host.
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    # 255 octets on the wire (RFC 1035, 2.3.4) are 253 characters.
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("The host name is not valid.")
    # The URL standard: a host whose last label is a number is an IPv4 address.
    if not _NUMBER.fullmatch(labels[-1]):
        return name
    return str(_numbers(ipaddress.IPv4Address, name))


def _numbers(kind: Callable[[str], Number], text: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise ValueError("The address in numbers is not written in the usual way.") from None


def ip_literal(host: str) -> IP | None:
    """The IP address that a canonical host is, or None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def ip_scope(address: IP) -> IpScope:
    """Whether an address is public, in a private network, or never a package server's."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = _embedded(address)
        if embedded is not None:
            return "forbidden" if ip_scope(embedded) == "forbidden" else "private"
        if address.is_site_local:
            return "private"
    elif address.is_reserved:
        return "forbidden"
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return "forbidden"
    if address in _METADATA:
        return "forbidden"
    return "public" if address.is_global else "private"


def redact(url: str) -> str:
    """`url` as it may be shown: no login, no path token, no query, no fragment."""
    try:
        parts = split_url(url)
    except ValueError:
        return "***"
    if parts.scheme is None or parts.host is None:
        return "***"
    login = "***@" if parts.auth is not None else ""
    port = "" if parts.port is None else f":{parts.port}"
    path = TOKEN_PATH.sub("/t/***", parts.path or "")
    query = "?***" if parts.query else ""
    return f"{parts.scheme}://{login}{parts.host}{port}{path}{query}"


def socket_family(address: IP) -> socket.AddressFamily:
    """The socket family of an address."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _unscoped(host: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    if "%" in bare:
        raise ValueError("An IPv6 address with a scope is not valid here.")
    return bare


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a tunnel, a translator or a mapping would lead to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    # :: and ::1 have a meaning of their own.
    if int(address) > 1 and any(address in network for network in _TRANSLATED):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
