"""What can go wrong with an upstream, as sentences for the person who reads them.

Rule: no error repeats what the upstream sent, a login, a token or a query.
"""

from __future__ import annotations

from ecosystems.base import EcosystemError
from ecosystems.upstream.address import redact


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

    def __init__(self, url: str, *, host: str, other: str) -> None:
        super().__init__(url)
        self.message = (
            f"{host} redirects to {other}, and an index counts only from its own host. "
            f"If {other} is meant, make its address the source; else check the login."
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
