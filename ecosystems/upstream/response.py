"""A response of an upstream: its headers, and a body that is read piece by piece."""

from __future__ import annotations

from collections.abc import Mapping

import requests
import requests.exceptions
import urllib3.exceptions
from urllib3.response import BaseHTTPResponse

from ecosystems.upstream.errors import UpstreamError, explain

DRAIN_LIMIT = 16 * 1024
"""Bytes of a body that are read to their end, so that the connection can be used again."""
# requests and urllib3 let some errors of the socket and of TLS through as they are: OSError.
TRANSPORT_ERRORS = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)


class Response:
    """A response whose headers have come and whose body is still to be read."""

    def __init__(self, url: str, response: requests.Response, *, host: str, chunk: int) -> None:
        self.url, self.host = url, host
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.raw: BaseHTTPResponse = response.raw
        self._chunk = chunk

    @property
    def length(self) -> int | None:
        """Content-Length, where the server gave one."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def encoding(self) -> str:
        """Content-Encoding, "" for none."""
        text = self.headers.get("Content-Encoding", "").strip().lower()
        return "" if text == "identity" else text

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def read(self, limit: int | None = None) -> bytes:
        """What has arrived, at least one byte; b"" at the end. At most `limit` bytes."""
        amount = self._chunk if limit is None else max(1, min(limit, self._chunk))
        try:
            # Not decoded: hashes, sizes and ranges are of the bytes as they are sent.
            return self.raw.read1(amount, decode_content=False)
        except TRANSPORT_ERRORS as error:
            raise explain(error, self.url, host=self.host) from error

    def release(self) -> None:
        """Leave the connection usable where that costs little, close it otherwise."""
        # None for a chunked body: nobody knows how much of it would have to be read.
        left = getattr(self.raw, "length_remaining", None)
        try:
            while left is not None and left <= DRAIN_LIMIT and self.raw.read1(DRAIN_LIMIT):
                pass
        except (UpstreamError, *TRANSPORT_ERRORS):
            self.raw.close()
            return
        if left is None or left > DRAIN_LIMIT:
            self.raw.close()
