"""One GET request, along its redirects, to a response whose body can be read.

Rules: every hop is checked by the policy; what identifies us goes to the
credential's own origin only, and is dropped for good once a redirect leaves
it (as RFC 9110, 15.4 advises); https never leads to http.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

import requests

from ecosystems.progress import Stop
from ecosystems.upstream.credential import split_credentials
from ecosystems.upstream.egress import EgressPolicy
from ecosystems.upstream.errors import (
    BAD_HEADERS,
    Busy,
    Denied,
    EgressRefused,
    Elsewhere,
    NotFound,
    TooSlow,
    UpstreamError,
    explain,
)
from ecosystems.upstream.headers import encoded, retry_after
from ecosystems.upstream.limits import Limits
from ecosystems.upstream.response import TRANSPORT_ERRORS, Response
from ecosystems.upstream.settings import ClientSettings
from ecosystems.upstream.slots import ProcessSlots
from ecosystems.upstream.stall import StallMonitor, monitored
from ecosystems.upstream.transport import EgressAdapter
from ecosystems.upstream.urls import PORTS, Origin, origin

# 304 is an answer, and 300 a choice for people (RFC 9110, 15.4).
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# 416 too: it tells that a file has become shorter, so that it is begun anew.
USABLE = frozenset({200, 206, 304, 416})
# Request Timeout, Too Early (RFC 8470), Too Many Requests (RFC 6585).
RETRY_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class _Hop:
    """One request of a chain of redirects. `identified`: the credential goes with it."""

    url: str
    origin: Origin
    identified: bool
    headers: Mapping[str, str]
    limits: Limits
    stop: Stop


class Session:
    """Sends requests for one upstream; shared by threads."""

    def __init__(self, policy: EgressPolicy, settings: ClientSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        self._policy = policy
        self._credential = settings.credential
        self._proxies = _proxies(settings.proxy)
        connections = settings.limits.connections
        self._adapter = EgressAdapter(policy, connections=connections, ca_files=settings.ca_files)
        self._slots = settings.slots or ProcessSlots(connections)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._adapter.close()

    def check(self, url: str) -> None:
        """Raise `EgressRefused` unless the policy names the host of `url`."""
        self._policy.check(url)

    @contextmanager
    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        stop: Stop,
        same_host: bool = False,
        patience: float | None = None,
    ) -> Iterator[Response]:
        """GET `url`, following redirects; the response is 200, 206, 304 or 416, all else raises.

        `same_host`: redirects that leave the host are refused, before they are followed.
        `patience`: seconds of silence after which it is given up, if fewer than usual.
        """
        limits = self.limits.within(patience)
        target, identified, visited = url, self._credential is not None, {url}
        for _ in range(self.limits.max_redirects + 1):
            self._policy.check(target)
            server = origin(target)
            # Never true again once it is false: another host may have chosen the way back here.
            identified = identified and self._belongs(server)
            hop = _Hop(target, server, identified, headers, limits, stop)
            with self._request(hop) as response:
                if response.status not in REDIRECTS:
                    self._raise_for_status(response, server)
                    yield response
                    return
                target = self._redirect_target(response, server)
            if same_host and not _same_host(origin(target), origin(url)):
                raise Elsewhere(target, host=str(origin(url)), target=str(origin(target)))
            # A circle would use up all redirects, each of them a request to the upstream.
            if target in visited:
                raise UpstreamError(url, f"{server.host} redirects in a circle.", permanent=True)
            visited.add(target)
        raise UpstreamError(
            url,
            f"{server.host} redirects more than {self.limits.max_redirects} times.",
            permanent=True,
        )

    def _belongs(self, server: Origin) -> bool:
        return self._credential is not None and server == self._credential.origin

    @contextmanager
    def _request(self, hop: _Hop) -> Iterator[Response]:
        """One request to one server, holding one of its slots."""
        host = str(hop.origin)
        # Held until the body is read: what is bounded are connections.
        with self._slots.hold(host, hop.stop):
            self.settings.backoff.wait(host, self._stop_while_waiting(hop))
            hop.stop()
            monitor = StallMonitor(
                hop.url,
                hop.origin.host,
                limits=hop.limits,
                stop=hop.stop,
                clock=self.settings.clock,
            )
            with monitored(monitor):
                response = self._send(hop)
                monitor.headers_received()
                try:
                    yield response
                except BaseException:
                    response.raw.close()
                    raise
                response.release()

    def _stop_while_waiting(self, hop: _Hop) -> Stop:
        """What is called while the server wants no requests: some cannot wait for its end."""
        # `Limits.within` gives the same object back where nothing is shortened.
        if hop.limits is self.limits:
            return hop.stop
        clock = self.settings.clock
        until = clock() + hop.limits.header_timeout

        def stop() -> None:
            hop.stop()
            if clock() > until:
                message = f"{hop.origin.host} has asked for a pause, which is not over yet."
                raise TooSlow(hop.url, message)

        return stop

    def _send(self, hop: _Hop) -> Response:
        headers = {
            "User-Agent": self.settings.user_agent,
            "Accept": "*/*",
            # Hashes and ranges are of the file's own bytes; requests would ask for gzip.
            "Accept-Encoding": "identity",
            **hop.headers,
        }
        address = hop.url
        if hop.identified and self._credential is not None:
            headers.update(self._credential.headers())
            address = self._credential.address(hop.url)
        try:
            request = requests.Request("GET", address, headers=headers).prepare()
            # requests rewrites addresses; the one that is sent must be the one that was checked.
            if origin(request.url or "") != hop.origin:
                raise EgressRefused(hop.url)
            raw = self._adapter.send(
                request,
                stream=True,
                timeout=(hop.limits.connect_timeout, hop.limits.read_timeout),
                proxies=self._proxies,
            )
        except TRANSPORT_ERRORS as error:
            raise explain(error, hop.url, host=hop.origin.host) from error
        response = Response(hop.url, raw, host=hop.origin.host, chunk=hop.limits.chunk)
        self._check_headers(response)
        return response

    def _check_headers(self, response: Response) -> None:
        headers = response.raw.headers
        total = sum(len(name) + len(value) + 4 for name, value in headers.iteritems())
        # Two lengths: proxies and clients may take different ones (RFC 9112, 6.3).
        if len(headers.getlist("Content-Length")) > 1 or total > self.limits.header_bytes:
            response.raw.close()
            message = BAD_HEADERS.format(host=response.host)
            raise UpstreamError(response.url, message, permanent=True)

    def _redirect_target(self, response: Response, server: Origin) -> str:
        """The address a redirect leads to, without what must not leave `server`."""
        location = response.headers.get("Location", "")
        if not location:
            message = f"{server.host} redirects to nowhere."
            raise UpstreamError(response.url, message, permanent=True)
        target = urljoin(response.url, encoded(location))
        try:
            target_origin = origin(target)
        except ValueError:
            raise EgressRefused(target) from None
        if server.scheme == "https" and target_origin.scheme == "http":
            message = f"{server.host} redirects from https to http, which is refused."
            raise UpstreamError(response.url, message, permanent=True)
        # A server may repeat the token in its answer; where it belongs, `_send` puts it back.
        return target if self._credential is None else self._credential.strip(target)

    def _raise_for_status(self, response: Response, server: Origin) -> None:
        """Raise for every status that carries no body we can use."""
        status, url, host = response.status, response.url, server.host
        if status in USABLE:
            return
        # Read to its end where it is short, so that the next request finds an open connection.
        response.release()
        if status in (404, 410):
            message = f"{host} has no such file ({status})."
            raise NotFound(url, message, permanent=True, status=status)
        if status in (401, 403, 407):
            subject = "The outbound proxy" if status == 407 else host
            message = f"{subject} denies access ({status}): check the login."
            raise Denied(url, message, permanent=True, status=status)
        if status in RETRY_LATER or status >= 500:
            busy = Busy(url, f"{host} is not able to answer now ({status}).", status=status)
            busy.retry_after = retry_after(response.headers.get("Retry-After", ""))
            busy.host = str(server)
            raise busy
        message = f"{host} answered with the unexpected status {status}."
        raise UpstreamError(url, message, permanent=True, status=status)


def _same_host(first: Origin, second: Origin) -> bool:
    """The same server, perhaps by https instead of http."""
    if first.host != second.host:
        return False
    default_ports = all(PORTS[server.scheme] == server.port for server in (first, second))
    return first.port == second.port or default_ports


def _proxies(proxy: str | None) -> dict[str, str]:
    """The proxy as requests wants it; ValueError, repeating no secret, for what is none."""
    if not proxy:
        return {}
    clean, credential = split_credentials(proxy)
    if origin(clean).scheme != "http" or (credential is not None and credential.kind != "basic"):
        raise ValueError("The proxy must be given as http://[user:password@]host[:port].")
    # By hand, past requests' sessions: a proxy from the environment is never used.
    return {"http": proxy, "https": proxy}
