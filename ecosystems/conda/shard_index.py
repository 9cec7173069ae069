"""Reads the list of a subdir's shards (CEP 16), as an upstream serves it.

Rule: a list that a client could read in two ways is refused as a whole. Nothing in it is followed
or kept before its size, shape and subdir are checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ecosystems.conda.channel import is_name, origin_base
from ecosystems.errors import BadIndex
from ecosystems.upstream.decode import open_decoded

# All names are in memory at once, and conda itself reads no list of more than 128 MiB.
INDEX_CAP = 64 << 20
MOST_SHARDS = 500_000
"""Ten times what the largest public channel has."""
DIGEST = 32
"""Bytes of a SHA-256."""


class _Info(msgspec.Struct, gc=False):
    subdir: str = ""
    base_url: str = ""
    shards_base_url: str = ""


class _Index(msgspec.Struct, gc=False):
    info: _Info
    # Of any type here: upstreams write digests as bytes or as digits, see `_digest`.
    shards: dict[str, object]
    version: int = 1


_decoder = msgspec.msgpack.Decoder(_Index)


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """What a subdir has: package name -> SHA-256 of its compressed shard, sorted by name.

    `shards_url` and `files_url` are absolute and end in a slash. `invalid` are names that break
    the naming rules (CEP 26); they are not among `digests`.
    """

    digests: dict[str, bytes]
    shards_url: str
    files_url: str
    invalid: list[str] = field(default_factory=list)


def read_shard_index(path: Path, address: str, *, subdir: str) -> ShardIndex:
    """The list in the file `path`, which came from `address`; raises BadIndex."""
    try:
        packed = b"".join(open_decoded(path, "zst", cap=INDEX_CAP))
        index = _decoder.decode(packed)
    except (BadIndex, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = str(error).rstrip(".")
        raise BadIndex(f"The list of shards cannot be read: {why}.") from error
    if index.version != 1:
        raise BadIndex(f"The list of shards has version {index.version}; version 1 is known.")
    # Packages of another subdir would be offered to the wrong platform.
    if (index.info.subdir or subdir) != subdir:
        raise BadIndex(f"The list of shards is the one of `{index.info.subdir}`, not `{subdir}`.")
    if len(index.shards) > MOST_SHARDS:
        raise BadIndex(f"The list of shards has more than {MOST_SHARDS:,} packages.")
    digests = {name: _digest(name, index.shards[name]) for name in sorted(index.shards)}
    return ShardIndex(
        digests={name: digest for name, digest in digests.items() if is_name(name)},
        shards_url=_base(address, index.info.shards_base_url),
        files_url=_base(address, index.info.base_url),
        invalid=[name for name in digests if not is_name(name)],
    )


def _digest(name: str, value: object) -> bytes:
    if isinstance(value, str) and len(value) == 2 * DIGEST:
        # CEP 16 has bytes; rattler reads digits too, so there are channels that write them.
        try:
            value = bytes.fromhex(value)
        except ValueError:
            value = b""
    if not isinstance(value, bytes) or len(value) != DIGEST:
        raise BadIndex(f"The list of shards has no SHA-256 for {name[:100]}.")
    return value


def _base(address: str, base_url: str) -> str:
    try:
        return origin_base(address, base_url)
    except ValueError as error:
        raise BadIndex("The list of shards names an address that is none.") from error
