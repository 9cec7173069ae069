"""The HTTP client: index files and package files, from one upstream.

Rule: what is returned is whole. Everything else is an UpstreamError that says
in a sentence what the upstream did; `stop` is called all the time and whatever
it raises comes through untouched.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

from ecosystems.progress import ByteProgress, Stop, never_stop, no_progress
from ecosystems.upstream.content_encoding import (
    GZIP,
    FileEncoding,
    decode_in_place,
    decoded_beginning,
    is_encoded,
    is_packed,
)
from ecosystems.upstream.egress import EgressPolicy
from ecosystems.upstream.errors import DigestMismatch, Garbled, UpstreamError
from ecosystems.upstream.proof import proves
from ecosystems.upstream.response import Response
from ecosystems.upstream.session import Session
from ecosystems.upstream.settings import ClientSettings
from ecosystems.upstream.transfer import Digest, Sink, Transfer
from ecosystems.upstream.urls import redact

NO_CACHE = {"Cache-Control": "no-cache"}


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """An index file as stored. `final_url` is where redirects led, fit to be shown."""

    url: str
    sha256: str
    size: int
    etag: str
    last_modified: str
    final_url: str


@dataclass(frozen=True, slots=True)
class NotModified:
    """The upstream says that its index is the one we have (304)."""

    url: str


@dataclass(frozen=True, slots=True)
class Peek:
    """The beginning of what lies at an address; `size` is of the whole, where it is stated."""

    body: bytes
    size: int | None
    media_type: str
    last_modified: str = ""


class Client:
    """Fetches from one upstream; safe to be used by several threads at once."""

    def __init__(self, policy: EgressPolicy, settings: ClientSettings | None = None) -> None:
        self._session = Session(policy, settings or ClientSettings())
        self.limits = self._session.limits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    def check(self, url: str) -> None:
        """Raise `EgressRefused` where the policy lets nothing be fetched from; asks no server."""
        self._session.check(url)

    def peek(self, url: str, *, most: int, accept: str = "*/*", stop: Stop = never_stop) -> Peek:
        """The first bytes at an address, asked for once; the body is not read any further."""
        headers = {"Accept": accept, "Range": f"bytes=0-{most - 1}"}
        with self._session.get(url, headers, stop=stop) as response:
            body = bytearray()
            # Servers without ranges send the whole file: the rest of it is not read.
            while len(body) < most and (chunk := response.read(most - len(body))):
                body += chunk
            # "bytes 0-99/1234" (RFC 9110, 14.4); servers without ranges send all.
            _, _, total = response.headers.get("Content-Range", "").rpartition("/")
            size = int(total) if total.isascii() and total.isdecimal() else None
            if size is None and response.status == 200:
                size = response.length
            modified = response.headers.get("Last-Modified", "")
            if response.encoding in GZIP and not is_packed(response):
                body, size = bytearray(decoded_beginning(bytes(body), most)), None
            return Peek(bytes(body[:most]), size, response.media_type, modified)

    def fetch_index(
        self,
        url: str,
        to: Path,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        stop: Stop = never_stop,
        progress: ByteProgress | None = None,
        cap: int | None = None,
        accept: str = "*/*",
        html: bool = False,
        fresh: bool = False,
        patience: float | None = None,
    ) -> FetchedFile | NotModified:
        """Store an index file in `to` as it comes, unless it is the one we have.

        Redirects to another host are refused: nothing but the index itself says which file
        is right. `html`: an HTML page is what is expected. `fresh`: past all caches. `patience`:
        as in `download`. A content encoding that was not asked for is undone.
        """
        transfer = Transfer(
            session=self._session,
            url=url,
            size=-1,
            cap=self.limits.index_cap if cap is None else cap,
            headers=_conditional_headers(accept, etag, last_modified) | (NO_CACHE if fresh else {}),
            stop=stop,
            progress=progress or no_progress,
            inspect=_refuse_empty if html else _refuse_pages,
            same_host=True,
            patience=patience,
        )
        try:
            return _store_index(transfer, to)
        except Garbled:
            # A cache may have kept a damaged body.
            return _store_index(transfer.with_headers(NO_CACHE), to)

    def has(self, url: str, path: Path, *, stop: Stop = never_stop) -> bool:
        """Whether the upstream has the bytes of the file at `path`, as a part of them proves.

        Raises `UpstreamError` where it does not answer.
        """
        return proves(self._session, url, path, stop=stop)

    def download(
        self,
        url: str,
        to: BinaryIO | Path,
        *,
        size: int = -1,
        sha256: str = "",
        md5: str = "",
        checksum: str = "",
        most: int | None = None,
        stop: Stop = never_stop,
        progress: ByteProgress | None = None,
        patience: float | None = None,
    ) -> Digest:
        """Bring a file to `to` and verify it: size, and sha256, else md5, else `checksum`.

        `checksum`: any other hash, as `algorithm=digits`.
        `most`: the bytes that are accepted where the size is not known for certain. Wrong bytes
        are asked for once more, past all caches, and then are a DigestMismatch. An open file must
        be readable from its position on by others, and able to seek and truncate. A gzip encoding
        that was not asked for is undone. `patience`: seconds of silence after which it is given up.
        """
        encoding = FileEncoding(size, verifiable=bool(sha256 or md5 or checksum or size >= 0))
        transfer = Transfer(
            session=self._session,
            url=url,
            size=size,
            cap=self.limits.file_cap if most is None else most,
            stop=stop,
            progress=progress or no_progress,
            decode=encoding.undo,
            patience=patience,
        )
        with to.open("w+b") if isinstance(to, Path) else nullcontext(to) as file:
            hashes = _Hashes(sha256.lower(), md5.lower(), checksum.lower())
            sink = Sink(file, hashes.further)
            try:
                return _store_file(transfer, sink, hashes)
            except (DigestMismatch, Garbled) as error:
                # Where the encoding was taken the wrong way, the same bytes may be right.
                encoding.doubt(error)
                uncached = transfer.with_headers(NO_CACHE)
                return _store_file(uncached, sink, hashes)


def _conditional_headers(
    accept: str, etag: str | None, last_modified: str | None
) -> dict[str, str]:
    """The headers of a conditional GET (RFC 9110, 13.1)."""
    headers = {"Accept": accept}
    if etag:
        headers["If-None-Match"] = etag
    # Beside an ETag too: what knows no ETags compares the dates (RFC 9110, 13.1.3).
    if last_modified:
        headers["If-Modified-Since"] = last_modified
    return headers


def _store_index(transfer: Transfer, path: Path) -> FetchedFile | NotModified:
    with path.open("w+b") as file:
        sink = Sink(cast(BinaryIO, file))
        response = transfer.run(sink)
        if response.status == 304:
            return NotModified(transfer.url)
        digest = sink.digest()
    if is_encoded(response):
        digest = decode_in_place(response, path, cap=transfer.cap, stop=transfer.stop)
    return FetchedFile(
        url=transfer.url,
        sha256=digest.sha256,
        size=digest.size,
        etag=response.headers.get("ETag", ""),
        last_modified=response.headers.get("Last-Modified", ""),
        # It is shown, and joined with relative links: a query has no place in either.
        final_url=redact(response.url).partition("?")[0],
    )


@dataclass(frozen=True, slots=True)
class _Hashes:
    """What an index states of a file; "" for what it does not. The first that is there counts."""

    sha256: str
    md5: str
    checksum: str

    @property
    def further(self) -> str:
        """The algorithm of `checksum`, where that is what counts."""
        return "" if self.sha256 or self.md5 else self.checksum.partition("=")[0]

    def mismatch(self, sink: Sink) -> str:
        """The algorithm whose digest of what came is another than stated; "" for none."""
        digest = sink.digest()
        if self.sha256:
            return "sha256" if digest.sha256 != self.sha256 else ""
        if self.md5:
            return "md5" if digest.md5 != self.md5 else ""
        return self.further if sink.checksum != self.checksum else ""

    def __bool__(self) -> bool:
        return bool(self.sha256 or self.md5 or self.checksum)


def _store_file(transfer: Transfer, sink: Sink, hashes: _Hashes) -> Digest:
    sink.restart()
    response = transfer.run(sink)
    _verify(response, sink, hashes)
    return sink.digest()


def _refuse_pages(response: Response, first: bytes) -> None:
    """An index is neither empty nor a web page (a login page, a portal)."""
    _refuse_empty(response, first)
    is_html = response.media_type in ("text/html", "application/xhtml+xml")
    if is_html or _looks_like_page(first):
        message = f"{response.host} was asked for an index, but HTML was received."
        raise UpstreamError(response.url, message, permanent=True, status=response.status)


def _refuse_empty(response: Response, first: bytes) -> None:
    if not first:
        message = f"{response.host} was asked for an index, but an empty body was received."
        raise UpstreamError(response.url, message, permanent=True, status=response.status)


def _looks_like_page(first: bytes) -> bool:
    # Behind a byte order mark too.
    return first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _verify(response: Response, sink: Sink, hashes: _Hashes) -> None:
    """Compare with what the index promises; size was compared on the way."""
    if not hashes:
        # Nothing says what the file must be, and encodings other than gzip are not undone.
        is_encoded(response)
    if wrong := hashes.mismatch(sink):
        message = (
            f"The bytes that {response.host} sends do not have the {wrong} that the index promises."
        )
        raise DigestMismatch(response.url, message, permanent=True)
