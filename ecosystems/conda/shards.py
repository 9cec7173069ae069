"""Writes sharded indexes (CEP 16): one small file a package name, and their list.

Rule: equal bodies give equal bytes, so a shard's address changes only with its
content. The shape is what all clients take: see the CEP and their readers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import zstandard

from ecosystems.conda.body import KINDS

INDEX_NAME = "repodata_shards.msgpack.zst"
FOLDER = "shards/"

_HASHES = ("sha256", "md5")
LONGEST_INTEGER = 20  # digits and sign of 64 bits
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.json.Decoder()


def shard_bytes(body: bytes, *, level: int = 1) -> bytes:
    """The shard of a canonical body of checked records, as served.

    Its address is the sha256 of these bytes.
    """
    try:
        packed = _packed(_decoder.decode(body))
    except (msgspec.ValidationError, OverflowError):
        # A number larger than msgpack's, which JSON allows.
        packed = _packed(json.loads(body, parse_int=_integer))
    return zstandard.ZstdCompressor(level=level).compress(packed)


def shard_index(section: str, items: Iterable[tuple[str, bytes]], *, level: int = 1) -> bytes:
    """The list of a subdir's shards: `(package name, sha256 of the shard as served)`."""
    index = {
        "version": 1,
        # Relative: a channel has several addresses (tokens, revisions).
        "info": {"subdir": section, "base_url": "./", "shards_base_url": f"./{FOLDER}"},
        "shards": dict(sorted(items)),
    }
    return zstandard.ZstdCompressor(level=level).compress(_encoder.encode(index))


def _packed(shard: dict[str, Any]) -> bytes:
    for key in KINDS:
        for record in shard[key].values():
            for name in _HASHES:
                # CEP 16 has hashes as bytes, in JSON they are hexadecimal digits.
                if text := record.get(name):
                    record[name] = bytes.fromhex(text)
    return _encoder.encode(shard)


def _integer(text: str) -> int | float:
    value = int(text) if len(text) <= LONGEST_INTEGER else float(text)
    # msgpack ends at 64 bits, with or without a sign; what is larger becomes a float.
    return value if -(1 << 63) <= value < 1 << 64 else float(text)
