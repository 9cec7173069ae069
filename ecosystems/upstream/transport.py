"""The transport: requests and urllib3, made to connect only where the policy says.

Rule: a name is resolved once per connection, every address is checked, and
the socket is opened to exactly one of those; TLS is still verified for the name.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from ecosystems.upstream.authorities import trust
from ecosystems.upstream.egress import Address, EgressPolicy, SockAddr
from ecosystems.upstream.errors import UpstreamError
from ecosystems.upstream.stall import MonitoredSocket, MonitoredTLSSocket, current_monitor


def _keeps_secrets(record: logging.LogRecord) -> bool:
    """urllib3 logs addresses whole, with their tokens and queries: those lines are dropped."""
    return record.levelno > logging.DEBUG and "url" not in str(record.msg).lower()


logging.getLogger("urllib3.connectionpool").addFilter(_keeps_secrets)


class _Checked(HTTPConnection):
    """A connection whose address comes from the policy."""

    policy: ClassVar[EgressPolicy]
    scheme: ClassVar[str]

    def _new_conn(self) -> socket.socket:
        port = self.port or self.default_port
        try:
            addresses = _resolve(lambda: self.policy.addresses(self.host, port, scheme=self.scheme))
            sock = _connect_any(addresses, float(self.timeout or 0), self.socket_options or ())
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise NewConnectionError(self, "failed") from error
        # urllib3 raises this audit event where it opens a socket itself.
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock


class EgressAdapter(HTTPAdapter):
    """requests' adapter over connections that ask the policy."""

    def __init__(
        self, policy: EgressPolicy, *, connections: int, ca_files: Sequence[str] = ()
    ) -> None:
        self._pools = _pool_classes(policy)
        self._context = _context(tuple(ca_files))
        # Redirects lead to further hosts, each of which has a pool.
        super().__init__(pool_connections=16, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See HTTPAdapter."""
        super().init_poolmanager(*args, **kwargs)
        # From here urllib3 takes the classes of its pools, and from these those of its connections.
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """See HTTPAdapter."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ARG002
        cert: Any = None,
    ) -> tuple[Any, Any]:
        """See HTTPAdapter: one TLS context, which always verifies."""
        host, _ = super().build_connection_pool_key_attributes(request, True, cert)
        if host["scheme"] == "http":
            return host, {}
        return host, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    # requests would load its own authorities for each connection.
    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """See HTTPAdapter: the context has the certificates already."""


@lru_cache(maxsize=8)
def _context(ca_files: tuple[str, ...]) -> ssl.SSLContext:
    """The TLS settings, shared by clients: reading the authorities costs as much as a request."""
    context = create_urllib3_context()
    context.sslsocket_class = MonitoredTLSSocket
    trust(context, ca_files)
    return context


def _pool_classes(policy: EgressPolicy) -> dict[str, type[HTTPConnectionPool]]:
    """urllib3 makes connections from classes, so the policy is put into classes."""

    class Plain(_Checked):
        scheme = "http"

    class Tls(_Checked, HTTPSConnection):
        # Through a proxy this is the connection to the proxy, which speaks http.
        @property
        def scheme(self) -> str:  # type: ignore[override]
            return "http" if self.proxy else "https"

    Plain.policy = Tls.policy = policy

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


def _resolve(resolve: Callable[[], list[Address]]) -> list[Address]:
    """Call `resolve` in a thread: a name server may take long, and stop must work meanwhile."""
    monitor = current_monitor()
    result: list[list[Address]] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            result.append(resolve())
        except (OSError, ValueError, UpstreamError) as error:
            failure.append(error)

    # A daemon: getaddrinfo cannot be interrupted, and must not keep the process alive.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        before = monitor.clock()
        thread.join(monitor.limits.tick)
        if thread.is_alive():
            monitor.slice_done(monitor.clock() - before, 0)
    # In the caller's thread, where it can be handled.
    if failure:
        raise failure[0]
    return result[0]


def _connect_any(addresses: list[Address], timeout: float, options: Any) -> socket.socket:
    """Connect to the first address that answers."""
    failure: OSError = OSError(errno.EHOSTUNREACH, "no address")
    for address in addresses:
        try:
            return _connect(address, timeout, options)
        except OSError as error:
            failure = error
    raise failure


def _connect(address: Address, timeout: float, options: Any) -> socket.socket:
    kind, target = address
    sock: socket.socket = MonitoredSocket(kind, socket.SOCK_STREAM)
    try:
        for option in options:
            sock.setsockopt(*option)
        # A blocking connect would take its whole timeout without asking `stop`.
        sock.setblocking(False)
        _establish(sock, target, timeout)
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def _establish(sock: socket.socket, target: SockAddr, timeout: float) -> None:
    code = sock.connect_ex(target)
    # How the connection of such a socket begins (connect(2)); SO_ERROR tells how it ended.
    if code == errno.EINPROGRESS:
        _await_connection(sock, timeout)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _await_connection(sock: socket.socket, timeout: float) -> None:
    monitor = current_monitor()
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    started = before = monitor.clock()
    while not poll.poll(int(monitor.limits.tick * 1000)):
        now = monitor.clock()
        monitor.slice_done(now - before, 0)
        if now - started >= timeout:
            raise TimeoutError
        before = now
