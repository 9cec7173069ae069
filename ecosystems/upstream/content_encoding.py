"""Content encodings that were not asked for (RFC 9110, 8.4): told from packed files, undone.

Old servers label `PACKAGES.gz` itself as gzip-encoded; others pack whatever they send.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from ecosystems.errors import BadIndex
from ecosystems.progress import Stop
from ecosystems.upstream.decode import open_decoded
from ecosystems.upstream.errors import Garbled, UpstreamError
from ecosystems.upstream.response import Response
from ecosystems.upstream.transfer import Digest, Sink

GZIP = ("gzip", "x-gzip")
PACKED = {"gzip": (".gz", ".tgz"), "x-gzip": (".gz", ".tgz"), "bzip2": (".bz2",), "zstd": (".zst",)}


class FileEncoding:
    """Whether a file's gzip encoding is the server's, to be undone, or the file's own."""

    def __init__(self, size: int, *, verifiable: bool) -> None:
        """`verifiable`: whether anything tells the right bytes from others."""
        self._size, self._verifiable = size, verifiable
        self._own = self._turned = False

    def undo(self, response: Response) -> bool:
        """A file that is named as packed, or is as long as listed, is what it is at first."""
        if response.encoding not in GZIP:
            return False
        self._own = is_packed(response) or (self._size >= 0 and response.length == self._size)
        return self._own is self._turned

    def doubt(self, error: UpstreamError) -> None:
        """Take it the other way the next time, where what came cannot be the file otherwise."""
        # The same reading again would give the same wrong bytes.
        self._turned = self._own or (self._verifiable and isinstance(error, Garbled))


def is_packed(response: Response) -> bool:
    """Whether the file's own name says that it is packed: that one is left as it is."""
    return urlsplit(response.url).path.endswith(PACKED.get(response.encoding, ()))


def is_encoded(response: Response) -> bool:
    """Whether the body carries an encoding that has to be undone; Garbled for an unknown one."""
    if not response.encoding or is_packed(response):
        return False
    if response.encoding not in GZIP:
        message = f"{response.host} sent an encoding that was not asked for."
        raise Garbled(response.url, message, permanent=True)
    return True


def decoded_beginning(body: bytes, limit: int) -> bytes:
    """What the first bytes of a gzip-encoded body decode to; themselves where they do not."""
    try:
        return zlib.decompressobj(wbits=31).decompress(body, limit)
    except zlib.error:
        return body


def decode_in_place(response: Response, path: Path, *, cap: int, stop: Stop) -> Digest:
    """Decode the gzip-encoded body in `path`."""
    plain = path.with_name(f"{path.name}.plain")
    try:
        with plain.open("w+b") as file:
            sink = Sink(cast(BinaryIO, file))
            for block in open_decoded(path, "gz", cap=cap):
                stop()
                sink.write(block)
            digest = sink.digest()
        # Only a whole one takes the place: until then the file is what was sent.
        plain.replace(path)
    except BadIndex as error:
        message = f"{response.host} says that the body is gzip-encoded, but: {error}"
        raise Garbled(response.url, message, permanent=True) from error
    finally:
        plain.unlink(missing_ok=True)
    return digest
