"""Opens and packs what shards and fetched packages hold: records, zstd-compressed (RFC 8878)."""

from __future__ import annotations

import threading

import zstandard

LEVEL = 1
"""Most of a publication's time would go into higher levels, for a few per cent less bytes."""


class _Codecs(threading.local):
    """Codecs are reused, because making one costs more than opening a small shard."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def decompress(stored: bytes | memoryview) -> bytes:
    """The records behind a stored body, as the ecosystem wrote them."""
    body: bytes = _codecs.decompressor.decompress(bytes(stored))
    return body


def compress(body: bytes) -> bytes:
    """The form in which a body is stored."""
    stored: bytes = _codecs.compressor.compress(body)
    return stored
