"""How the text of records is stored: each a zstd frame of its own, at level 1."""

from __future__ import annotations

import threading

import zstandard

_local = threading.local()


def compress(text: bytes) -> bytes:
    """One record as it is stored."""
    # The objects are for one thread, and making them costs more than a record.
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=1)
    return bytes(_local.compressor.compress(text))


def decompress(body: bytes) -> bytes:
    """The text of a stored record; only for what `compress` made."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    return bytes(_local.decompressor.decompress(body))
