"""Brings one body into one file, over as many connections as it takes.

Rule: bytes of two responses are joined only where the server proves that they belong to the
same thing (206, the requested range, the same total, the same ETag: RFC 9110, 13.1.5 and 15.3.7);
otherwise the file is begun anew.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Self

from ecosystems.errors import BadIndex
from ecosystems.progress import ByteProgress, Stop, no_progress
from ecosystems.upstream.backoff import SLICE
from ecosystems.upstream.decode import gunzip
from ecosystems.upstream.errors import Busy, DigestMismatch, Garbled, UpstreamError
from ecosystems.upstream.response import Response
from ecosystems.upstream.session import Session

TOO_MANY_REQUESTS = 429
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Digest:
    """What arrived."""

    sha256: str
    md5: str
    size: int


class Sink:
    """The file being written, its length and its hashes."""

    def __init__(self, file: BinaryIO, algorithm: str = "") -> None:
        """`algorithm`: a further hash that is wanted, by its name in `hashlib`."""
        self._file = file
        self._algorithm = algorithm
        self._start = file.tell()
        self.size = 0
        self.largest_size = 0
        self._clear()

    def write(self, data: bytes) -> None:
        """Append and hash."""
        self._file.write(data)
        self._sha256.update(data)
        self._md5.update(data)
        if self._further is not None:
            self._further.update(data)
        self.size += len(data)
        self.largest_size = max(self.largest_size, self.size)

    def restart(self) -> None:
        """Throw away what was written."""
        if self.size:
            self._file.seek(self._start)
            self._file.truncate()
            self._clear()

    def digest(self) -> Digest:
        """Of what was written; the file is flushed."""
        self._file.flush()
        return Digest(self._sha256.hexdigest(), self._md5.hexdigest(), self.size)

    @property
    def checksum(self) -> str:
        """The further hash of what was written, as `algorithm=digits`; "" where none is wanted."""
        return "" if self._further is None else f"{self._algorithm}={self._further.hexdigest()}"

    def _clear(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        # Old indexes state nothing else; what has both is verified by sha256.
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._further = (
            hashlib.new(self._algorithm, usedforsecurity=False) if self._algorithm else None
        )


def no_inspection(_response: Response, _first: bytes) -> None:
    """An `Inspect` that accepts everything."""


def as_sent(_response: Response) -> bool:
    """A `decode` for bodies that are stored in whatever encoding they have."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What one body is asked for with. `size` is what the index promises, -1 for unknown."""

    session: Session
    url: str
    size: int
    cap: int
    stop: Stop
    headers: Mapping[str, str] = field(default_factory=dict)
    progress: ByteProgress = no_progress
    inspect: Callable[[Response, bytes], None] = no_inspection
    """Sees the response and the first bytes of a body; raises to refuse it."""

    decode: Callable[[Response], bool] = as_sent
    """Whether the response's gzip encoding is undone on the way."""

    same_host: bool = False
    """Whether only the host of `url` itself may answer."""
    patience: float | None = None
    """Seconds of silence after which what is not needed now is given up; it is tried once."""

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same, with these headers too."""
        return replace(self, headers={**self.headers, **headers})

    def run(self, sink: Sink) -> Response:
        """Try until the body is in `sink`, the response is 304, or trying is no use."""
        attempts, failures = _Attempts(self, sink), 0
        retries = self.session.limits.retries if self.patience is None else 0
        while True:
            size_before = sink.largest_size
            try:
                return attempts.attempt()
            except UpstreamError as error:
                if error.permanent:
                    raise
                if isinstance(error, Busy) and self._is_waited_for(error):
                    # Also where this was the last try: others ask the same server.
                    self._hold_back(error, failures)
                # A large file comes in many pieces over a bad line.
                failures = 1 if sink.largest_size > size_before else failures + 1
                if failures > retries:
                    if failures > 1:
                        error.message = f"{error.message} (Tried {failures} times.)"
                        error.args = (error.message,)
                    raise
                self._pause(error, failures)

    def _is_waited_for(self, error: Busy) -> bool:
        # A file that is not needed, and that the server cannot make, delays no other request.
        return self.patience is None or error.status == TOO_MANY_REQUESTS

    def _pause(self, error: UpstreamError, failures: int) -> None:
        """Back off: for everybody where the server asked for it, else for this file only."""
        if isinstance(error, Busy):
            return  # Every request to the server waits for its `Backoff`.
        # Spread, so that transfers that failed together do not come back together.
        left = self._delay(failures) * (0.5 + random.random() / 2)
        while left > 0:
            self.stop()
            self.session.settings.sleep(min(left, SLICE))
            left -= SLICE

    def _hold_back(self, error: Busy, failures: int) -> None:
        """Ask the server for nothing for as long as it says, within reason."""
        stated = min(error.retry_after or 0.0, self.session.limits.retry_after_max)
        # A stated 0 must not turn into a storm of requests.
        delay = max(stated, self._delay(failures + 1))
        self.session.settings.backoff.hold_back(error.host, delay)

    def _delay(self, failures: int) -> float:
        limits = self.session.limits
        return min(limits.backoff * float(2 ** (failures - 1)), limits.backoff_max)


class _Attempts:
    """The tries of one transfer, and what the last response said of the body."""

    def __init__(self, transfer: Transfer, sink: Sink) -> None:
        self._transfer, self._sink = transfer, sink
        self._validator = ""
        """What `If-Range` is sent with; "" where the body cannot be resumed."""
        self._etag = ""
        self._total = -1
        self._decoding = False

    def attempt(self) -> Response:
        """One request, and its body to the end."""
        transfer = self._transfer
        resume_at = self._sink.size if self._validator else 0
        headers = dict(transfer.headers)
        if resume_at:
            # With If-None-Match the answer would be a 304 and not the rest (RFC 9110, 13.2.2).
            headers = {k: v for k, v in headers.items() if not k.startswith("If-")}
            headers |= {"Range": f"bytes={resume_at}-", "If-Range": self._validator}
        else:
            # Nothing would prove that the rest belongs to what is there.
            self._sink.restart()
        with transfer.session.get(
            transfer.url,
            headers,
            stop=transfer.stop,
            same_host=transfer.same_host,
            patience=transfer.patience,
        ) as response:
            if response.status == 304:
                if resume_at or not headers.keys() & {"If-None-Match", "If-Modified-Since"}:
                    message = f"{response.host} answered 304 without being asked."
                    raise UpstreamError(transfer.url, message)
                return response
            if response.status == 200:
                self._start_over(response)
            else:
                self._check_content_range(response, resume_at)
            self._receive(response)
            return response

    def _start_over(self, response: Response) -> None:
        """The whole body comes: it goes in the place of what was written."""
        self._sink.restart()
        self._etag = response.headers.get("ETag", "")
        # A weak ETag (W/"...") proves nothing of the bytes (RFC 9110, 13.1.5).
        strong = self._etag if self._etag.startswith('"') else ""
        self._validator = strong or response.headers.get("Last-Modified", "")
        self._total = -1 if response.length is None else response.length
        self._decoding = self._transfer.decode(response)
        if self._decoding:
            # Length and ranges are of the encoded bytes: the body is had in one piece.
            self._validator, self._total = "", -1
        self._check_announced_length(response, self._total)

    def _check_content_range(self, response: Response, resume_at: int) -> None:
        """Raise, and begin anew, unless the body goes on where the last one ended."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        is_part = response.status == 206
        if resume_at and is_part and match is not None:
            # A server need not know the whole length (RFC 9110, 14.4).
            total = -1 if match[3] == "*" else int(match[3])
            same_total = total in (-1, self._total) or self._total == -1
            etag = response.headers.get("ETag", self._etag)
            if int(match[1]) == resume_at and same_total and etag == self._etag:
                self._check_announced_length(response, total)
                return
        self._validator = ""
        self._sink.restart()
        content = "a part that was not asked for" if is_part else "that the range is not there"
        message = f"{response.host} answered with {content}."
        raise UpstreamError(self._transfer.url, message, status=response.status)

    def _check_announced_length(self, response: Response, total: int) -> None:
        """Refuse a body whose announced length is wrong, before reading it."""
        size = self._transfer.size
        if size >= 0 and total not in (-1, size):
            raise DigestMismatch(
                self._transfer.url,
                f"{response.host} sends {total} bytes{_encoded(response)} where the index promises "
                f"{size}.",
                permanent=True,
            )
        if total > self._transfer.cap:
            raise UpstreamError(self._transfer.url, self._too_large(response), permanent=True)

    def _receive(self, response: Response) -> None:
        transfer, sink = self._transfer, self._sink
        limit = transfer.size if transfer.size >= 0 else transfer.cap
        total = transfer.size if transfer.size >= 0 else self._total
        # Counted as it comes: nothing beyond the cap is ever written to the disk.
        for chunk in self._chunks(response, limit):
            transfer.stop()
            if sink.size == 0:
                transfer.inspect(response, chunk)
            if sink.size + len(chunk) > limit:
                self._refuse_surplus(response)
            sink.write(chunk)
            transfer.progress(sink.size, total)
        if sink.size == 0:
            transfer.inspect(response, b"")
        # Without Content-Length a broken connection ends a body as its end does.
        if sink.size < transfer.size:
            message = f"{response.host} ended after {sink.size} of {transfer.size} bytes."
            raise UpstreamError(transfer.url, message)

    def _chunks(self, response: Response, limit: int) -> Iterator[bytes]:
        """The body as it arrives, a byte beyond `limit` at most where nothing is decoded."""
        if not self._decoding:
            # One byte more than there may be tells a body that is too long from a whole one.
            while chunk := response.read(limit - self._sink.size + 1):
                yield chunk
            return
        try:
            yield from gunzip(response)
        except BadIndex as error:
            message = (
                f"{response.host} sent the file in an encoding that was not asked for (gzip), and "
                "it cannot be decoded."
            )
            raise Garbled(self._transfer.url, message, permanent=True) from error

    def _refuse_surplus(self, response: Response) -> None:
        if self._transfer.size < 0:
            raise UpstreamError(self._transfer.url, self._too_large(response), permanent=True)
        raise DigestMismatch(
            self._transfer.url,
            f"{response.host} sends more{_encoded(response)} than the {self._transfer.size} bytes "
            "that the index promises.",
            permanent=True,
        )

    def _too_large(self, response: Response) -> str:
        cap = self._transfer.cap
        return f"{response.host} sends more than {cap} bytes, which is the most accepted here."


def _encoded(response: Response) -> str:
    """Names an encoding that was not asked for: it is why bytes are other than promised."""
    return f" (in the encoding {response.encoding!r}, unasked)" if response.encoding else ""
