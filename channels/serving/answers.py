"""Turns what was found into an HTTP answer: whole, part, unchanged, or a problem in words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from typing import Any

import zstandard
from django.conf import settings

from channels.serving import ranges

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]

AT_ONCE = 1024 * 1024
CHUNK = 256 * 1024
INDEX_AGE = "max-age=60"
FOREVER_AGE = "max-age=31536000, immutable"
NO_SNIFF = ("X-Content-Type-Options", "nosniff")


class Damaged(Exception):
    """The stored bytes are not those that their row promises."""


@dataclass(slots=True)
class Problem:
    """An answer without what was asked for; `detail` is shown by clients."""

    status: int
    detail: str
    headers: Headers = field(default_factory=list)


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
            NO_SNIFF,
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
            ("Content-Length", str(self.size)),
            ("Accept-Ranges", "none" if self.packed else "bytes"),
        ]


def problem(environ: Environ, start_response: StartResponse, what: Problem) -> Iterable[bytes]:
    """The problem as `application/problem+json`."""
    status = HTTPStatus(what.status)
    text = {"title": status.phrase, "status": what.status, "detail": what.detail}
    body = json.dumps(text).encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        NO_SNIFF,
        *what.headers,
    ]
    start_response(f"{what.status} {status.phrase}", headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


def send(
    environ: Environ, start_response: StartResponse, entity: Entity
) -> tuple[Iterable[bytes], bool]:
    """The entity as this request wants it, and whether its beginning is sent.

    Raises `Damaged`, or FileNotFoundError where the blob is gone, before anything is sent.
    """
    if ("HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MODIFIED_SINCE" in environ) and (
        ranges.unchanged(environ, entity.etag, entity.modified)
    ):
        start_response("304 Not Modified", entity.unchanged_headers)
        return [b""], False
    if environ["REQUEST_METHOD"] == "HEAD":
        start_response("200 OK", entity.headers)
        return [b""], False
    if entity.path is not None and settings.X_ACCEL and not entity.packed:
        return _hand_over(start_response, entity), True
    if "HTTP_RANGE" not in environ or entity.packed:
        body = _whole(entity)
        start_response("200 OK", entity.headers)
        return body, True
    return _part(environ, start_response, entity)


def _part(
    environ: Environ, start_response: StartResponse, entity: Entity
) -> tuple[Iterable[bytes], bool]:
    span = ranges.wanted(environ, entity.size, etag=entity.etag, modified=entity.modified)
    if span == ranges.UNSATISFIABLE:
        detail = f"The file has {entity.size} bytes; the range begins behind its end."
        extra = [("Content-Range", f"bytes */{entity.size}"), ("Accept-Ranges", "bytes")]
        return problem(environ, start_response, Problem(416, detail, extra)), False
    first, last = span
    length = last - first + 1
    if length == entity.size:
        body = _whole(entity)
        start_response("200 OK", entity.headers)
        return body, True
    body = _bytes(entity, first, length)
    headers = [pair for pair in entity.headers if pair[0] != "Content-Length"]
    headers.append(("Content-Length", str(length)))
    headers.append(("Content-Range", f"bytes {first}-{last}/{entity.size}"))
    start_response("206 Partial Content", headers)
    return body, first == 0


def _hand_over(start_response: StartResponse, entity: Entity) -> Iterable[bytes]:
    """Let nginx send the blob; it cuts ranges out itself."""
    assert entity.path is not None
    blob = "/".join(entity.path.parts[-3:])
    headers = [pair for pair in entity.headers if pair[0] != "Content-Length"]
    start_response(
        "200 OK", [*headers, ("Content-Length", "0"), ("X-Accel-Redirect", f"/_blobs/{blob}")]
    )
    return [b""]


def _whole(entity: Entity) -> Iterable[bytes]:
    if entity.packed:
        return _unpacked(_open(entity, entity.stored))
    return _bytes(entity, 0, entity.size)


def _bytes(entity: Entity, first: int, length: int) -> Iterable[bytes]:
    if entity.path is None:
        return [entity.body[first : first + length]]
    file = _open(entity, entity.size)
    if length > AT_ONCE:
        return _chunks(file, first, length)
    with file:
        return [os.pread(file.fileno(), length, first)]


def _open(entity: Entity, size: int) -> FileIO:
    assert entity.path is not None
    file = FileIO(entity.path)
    if os.fstat(file.fileno()).st_size != size:
        file.close()
        raise Damaged(f"The stored file {entity.path.name} does not have its size.")
    return file


def _chunks(file: FileIO, first: int, length: int) -> Iterator[bytes]:
    with file:
        while length > 0:
            chunk = os.pread(file.fileno(), min(CHUNK, length), first)
            if not chunk:
                raise Damaged("A stored file became shorter while it was sent.")
            first += len(chunk)
            length -= len(chunk)
            yield chunk


def _unpacked(file: FileIO) -> Iterator[bytes]:
    with file:
        yield from zstandard.ZstdDecompressor().read_to_iter(file, write_size=CHUNK)
