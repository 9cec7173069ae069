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

from ecosystems.upstream.address import (
    IP,
    PORTS,
    Place,
    canonical_host,
    family,
    literal,
    place,
    standing,
)
from ecosystems.upstream.errors import EgressRefused

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
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@dataclass(frozen=True, slots=True)
class Pattern:
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
    def parse(cls, text: str) -> Pattern:
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
        if match["wild"] and literal(name) is not None:
            raise ValueError(f"{text!r} is not an address pattern: *. needs a name after it.")
        number = None if port == "*" else int(port or PORTS[scheme])
        if number is not None and not 0 < number < 65536:
            raise ValueError(f"{text!r} is not an address pattern: ports go from 1 to 65535.")
        networks = _networks(text, name, match["network"])
        return cls(scheme, name, number, bool(match["wild"]), networks)

    def matches(self, where: Place) -> bool:
        """Whether this entry names `where`."""
        if self.scheme != where.scheme or self.port not in (None, where.port):
            return False
        return where.host.endswith(f".{self.host}") if self.wild else where.host == self.host

    def accepts(self, address: IP) -> bool:
        """Whether the host may stand for this address: a public one, or one that it names."""
        kind = standing(address)
        if kind == "inner":
            return any(address in network for network in self.networks)
        return kind == "public"


class Policy:
    """What `UPSTREAM_ALLOW` says, asked before saving, before fetching and while connecting."""

    def __init__(self, allow: Sequence[str], resolve: Resolve = system_resolve) -> None:
        self._patterns = tuple(Pattern.parse(text) for text in allow)
        self._resolve = resolve

    def check(self, url: str) -> None:
        """Raise EgressRefused unless a pattern names the host of `url`. Asks no name server."""
        try:
            where = place(url)
        except ValueError:
            raise EgressRefused(url) from None
        if not any(pattern.matches(where) for pattern in self._patterns):
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
            where = Place(scheme, canonical_host(host), port)
        except ValueError:
            raise EgressRefused(f"{scheme}://{host}:{port}") from None
        matching = [pattern for pattern in self._patterns if pattern.matches(where)]
        if not matching:
            raise EgressRefused(str(where))
        given = literal(where.host)
        if given is not None:
            return [_sockaddr(str(given), port)]
        found = self._resolve(where.host, port)
        for text in found:
            address = ipaddress.ip_address(text.partition("%")[0])
            if not any(pattern.accepts(address) for pattern in matching):
                # For the operator's eyes only: the refusal itself tells nobody what answers where.
                log.warning(
                    "%s stands for %s, which no pattern of UPSTREAM_ALLOW names", where, address
                )
                raise EgressRefused(str(where))
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return [_sockaddr(text, port) for text in found]


def _networks(text: str, host: str, network: str | None) -> tuple[Network, ...]:
    """What a pattern lets its name stand for beside public addresses."""
    own = _LOOPBACK if host == "localhost" or host.endswith(".localhost") else ()
    if network is None:
        return own
    try:
        return (*own, ipaddress.ip_network(network))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address pattern: {network} is not a network like 10.1.0.0/16."
        ) from None


def _sockaddr(text: str, port: int) -> Address:
    kind = family(ipaddress.ip_address(text.partition("%")[0]))
    return kind, ((text, port) if kind == socket.AF_INET else (text, port, 0, 0))
