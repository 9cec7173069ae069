"""What can go wrong with an upstream, as sentences for the person who reads them.

Rule: no error repeats what the upstream sent, a login, a token or a query. A sentence is chosen
by the kind of what the transport raised; its own words are never passed on.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

import urllib3.exceptions
from requests.exceptions import InvalidHeader, InvalidURL
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from ecosystems.errors import EcosystemError
from ecosystems.upstream.urls import redact


class UpstreamError(EcosystemError):
    """An upstream did not give what was asked for; `str()` is a sentence.

    `permanent`: asking again at once will not help. `status` is the HTTP
    status, 0 where there was none. `url` is fit to be shown.
    """

    def __init__(self, url: str, message: str, *, permanent: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.url = redact(url)
        self.message = message
        self.permanent = permanent
        self.status = status


class EgressRefused(UpstreamError):
    """The policy does not let this server fetch from that address."""

    def __init__(self, url: str) -> None:
        super().__init__(
            url,
            f"This server may not fetch from {redact(url)}. "
            "An administrator can allow a host by naming it in UPSTREAM_ALLOW, "
            "a private one together with its network.",
            permanent=True,
        )


class Elsewhere(EgressRefused):
    """A redirect of an index leads to another host, whose answer is nobody's word for this one.

    Servers do so whose token has expired, or that do not have a package: a stranger's would
    silently take its place.
    """

    def __init__(self, url: str, *, host: str, target: str) -> None:
        super().__init__(url)
        self.message = (
            f"{host} redirects to {target}, and an index counts only from its own host. "
            f"If {target} is meant, make its address the source; else check the login."
        )
        self.args = (self.message,)


class NotFound(UpstreamError):
    """The upstream says there is no such file (404, 410)."""


class Denied(UpstreamError):
    """The upstream wants another login (401, 403), or the proxy does (407)."""


class DigestMismatch(UpstreamError):
    """The bytes are not the ones the index promises."""


class TooSlow(UpstreamError):
    """The upstream sent less than the minimum rate."""


class Busy(UpstreamError):
    """The upstream asks to come back later (408, 425, 429, 5xx)."""

    retry_after: float | None = None
    """Seconds the upstream asked for, None where it did not say."""
    host: str = ""
    """Which server asked, as `scheme://host[:port]`."""


class Garbled(UpstreamError):
    """The body is encoded in a way that was not asked for, or that is broken."""


_CONNECT = {
    errno.ECONNREFUSED: "refused the connection",
    errno.ENETUNREACH: "cannot be reached",
    errno.EHOSTUNREACH: "cannot be reached",
}
# The first that fits decides: urllib3 wraps its errors in each other, and a failed resolution
# is a `NewConnectionError` too.
_TRANSIENT: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ProxyError,), "The outbound proxy did not connect to {host}."),
    ((NameResolutionError, socket.gaierror), "The name of {host} cannot be resolved."),
    ((NewConnectionError,), "{host} {failure}."),
    ((ConnectTimeoutError,), "{host} did not accept a connection in time."),
    ((ReadTimeoutError, TimeoutError), "{host} stopped sending."),
    ((ssl.SSLError,), "The TLS connection to {host} failed."),
)
BAD_HEADERS = "{host} sent headers that are too long or contradict each other."


def explain(error: BaseException, url: str, *, host: str) -> UpstreamError:
    """The UpstreamError for what happened while talking to `host`."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, UpstreamError):
            return cause
    certificate = next((c for c in chain if isinstance(c, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        # OpenSSL's words on the certificate, in which nothing of the upstream's answer is.
        reason = certificate.verify_message or "not valid"
        message = f"The TLS certificate of {host} is not accepted: {reason}."
        return UpstreamError(url, message, permanent=True)
    if any(map(_is_bad_header, chain)):
        return UpstreamError(url, BAD_HEADERS.format(host=host), permanent=True)
    if any(isinstance(cause, InvalidURL) for cause in chain):
        return UpstreamError(url, "The address cannot be read.", permanent=True)
    return UpstreamError(url, _transient(chain, host))


def _is_bad_header(cause: BaseException) -> bool:
    if isinstance(
        cause, InvalidHeader | urllib3.exceptions.InvalidHeader | http.client.LineTooLong
    ):
        return True
    # http.client has no class of its own for "got more than 100 headers".
    return type(cause) is http.client.HTTPException and "got more than" in str(cause)


def _transient(chain: list[BaseException], host: str) -> str:
    """The sentence for what may be better the next time."""
    codes = {cause.errno for cause in chain if isinstance(cause, OSError)}
    failure = next((_CONNECT[c] for c in codes if c in _CONNECT), "cannot be connected to")
    for kinds, sentence in _TRANSIENT:
        if any(isinstance(cause, kinds) for cause in chain):
            return sentence.format(host=host, failure=failure)
    return f"{host} broke off the connection."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, its causes, and the errors that urllib3 and requests put into arguments."""
    visited: set[int] = set()
    queue = [error]
    while queue:
        item = queue.pop(0)
        # Errors may refer to each other in a circle.
        if id(item) in visited:
            continue
        visited.add(id(item))
        yield item
        inner = [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
        queue.extend(part for part in inner if isinstance(part, BaseException))
