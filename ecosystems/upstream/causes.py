"""Turns what the transport raises into sentences.

Rule: a sentence is chosen by the kind of error; the words of an error, which
may repeat what the upstream sent, are never passed on.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Iterator

from requests.exceptions import InvalidHeader, InvalidURL
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)
from urllib3.exceptions import InvalidHeader as BadHeader

from ecosystems.upstream.errors import UpstreamError

_CONNECT = {
    errno.ECONNREFUSED: "refused the connection",
    errno.ENETUNREACH: "cannot be reached",
    errno.EHOSTUNREACH: "cannot be reached",
}


def explain(error: BaseException, url: str, *, host: str) -> UpstreamError:
    """The UpstreamError for what happened while talking to `host`."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, UpstreamError):
            return cause
    certificate = next((c for c in chain if isinstance(c, ssl.SSLCertVerificationError)), None)
    if certificate is not None:
        reason = certificate.verify_message or "not valid"
        message = f"The TLS certificate of {host} is not accepted: {reason}."
        return UpstreamError(url, message, permanent=True)
    broken = any(isinstance(c, InvalidHeader | BadHeader | http.client.LineTooLong) for c in chain)
    if broken or any(
        "got more than" in str(c) for c in chain if type(c) is http.client.HTTPException
    ):
        message = f"{host} sent headers that are too long or contradict each other."
        return UpstreamError(url, message, permanent=True)
    if any(isinstance(c, InvalidURL) for c in chain):
        return UpstreamError(url, "The address cannot be read.", permanent=True)
    return UpstreamError(url, _transient(chain, host))


def _transient(chain: list[BaseException], host: str) -> str:
    """The sentence for what may be better the next time."""
    if any(isinstance(c, ProxyError) for c in chain):
        return f"The outbound proxy did not connect to {host}."
    if any(isinstance(c, NameResolutionError | socket.gaierror) for c in chain):
        return f"The name of {host} cannot be resolved."
    codes = {c.errno for c in chain if isinstance(c, OSError)}
    if any(isinstance(c, NewConnectionError) for c in chain):
        what = next((_CONNECT[c] for c in codes if c in _CONNECT), "cannot be connected to")
        return f"{host} {what}."
    if any(isinstance(c, ConnectTimeoutError) for c in chain):
        return f"{host} did not accept a connection in time."
    if any(isinstance(c, ReadTimeoutError | TimeoutError) for c in chain):
        return f"{host} stopped sending."
    if any(isinstance(c, ssl.SSLError) for c in chain):
        return f"The TLS connection to {host} failed."
    return f"{host} broke off the connection."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, its causes, and the errors that urllib3 and requests put into arguments."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        item = queue.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        inner = [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
        queue.extend(part for part in inner if isinstance(part, BaseException))
