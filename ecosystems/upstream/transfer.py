"""Brings one body into one file, over as many connections as it takes.

Rule: bytes of two answers are joined only where the server proves that they
belong to the same thing (206, the range asked for, the same total, the same
ETag); otherwise the file is begun anew.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ecosystems.base import BadIndex, Stop
from ecosystems.upstream.courier import Answer, Courier
from ecosystems.upstream.decode import gunzip
from ecosystems.upstream.errors import Busy, DigestMismatch, Garbled, UpstreamError
from ecosystems.upstream.gate import SLICE

Progress = Callable[[int, int], None]
"""(bytes here, bytes in all or -1); falls back to 0 when the file is begun anew."""

TOO_MANY = 429
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def no_progress(_done: int, _total: int) -> None:
    """A `Progress` that nobody watches."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What arrived."""

    sha256: str
    md5: str
    size: int


class Sink:
    """The file being written, its length and its hashes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()
        self.size = 0
        self.best = 0
        self._clear()

    def write(self, data: bytes) -> None:
        """Append and hash."""
        self._file.write(data)
        self._sha256.update(data)
        self._md5.update(data)
        self.size += len(data)
        self.best = max(self.best, self.size)

    def restart(self) -> None:
        """Throw away what is here."""
        if self.size:
            self._file.seek(self._start)
            self._file.truncate()
            self._clear()

    def digest(self) -> Digest:
        """Of what is here; the file is flushed."""
        self._file.flush()
        return Digest(self._sha256.hexdigest(), self._md5.hexdigest(), self.size)

    def _clear(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)


def no_inspection(_answer: Answer, _first: bytes) -> None:
    """An `Inspect` that accepts everything."""


def as_it_comes(_answer: Answer) -> bool:
    """A `decode` for bodies that are stored in whatever encoding they have."""
    return False


@dataclass(slots=True, kw_only=True)
class Transfer:
    """One body on its way. `size` is what the index promises, -1 for unknown."""

    courier: Courier
    url: str
    sink: Sink
    size: int
    cap: int
    headers: dict[str, str]
    stop: Stop
    progress: Progress = no_progress
    inspect: Callable[[Answer, bytes], None] = no_inspection
    """Sees the answer and the first bytes of a body; raises to refuse it."""

    decode: Callable[[Answer], bool] = as_it_comes
    """Whether the answer's gzip encoding is undone on the way."""

    stay: bool = False
    """Whether only the host of `url` itself may answer."""
    patience: float | None = None
    """Seconds of silence after which what is not needed now is given up; it is tried once."""

    _validator: str = ""
    _etag: str = ""
    _total: int = -1
    _decoding: bool = False

    def run(self) -> Answer:
        """Try until the body is here, the answer is 304, or trying is no use."""
        limits, failures = self.courier.limits, 0
        retries = limits.retries if self.patience is None else 0
        while True:
            before = self.sink.best
            try:
                return self._attempt()
            except UpstreamError as error:
                if error.permanent:
                    raise
                if isinstance(error, Busy) and (self.patience is None or error.status == TOO_MANY):
                    # Also where this was the last try: others ask the same server. But a file that
                    # is not needed, and that the server cannot make, holds nobody up.
                    self._hold_back(error, failures)
                failures = 1 if self.sink.best > before else failures + 1
                if failures > retries:
                    if failures > 1:
                        error.message = f"{error.message} (Tried {failures} times.)"
                        error.args = (error.message,)
                    raise
                self._pause(error, failures)

    def _pause(self, error: UpstreamError, failures: int) -> None:
        """Back off: for everybody where the server asked for it, else for this file only."""
        if isinstance(error, Busy):
            return  # All wait at the gate.
        left = self._delay(failures) * (0.5 + random.random() / 2)
        while left > 0:
            self.stop()
            self.courier.sleep(min(left, SLICE))
            left -= SLICE

    def _hold_back(self, error: Busy, failures: int) -> None:
        """Let nobody ask the server for as long as it says, within reason."""
        asked = min(error.retry_after or 0.0, self.courier.limits.retry_after_max)
        self.courier.gate.penalise(error.host, max(asked, self._delay(failures + 1)))

    def _delay(self, failures: int) -> float:
        limits = self.courier.limits
        return min(limits.backoff * float(2 ** (failures - 1)), limits.backoff_max)

    def _attempt(self) -> Answer:
        resume = self.sink.size if self._validator else 0
        headers = dict(self.headers)
        if resume:
            headers = {k: v for k, v in headers.items() if not k.startswith("If-")}
            headers |= {"Range": f"bytes={resume}-", "If-Range": self._validator}
        else:
            self.sink.restart()
        with self.courier.ask(
            self.url, headers, stop=self.stop, stay=self.stay, patience=self.patience
        ) as answer:
            if answer.status != 304:
                self._join(answer, resume)
                self._receive(answer)
            elif resume or not headers.keys() & {"If-None-Match", "If-Modified-Since"}:
                raise UpstreamError(self.url, f"{answer.host} answered 304 without being asked.")
            return answer

    def _join(self, answer: Answer, resume: int) -> None:
        """Decide where the body of `answer` goes: behind what is here, or in its place."""
        if answer.status == 200:
            self.sink.restart()
            etag = answer.headers.get("ETag", "")
            self._etag = etag
            self._validator = etag if etag.startswith('"') else ""
            self._validator = self._validator or answer.headers.get("Last-Modified", "")
            self._total = -1 if answer.length is None else answer.length
            self._decoding = self.decode(answer)
            if self._decoding:
                # Length and ranges are of the encoded bytes: the body is had in one piece.
                self._validator, self._total = "", -1
            self._promise(answer, self._total)
            return
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if resume and answer.status == 206 and match is not None:
            total = -1 if match[3] == "*" else int(match[3])
            same = total in (-1, self._total) or self._total == -1
            etag = answer.headers.get("ETag", self._etag)
            if int(match[1]) == resume and same and etag == self._etag:
                self._promise(answer, total)
                return
        self._validator = ""
        self.sink.restart()
        what = (
            "a part that was not asked for"
            if answer.status == 206
            else "that the range is not there"
        )
        raise UpstreamError(self.url, f"{answer.host} answered with {what}.", status=answer.status)

    def _promise(self, answer: Answer, total: int) -> None:
        """Refuse a body whose announced length is wrong, before reading it."""
        if self.size >= 0 and total not in (-1, self.size):
            raise DigestMismatch(
                self.url,
                f"{answer.host} sends {total} bytes{_encoded(answer)} where the index promises "
                f"{self.size}.",
                permanent=True,
            )
        if total > self.cap:
            raise UpstreamError(self.url, self._too_large(answer), permanent=True)

    def _receive(self, answer: Answer) -> None:
        limit = self.size if self.size >= 0 else self.cap
        total = self.size if self.size >= 0 else self._total
        for chunk in self._chunks(answer, limit):
            self.stop()
            if self.sink.size == 0:
                self.inspect(answer, chunk)
            if self.sink.size + len(chunk) > limit:
                self._refuse_surplus(answer)
            self.sink.write(chunk)
            self.progress(self.sink.size, total)
        if self.sink.size == 0:
            self.inspect(answer, b"")
        if self.sink.size < self.size:
            message = f"{answer.host} ended after {self.sink.size} of {self.size} bytes."
            raise UpstreamError(self.url, message)

    def _chunks(self, answer: Answer, limit: int) -> Iterator[bytes]:
        """The body as it arrives, a byte beyond `limit` at most where nothing is decoded."""
        if not self._decoding:
            while chunk := answer.read(limit - self.sink.size + 1):
                yield chunk
            return
        try:
            yield from gunzip(answer)
        except BadIndex as error:
            message = (
                f"{answer.host} sent the file in an encoding that was not asked for (gzip), and "
                "it cannot be decoded."
            )
            raise Garbled(self.url, message, permanent=True) from error

    def _refuse_surplus(self, answer: Answer) -> None:
        if self.size < 0:
            raise UpstreamError(self.url, self._too_large(answer), permanent=True)
        raise DigestMismatch(
            self.url,
            f"{answer.host} sends more{_encoded(answer)} than the {self.size} bytes that the index "
            "promises.",
            permanent=True,
        )

    def _too_large(self, answer: Answer) -> str:
        return f"{answer.host} sends more than {self.cap} bytes, which is the most accepted here."


def _encoded(answer: Answer) -> str:
    """Names an encoding that was not asked for: it is why bytes are other than promised."""
    return f" (in the encoding {answer.encoding!r}, unasked)" if answer.encoding else ""
