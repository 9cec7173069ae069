"""Logins for upstreams, split off their addresses and bound to one origin.

Rule: a credential goes to the scheme, host and port it was given for, and
nowhere else; it is never shown.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import unquote

from ecosystems.upstream.urls import TOKEN_PATH, Origin, origin, split_url

Scheme = Literal["basic", "token-path"]


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """One login. `prefix` is the path in front of `/t/<token>` (token-path only)."""

    kind: Scheme
    origin: Origin
    secret: str
    user: str = ""
    prefix: str = ""

    def __repr__(self) -> str:
        return f"Credential({self.kind}, {self.origin}, ***)"

    def dump(self) -> str:
        """All of it in clear, for encrypted storage only."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Credential:
        """What `dump` gave."""
        fields = json.loads(text)
        return cls(**{**fields, "origin": Origin(*fields["origin"])})

    def belongs_to(self, url: str) -> bool:
        """Whether `url` points at the server this login is for."""
        try:
            return origin(url) == self.origin
        except ValueError:
            return False

    def headers(self) -> dict[str, str]:
        """The headers that carry this login."""
        if self.kind != "basic":
            return {}
        # RFC 7617; in UTF-8, as most servers read it.
        pair = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    def address(self, url: str) -> str:
        """`url` with the path token put back where it was."""
        if self.kind != "token-path" or self.token_path in url:
            return url
        start = _authority_end(url)
        path = url[start:] or "/"
        if not path.startswith(f"{self.prefix}/"):
            return url
        return f"{url[:start]}{self.token_path}{path[len(self.prefix) :]}"

    def strip(self, url: str) -> str:
        """`url` without the path token, for a server that must not see it."""
        if self.kind != "token-path":
            return url
        return url.replace(f"/t/{self.secret}", "")

    @property
    def token_path(self) -> str:
        """The part of the path that carries the token."""
        return f"{self.prefix}/t/{self.secret}"


def split_credentials(url: str) -> tuple[str, Credential | None]:
    """Take `user:password@` or `/t/<token>/` out of `url`.

    ValueError with a sentence (that repeats no secret) where the address cannot be read or
    carries both.
    """
    parts = split_url(url)
    clean = url
    if parts.auth is not None:
        # The last @ counts, as in browsers: a password may hold one that is not encoded.
        start, end = url.index("//") + 2, _authority_end(url)
        clean = f"{url[:start]}{url[start:end].rpartition('@')[2]}{url[end:]}"
    server = origin(clean)
    start = _authority_end(clean)
    token = TOKEN_PATH.search(clean, start)
    if token is not None and parts.auth is not None:
        raise ValueError("The address carries a user name and a path token: give one of them.")
    if token is not None:
        prefix = clean[start : token.start()]
        clean = clean[: token.start()] + clean[token.end() :]
        return clean, Credential("token-path", server, token[1], prefix=prefix)
    if parts.auth is None:
        return clean, None
    # Reserved characters stand percent-encoded in an address (RFC 3986, 3.2.1).
    user, _, password = parts.auth.partition(":")
    return clean, Credential("basic", server, unquote(password), user=unquote(user))


def _authority_end(url: str) -> int:
    """Where the path of `url` begins."""
    start = url.index("//") + 2
    return min(
        (at for at in (url.find(mark, start) for mark in "/?#") if at >= 0), default=len(url)
    )
