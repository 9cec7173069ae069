"""The HTTP client: index files and package files, from one upstream.

Rule: what is returned is whole. Everything else is an UpstreamError that says
in a sentence what the upstream did; `stop` is asked all the time and whatever
it raises comes through untouched.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast
from urllib.parse import urlsplit

from ecosystems.base import BadIndex, Stop, never_stop
from ecosystems.upstream.address import redact
from ecosystems.upstream.courier import Answer, Courier
from ecosystems.upstream.credential import Credential
from ecosystems.upstream.decode import open_decoded
from ecosystems.upstream.errors import DigestMismatch, Garbled, UpstreamError
from ecosystems.upstream.gate import SHARED_GATE, Gate
from ecosystems.upstream.limits import Limits
from ecosystems.upstream.policy import Policy
from ecosystems.upstream.proof import proves
from ecosystems.upstream.slots import Slots
from ecosystems.upstream.transfer import Digest, Progress, Sink, Transfer, no_progress

NO_CACHE = {"Cache-Control": "no-cache"}
GZIP = ("gzip", "x-gzip")
PACKED = {"gzip": (".gz", ".tgz"), "x-gzip": (".gz", ".tgz"), "bzip2": (".bz2",), "zstd": (".zst",)}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An index file as stored. `final_url` is where redirects led, fit to be shown."""

    url: str
    sha256: str
    size: int
    etag: str
    last_modified: str
    final_url: str


@dataclass(frozen=True, slots=True)
class NotModified:
    """The upstream says that its index is the one we have."""

    url: str


@dataclass(frozen=True, slots=True)
class Peek:
    """The beginning of what lies at an address; `size` is of the whole, where it is told."""

    body: bytes
    size: int | None
    media_type: str
    last_modified: str = ""


class Client:
    """Fetches from one upstream; safe to be used by several threads at once."""

    def __init__(
        self,
        policy: Policy,
        *,
        credential: Credential | None = None,
        proxy: str | None = None,
        settings: Limits | None = None,
        gate: Gate = SHARED_GATE,
        slots: Slots | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        user_agent: str = "mirrorserver",
        ca_files: Sequence[str] = (),
    ) -> None:
        self.limits = settings or Limits()
        self._courier = Courier(
            policy,
            credential=credential,
            proxy=proxy,
            limits=self.limits,
            gate=gate,
            slots=slots,
            clock=clock,
            sleep=sleep,
            user_agent=user_agent,
            ca_files=ca_files,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._courier.close()

    def check(self, url: str) -> None:
        """Raise `EgressRefused` where the policy lets nothing be fetched from; asks nobody."""
        self._courier.check(url)

    def peek(self, url: str, *, most: int, accept: str = "*/*", stop: Stop = never_stop) -> Peek:
        """The first bytes at an address, asked for once; the rest is not read."""
        headers = {"Accept": accept, "Range": f"bytes=0-{most - 1}"}
        with self._courier.ask(url, headers, stop=stop) as answer:
            body = bytearray()
            while len(body) < most and (chunk := answer.read(most - len(body))):
                body += chunk
            _, _, total = answer.headers.get("Content-Range", "").rpartition("/")
            size = int(total) if total.isascii() and total.isdecimal() else None
            if size is None and answer.status == 200:
                size = answer.length
            media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            modified = answer.headers.get("Last-Modified", "")
            if answer.encoding in GZIP and not _packed(answer):
                body, size = bytearray(_beginning(bytes(body), most)), None
            return Peek(bytes(body[:most]), size, media_type, modified)

    def fetch_index(
        self,
        url: str,
        to: Path,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        stop: Stop = never_stop,
        progress: Progress | None = None,
        cap: int | None = None,
        accept: str = "*/*",
        html: bool = False,
        patience: float | None = None,
    ) -> Fetched | NotModified:
        """Store an index file in `to` as it comes, unless it is the one we have.

        Redirects to another host are refused: nothing but the index itself says which file
        is right. `html`: an HTML page is what is expected. `patience`: as in `download`.
        A content encoding that was not asked for is undone.
        """
        headers = {"Accept": accept}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        limit = self.limits.index_cap if cap is None else cap

        def fetch(extra: dict[str, str]) -> Fetched | NotModified:
            with to.open("w+b") as file:
                sink = Sink(cast(BinaryIO, file))
                answer = Transfer(
                    courier=self._courier,
                    url=url,
                    sink=sink,
                    size=-1,
                    cap=limit,
                    headers=headers | extra,
                    stop=stop,
                    progress=progress or no_progress,
                    inspect=_refuse_empty if html else _refuse_pages,
                    stay=True,
                    patience=patience,
                ).run()
                if answer.status == 304:
                    return NotModified(url)
                digest = sink.digest()
            if _wrapped(answer):
                digest = _unwrap(answer, to, cap=limit, stop=stop)
            return Fetched(
                url=url,
                sha256=digest.sha256,
                size=digest.size,
                etag=answer.headers.get("ETag", ""),
                last_modified=answer.headers.get("Last-Modified", ""),
                final_url=redact(answer.url).partition("?")[0],
            )

        try:
            return fetch({})
        except Garbled:
            return fetch(NO_CACHE)

    def has(self, url: str, path: Path, *, stop: Stop = never_stop) -> bool:
        """Whether the upstream has the bytes of the file at `path`, as a part of them tells.

        Raises `UpstreamError` where it does not answer.
        """
        return proves(self._courier, url, path, stop=stop)

    def download(
        self,
        url: str,
        to: BinaryIO | Path,
        *,
        size: int = -1,
        sha256: str = "",
        md5: str = "",
        most: int | None = None,
        stop: Stop = never_stop,
        progress: Progress | None = None,
        patience: float | None = None,
    ) -> Digest:
        """Bring a file to `to` and verify it: size, and sha256 or else md5.

        `most`: the bytes that are accepted where the size is not known for certain.

        Wrong bytes are asked for once more, past all caches, and then are a
        DigestMismatch. An open file must be readable from its position on by
        others, and able to seek and truncate: a file that changed meanwhile
        is begun anew. A gzip encoding that was not asked for is undone. `patience`: what can be
        done without for now is not tried again, and is given up once the server has kept silent
        for so many seconds.
        """
        opened = to.open("w+b") if isinstance(to, Path) else nullcontext(to)
        with opened as file:
            sink, wrapping = Sink(file), _Wrapping(size, proof=bool(sha256 or md5 or size >= 0))

            def bring(extra: dict[str, str]) -> Digest:
                sink.restart()
                answer = Transfer(
                    courier=self._courier,
                    url=url,
                    sink=sink,
                    size=size,
                    cap=self.limits.file_cap if most is None else most,
                    headers=extra,
                    stop=stop,
                    progress=progress or no_progress,
                    decode=wrapping.undo,
                    patience=patience,
                ).run()
                digest = sink.digest()
                _verify(answer, digest, sha256=sha256, md5=md5)
                return digest

            try:
                return bring({})
            except (DigestMismatch, Garbled) as error:
                wrapping.doubt(error)
                return bring(NO_CACHE)


def _refuse_pages(answer: Answer, first: bytes) -> None:
    """An index is neither empty nor a web page (a login page, a portal)."""
    _refuse_empty(answer, first)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") or _looks_like_page(first):
        message = f"{answer.host} was asked for an index, but HTML was received."
        raise UpstreamError(answer.url, message, permanent=True, status=answer.status)


def _refuse_empty(answer: Answer, first: bytes) -> None:
    if not first:
        message = f"{answer.host} was asked for an index, but an empty body was received."
        raise UpstreamError(answer.url, message, permanent=True, status=answer.status)


def _looks_like_page(first: bytes) -> bool:
    return first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


class _Wrapping:
    """Whether a file's gzip encoding is the server's, to be undone, or the file's own."""

    def __init__(self, size: int, *, proof: bool) -> None:
        """`proof`: whether anything tells the right bytes from others."""
        self._size, self._proof = size, proof
        self._own = self._turned = False

    def undo(self, answer: Answer) -> bool:
        """A file that is named as packed, or is as long as listed, is what it is at first."""
        if answer.encoding not in GZIP:
            return False
        self._own = _packed(answer) or (self._size >= 0 and answer.length == self._size)
        return self._own is self._turned

    def doubt(self, error: UpstreamError) -> None:
        """Take it the other way the next time, where what came cannot be the file otherwise."""
        self._turned = self._own or (self._proof and isinstance(error, Garbled))


def _packed(answer: Answer) -> bool:
    """Old servers label `PACKAGES.gz` itself as gzip-encoded: that one is left as it is."""
    return urlsplit(answer.url).path.endswith(PACKED.get(answer.encoding, ()))


def _wrapped(answer: Answer) -> bool:
    """Whether the body carries an encoding that has to be undone."""
    if not answer.encoding or _packed(answer):
        return False
    if answer.encoding not in GZIP:
        message = f"{answer.host} sent an encoding that was not asked for."
        raise Garbled(answer.url, message, permanent=True)
    return True


def _beginning(body: bytes, most: int) -> bytes:
    """What the first bytes of a gzip-encoded body decode to; themselves where they do not."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, most)
    except zlib.error:
        return body


def _unwrap(answer: Answer, path: Path, *, cap: int, stop: Stop) -> Digest:
    """Decode a gzip-encoded body in its place."""
    plain = path.with_name(f"{path.name}.plain")
    try:
        with plain.open("w+b") as file:
            sink = Sink(cast(BinaryIO, file))
            for block in open_decoded(path, "gz", cap=cap):
                stop()
                sink.write(block)
            digest = sink.digest()
        plain.replace(path)
    except BadIndex as error:
        message = f"{answer.host} says that the body is gzip-encoded, but: {error}"
        raise Garbled(answer.url, message, permanent=True) from error
    finally:
        plain.unlink(missing_ok=True)
    return digest


def _verify(answer: Answer, digest: Digest, *, sha256: str, md5: str) -> None:
    """Compare with what the index promises; size was compared on the way."""
    wrong = ""
    if sha256:
        wrong = "sha256" if digest.sha256 != sha256.lower() else ""
    elif md5:
        wrong = "md5" if digest.md5 != md5.lower() else ""
    else:
        _wrapped(answer)  # Nothing says what the file must be, and other encodings are not undone.
    if wrong:
        message = (
            f"The bytes that {answer.host} sends do not have the {wrong} that the index promises."
        )
        raise DigestMismatch(answer.url, message, permanent=True)
