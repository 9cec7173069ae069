"""Turns what was found into an HTTP answer: whole, part, unchanged, or a problem in words.

The rule: an answer holds what is small and in memory, and names the file of all else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.conf import settings

from delivery import ranges, small_files

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]

INDEX_AGE = "max-age=60"
FILE_AGE = "max-age=300"
"""Of a file at its name: the name can get new bytes, which the strong ETag tells apart."""
FOREVER_AGE = "max-age=31536000, immutable"
_SAFE: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox"),
    ("Referrer-Policy", "no-referrer"),
]


def safe() -> Headers:
    """On everything that comes from other people's servers: it never acts in this server's name."""
    if seconds := settings.SECURE_HSTS_SECONDS:
        # By PUBLIC_URL, as on pages: TLS ends in a proxy.
        return [*_SAFE, ("Strict-Transport-Security", f"max-age={seconds}")]
    return _SAFE


class Damaged(Exception):
    """The stored bytes are not those that their row promises."""


@dataclass(slots=True)
class Problem:
    """An answer without what was asked for; `detail` is shown by clients."""

    status: int
    detail: str
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class Reply:
    """One answer, ready to be sent: `body`, or a part of the file `path`."""

    status: int
    headers: Headers
    body: bytes | bytearray = b""
    path: Path | None = None
    first: int = 0
    length: int = 0
    packed: bool = False
    """The file is the zstd form of what is sent."""
    user: str = ""
    """Who asked with a valid token."""


@dataclass(frozen=True, slots=True)
class Item:
    """A listed file, for the count of downloads."""

    channel_id: int
    section: str
    filename: str
    name: str


@dataclass(slots=True)
class Entity:
    """Bytes with a name: in memory (`body`) or a blob on disk (`path`)."""

    etag: str
    size: int
    media_type: str
    age: str
    private: bool
    path: Path | None = None
    body: bytes = b""
    packed: bool = False
    """The blob is the zstd form of what is served, `stored` bytes long."""
    stored: int = -1
    modified: str = ""
    item: Item | None = None
    vary: str = ""
    """The header that decides in which form this is given."""
    headers: Headers = field(init=False)
    unchanged_headers: Headers = field(init=False)

    def __post_init__(self) -> None:
        common = [
            ("ETag", self.etag),
            ("Cache-Control", f"{'private' if self.private else 'public'}, {self.age}"),
            *safe(),
        ]
        vary = [self.vary] if self.vary else []
        if self.private:
            vary.append("Authorization")
        if vary:
            common.append(("Vary", ", ".join(vary)))
        if self.modified:
            common.append(("Last-Modified", self.modified))
        self.unchanged_headers = common
        self.headers = [
            *common,
            ("Content-Type", self.media_type),
            # Ranges count the bytes as sent; those of a packed file exist only while it is sent.
            ("Accept-Ranges", "none" if self.packed else "bytes"),
        ]
        if self.size >= 0:
            self.headers.append(("Content-Length", str(self.size)))


def problem(environ: Environ, refusal: Problem) -> Reply:
    """The problem as `application/problem+json`."""
    status = HTTPStatus(refusal.status)
    text = {"title": status.phrase, "status": refusal.status, "detail": refusal.detail}
    body = json.dumps(text).encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *safe(),
        *refusal.headers,
    ]
    return Reply(refusal.status, headers, b"" if environ["REQUEST_METHOD"] == "HEAD" else body)


def send(environ: Environ, entity: Entity) -> tuple[Reply, bool]:
    """The entity as this request wants it, and whether its beginning is sent.

    Raises `Damaged`, or FileNotFoundError where the blob is gone.
    """
    if ("HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MODIFIED_SINCE" in environ) and (
        ranges.unchanged(environ, entity.etag, entity.modified)
    ):
        return Reply(304, entity.unchanged_headers), False
    if environ["REQUEST_METHOD"] == "HEAD":
        return Reply(200, entity.headers), False
    # nginx cannot unpack zstd, so packed files are sent from here.
    if entity.path is not None and settings.X_ACCEL and not entity.packed:
        _check(entity)
        return _hand_over(entity), True
    if "HTTP_RANGE" not in environ or entity.packed:
        return _whole(entity), True
    return _part(environ, entity)


def _part(environ: Environ, entity: Entity) -> tuple[Reply, bool]:
    span = ranges.parse_range(environ, entity.size, etag=entity.etag, modified=entity.modified)
    if span == ranges.UNSATISFIABLE:
        detail = f"The file has {entity.size} bytes; the range begins behind its end."
        extra = [("Content-Range", f"bytes */{entity.size}"), ("Accept-Ranges", "bytes")]
        return problem(environ, Problem(416, detail, extra)), False
    first, last = span
    length = last - first + 1
    if length == entity.size:
        return _whole(entity), True
    headers = [pair for pair in entity.headers if pair[0] != "Content-Length"]
    headers.append(("Content-Length", str(length)))
    headers.append(("Content-Range", f"bytes {first}-{last}/{entity.size}"))
    if entity.path is None:
        return Reply(206, headers, entity.body[first : last + 1]), first == 0
    _check(entity)
    part = small_files.read_part(str(entity.path), first, length)
    if part is not None:
        return Reply(206, headers, part), first == 0
    return Reply(206, headers, path=entity.path, first=first, length=length), first == 0


def _hand_over(entity: Entity) -> Reply:
    """Let nginx send the blob; it cuts ranges out itself.

    How long it may be kept stands in a header of another name: nginx would put `Cache-Control`
    on its own errors too.
    """
    assert entity.path is not None
    blob = "/".join(entity.path.parts[-3:])
    headers = [
        pair for pair in entity.headers if pair[0] not in ("Content-Length", "Cache-Control")
    ]
    age = next(value for name, value in entity.headers if name == "Cache-Control")
    accel = [("X-Accel-Cache-Control", age), ("X-Accel-Redirect", f"/_blobs/{blob}")]
    return Reply(200, [*headers, ("Content-Length", "0"), *accel])


def _whole(entity: Entity) -> Reply:
    if entity.path is None:
        return Reply(200, entity.headers, entity.body)
    if not entity.packed and 0 <= entity.size < small_files.LARGEST:
        body = small_files.read(str(entity.path), entity.size)
        if body is not None:
            return Reply(200, entity.headers, body)
    _check(entity)
    return Reply(200, entity.headers, path=entity.path, length=entity.size, packed=entity.packed)


def _check(entity: Entity) -> None:
    """Raise before anything is sent if the stored file is gone or has another size."""
    if entity.path is None:
        return
    promised = entity.stored if entity.packed else entity.size
    if entity.path.stat().st_size != promised:
        raise Damaged(f"The stored file {entity.path.name} does not have its size.")
