"""The egress policy: which addresses this server may fetch from.

Rule: nothing is allowed but what a pattern names, and the address that was
checked is the address that is connected to. A refusal says the same thing
whatever its cause, so that it tells nobody what answers where.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecosystems.upstream.errors import EgressRefused
from ecosystems.upstream.urls import (
    IP,
    PORTS,
    Origin,
    canonical_host,
    ip_literal,
    ip_scope,
    origin,
    socket_family,
)

SockAddr = tuple[str, int] | tuple[str, int, int, int]
Address = tuple[socket.AddressFamily, SockAddr]
Resolve = Callable[[str, int], Sequence[str]]
"""(host, port) -> IP addresses as text; raises OSError where there are none."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PATTERN = re.compile(
    r"(?P<scheme>https?)://(?P<wild>\*\.)?(?P<host>[^/?#@*=\s]+?)(?::(?P<port>\*|[0-9]+))?"
    r"(?:=(?P<network>[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?))?"
)
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

log = logging.getLogger(__name__)


def system_resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, in the order the system prefers."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in addresses))


@dataclass(frozen=True, slots=True)
class AllowPattern:
    """One entry of the allow list: `scheme://[*.]host[:port][=network]`.

    `networks` are the private addresses that the name may stand for: those the
    entry names, and loopback for `localhost`, which stands for nothing else.
    """

    scheme: str
    host: str
    port: int | None
    wild: bool
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AllowPattern:
        """Read one pattern; ValueError with a sentence where it is none."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text!r} is not an address pattern: write scheme://host or scheme://host:port, "
                "with http or https, *. in front of a host for its sub-domains, :* for any port, "
                "=10.1.0.0/16 at the end for a name with private addresses."
            )
        scheme, host, port = match["scheme"], match["host"], match["port"]
        try:
            name = canonical_host(host)
        except ValueError as error:
            raise ValueError(f"{text!r} is not an address pattern: {error}") from None
        if match["wild"] and ip_literal(name) is not None:
            raise ValueError(f"{text!r} is not an address pattern: *. needs a name after it.")
        number = None if port == "*" else int(port or PORTS[scheme])
        if number is not None and not 0 < number < 65536:
            raise ValueError(f"{text!r} is not an address pattern: ports go from 1 to 65535.")
        networks = _networks(text, name, match["network"])
        return cls(scheme, name, number, bool(match["wild"]), networks)

    def matches(self, server: Origin) -> bool:
        """Whether this entry names `server`."""
        if self.scheme != server.scheme or self.port not in (None, server.port):
            return False
        return server.host.endswith(f".{self.host}") if self.wild else server.host == self.host

    def accepts(self, address: IP) -> bool:
        """Whether the host may stand for this address: a public one, or one that it names."""
        scope = ip_scope(address)
        if scope == "private":
            return any(address in network for network in self.networks)
        return scope == "public"


class EgressPolicy:
    """What `UPSTREAM_ALLOW` says, asked before saving, before fetching and while connecting."""

    def __init__(self, allow: Sequence[str], resolve: Resolve = system_resolve) -> None:
        self._patterns = tuple(AllowPattern.parse(text) for text in allow)
        self._resolve = resolve

    def check(self, url: str) -> None:
        """Raise EgressRefused unless a pattern names the host of `url`. Asks no name server."""
        try:
            server = origin(url)
        except ValueError:
            raise EgressRefused(url) from None
        if not any(pattern.matches(server) for pattern in self._patterns):
            raise EgressRefused(url)

    def addresses(self, host: str, port: int, *, scheme: str = "https") -> list[Address]:
        """Resolve `host` once and check every address; these may be connected to, no other.

        Raises EgressRefused, or OSError where the name cannot be resolved. A
        private or loopback address needs a pattern that names the address or its
        network: whoever controls a name must not choose what answers here. One that
        is link-local (cloud metadata), multicast or reserved needs a pattern
        with exactly this address.
        """
        try:
            server = Origin(scheme, canonical_host(host), port)
        except ValueError:
            raise EgressRefused(f"{scheme}://{host}:{port}") from None
        matching = [pattern for pattern in self._patterns if pattern.matches(server)]
        if not matching:
            raise EgressRefused(str(server))
        literal = ip_literal(server.host)
        if literal is not None:
            # A pattern names exactly this address, so its scope does not matter.
            return [_sockaddr(str(literal), port)]
        resolved = self._resolve(server.host, port)
        # All must be right, not one: which of them answers is up to whoever controls the name.
        for text in resolved:
            # getaddrinfo adds the interface to link-local addresses (fe80::1%eth0).
            address = ipaddress.ip_address(text.partition("%")[0])
            if not any(pattern.accepts(address) for pattern in matching):
                # For the operator's eyes only: the refusal itself tells nobody what answers where.
                log.warning(
                    "%s stands for %s, which no pattern of UPSTREAM_ALLOW names", server, address
                )
                raise EgressRefused(str(server))
        if not resolved:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return [_sockaddr(text, port) for text in resolved]


def _networks(text: str, host: str, network: str | None) -> tuple[Network, ...]:
    """The private networks that a pattern lets its name stand for."""
    # RFC 6761, 6.3: these names stand for loopback and nothing else.
    loopback = _LOOPBACK if host == "localhost" or host.endswith(".localhost") else ()
    if network is None:
        return loopback
    try:
        return (*loopback, ipaddress.ip_network(network))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address pattern: {network} is not a network like 10.1.0.0/16."
        ) from None


def _sockaddr(text: str, port: int) -> Address:
    family = socket_family(ipaddress.ip_address(text.partition("%")[0]))
    return family, ((text, port) if family == socket.AF_INET else (text, port, 0, 0))
