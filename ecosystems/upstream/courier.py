"""One request: through the gate, along its redirects, to an answer that can be read.

Rules: every hop is checked by the policy; what identifies us goes to the
credential's own server only, and is dropped for good once a redirect leaves
it; https never leads to http.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urljoin

import requests
import requests.exceptions
import urllib3.exceptions
from urllib3.response import BaseHTTPResponse

from ecosystems.base import Stop
from ecosystems.upstream.address import PORTS, Place, place
from ecosystems.upstream.causes import explain
from ecosystems.upstream.credential import Credential, split_credentials
from ecosystems.upstream.errors import (
    Busy,
    Denied,
    EgressRefused,
    Elsewhere,
    NotFound,
    TooSlow,
    UpstreamError,
)
from ecosystems.upstream.gate import SHARED_GATE, Gate
from ecosystems.upstream.headers import encoded, retry_after
from ecosystems.upstream.limits import Limits
from ecosystems.upstream.policy import Policy
from ecosystems.upstream.slots import ProcessSlots, Slots
from ecosystems.upstream.transport import PolicyAdapter
from ecosystems.upstream.watch import Watch, watching

REDIRECTS = frozenset({301, 302, 303, 307, 308})
USABLE = frozenset({200, 206, 304, 416})
LATER = frozenset({408, 425, 429})
SMALL = 16 * 1024
BROKEN = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)


class Answer:
    """An answer whose headers are here and whose body is still to be read."""

    def __init__(self, url: str, response: requests.Response, *, host: str, chunk: int) -> None:
        self.url, self.host = url, host
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.raw: BaseHTTPResponse = response.raw
        self._chunk = chunk

    @property
    def length(self) -> int | None:
        """Content-Length, where the server gave one."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def encoding(self) -> str:
        """Content-Encoding, "" for none."""
        text = self.headers.get("Content-Encoding", "").strip().lower()
        return "" if text == "identity" else text

    def read(self, most: int | None = None) -> bytes:
        """What has arrived, at least one byte; b"" at the end."""
        amount = self._chunk if most is None else max(1, min(most, self._chunk))
        try:
            return self.raw.read1(amount, decode_content=False)
        except BROKEN as error:
            raise explain(error, self.url, host=self.host) from error

    def finish(self) -> None:
        """Leave the connection usable where that costs little, close it otherwise."""
        left = getattr(self.raw, "length_remaining", None)
        try:
            while left is not None and left <= SMALL and self.raw.read1(SMALL):
                pass
        except (UpstreamError, *BROKEN):
            self.raw.close()
            return
        if left is None or left > SMALL:
            self.raw.close()


class Courier:
    """Sends requests for one upstream; shared by threads."""

    def __init__(
        self,
        policy: Policy,
        *,
        credential: Credential | None = None,
        proxy: str | None = None,
        limits: Limits,
        gate: Gate = SHARED_GATE,
        slots: Slots | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        user_agent: str = "mirrorserver",
        ca_files: Sequence[str] = (),
    ) -> None:
        self.limits, self.gate, self.clock, self.sleep = limits, gate, clock, sleep
        self._policy, self._credential = policy, credential
        self._proxies = _proxies(proxy)
        self._user_agent = user_agent
        self._adapter = PolicyAdapter(policy, connections=limits.connections, ca_files=ca_files)
        self.slots = slots or ProcessSlots(limits.connections)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._adapter.close()

    def check(self, url: str) -> None:
        """Raise `EgressRefused` unless the policy names the host of `url`."""
        self._policy.check(url)

    @contextmanager
    def ask(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        stop: Stop,
        stay: bool = False,
        patience: float | None = None,
    ) -> Iterator[Answer]:
        """GET `url`, following redirects. The answer is 200, 206, 304 or 416; all else raises.

        `stay`: redirects that leave the host are refused, before it is asked. `patience`: seconds
        of silence after which it is given up, if fewer than usual.
        """
        limits = self.limits.within(patience)
        target, known, seen = url, True, {url}
        for _ in range(self.limits.max_redirects + 1):
            self._policy.check(target)
            where = place(target)
            known = known and self._credential is not None and where == self._credential.place
            with self._hop(
                target, headers, where=where, known=known, stop=stop, limits=limits
            ) as answer:
                if answer.status not in REDIRECTS:
                    answer.host = where.host
                    self._judge(answer, where)
                    yield answer
                    return
                target = self._next(answer, where)
            if stay and not _same_host(place(target), place(url)):
                raise Elsewhere(target, host=str(place(url)), other=str(place(target)))
            if target in seen:
                raise UpstreamError(url, f"{where.host} redirects in a circle.", permanent=True)
            seen.add(target)
        raise UpstreamError(
            url,
            f"{where.host} redirects more than {self.limits.max_redirects} times.",
            permanent=True,
        )

    @contextmanager
    def _hop(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        where: Place,
        known: bool,
        stop: Stop,
        limits: Limits,
    ) -> Iterator[Answer]:
        """One request to one server, holding one of its slots."""
        with self.slots.hold(str(where), stop):
            self.gate.wait(str(where), self._pausing(url, where, stop=stop, limits=limits))
            stop()
            watch = Watch(url, where.host, limits=limits, stop=stop, clock=self.clock)
            with watching(watch):
                answer = self._send(url, headers, where=where, known=known, limits=limits)
                watch.body()
                try:
                    yield answer
                except BaseException:
                    answer.raw.close()
                    raise
                answer.finish()

    def _pausing(self, url: str, where: Place, *, stop: Stop, limits: Limits) -> Stop:
        """What is called while the server wants no requests: some cannot wait for its end."""
        if limits is self.limits:
            return stop
        until = self.clock() + limits.header_timeout

        def pausing() -> None:
            stop()
            if self.clock() > until:
                raise TooSlow(url, f"{where.host} has asked for a pause, which is not over yet.")

        return pausing

    def _send(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        where: Place,
        known: bool,
        limits: Limits,
    ) -> Answer:
        sent = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        sent.update(headers)
        address = url
        if known and self._credential is not None:
            sent.update(self._credential.headers())
            address = self._credential.address(url)
        try:
            request = requests.Request("GET", address, headers=sent).prepare()
            if place(request.url or "") != where:
                raise EgressRefused(url)
            response = self._adapter.send(
                request,
                stream=True,
                timeout=(limits.connect_timeout, limits.read_timeout),
                proxies=self._proxies,
            )
        except BROKEN as error:
            raise explain(error, url, host=where.host) from error
        answer = Answer(url, response, host=where.host, chunk=limits.chunk)
        self._check_headers(answer)
        return answer

    def _check_headers(self, answer: Answer) -> None:
        headers = answer.raw.headers
        total = sum(len(name) + len(value) + 4 for name, value in headers.iteritems())
        if len(headers.getlist("Content-Length")) > 1 or total > self.limits.header_bytes:
            answer.raw.close()
            message = f"{answer.host} sent headers that are too long or contradict each other."
            raise UpstreamError(answer.url, message, permanent=True)

    def _next(self, answer: Answer, where: Place) -> str:
        """The address a redirect leads to, without what must not leave `where`."""
        location = answer.headers.get("Location", "")
        if not location:
            message = f"{where.host} redirects to nowhere."
            raise UpstreamError(answer.url, message, permanent=True)
        target = urljoin(answer.url, encoded(location))
        try:
            there = place(target)
        except ValueError:
            raise EgressRefused(target) from None
        if where.scheme == "https" and there.scheme == "http":
            message = f"{where.host} redirects from https to http, which is refused."
            raise UpstreamError(answer.url, message, permanent=True)
        credential = self._credential
        return target if credential is None else credential.strip(target)

    def _judge(self, answer: Answer, where: Place) -> None:
        """Raise for every status that carries no body we want."""
        status, url, host = answer.status, answer.url, where.host
        if status in USABLE:
            return
        answer.finish()
        if status in (404, 410):
            raise NotFound(
                url, f"{host} has no such file ({status}).", permanent=True, status=status
            )
        if status in (401, 403, 407):
            who = "The outbound proxy" if status == 407 else host
            message = f"{who} denies access ({status}): check the login."
            raise Denied(url, message, permanent=True, status=status)
        if status in LATER or status >= 500:
            busy = Busy(url, f"{host} is not able to answer now ({status}).", status=status)
            busy.retry_after = retry_after(answer.headers.get("Retry-After", ""))
            busy.host = str(where)
            raise busy
        message = f"{host} answered with the unexpected status {status}."
        raise UpstreamError(url, message, permanent=True, status=status)


def _same_host(one: Place, other: Place) -> bool:
    """The same server, perhaps by https instead of http."""
    if one.host != other.host:
        return False
    return one.port == other.port or all(PORTS[it.scheme] == it.port for it in (one, other))


def _proxies(proxy: str | None) -> dict[str, str]:
    """The proxy as requests wants it; ValueError, repeating no secret, for what is none."""
    if not proxy:
        return {}
    clean, credential = split_credentials(proxy)
    if place(clean).scheme != "http" or (credential is not None and credential.kind != "basic"):
        raise ValueError("The proxy must be given as http://[user:password@]host[:port].")
    return {"http": proxy, "https": proxy}
