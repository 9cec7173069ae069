"""Reads one shard of an upstream (CEP 16) into the canonical body of its package.

Rule: the values are those of the same records in `repodata.json`: hashes become hexadecimal
digits, and everything else stays. What JSON cannot say, and a record of another package, is
replaced by the reason, a text, as in `readable`; one bad record never costs its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import msgspec

from ecosystems.conda import body as shard_body
from ecosystems.conda.channel import name_of
from ecosystems.conda.json_members import NOT_TEXT
from ecosystems.conda.readable import NO_OBJECT, TOO_DEEP, readable, reason
from ecosystems.errors import BadIndex
from ecosystems.upstream.decode import open_decoded

# Clients read far less: conda refuses a shard of more than 16 MiB.
SHARD_CAP = 64 << 20
FOREIGN = "The record is in the shard of another package."
NOT_PLAIN = "The record has a value that JSON cannot say."

_HASHES = ("sha256", "md5", "legacy_bz2_md5")
_SCALARS = frozenset((str, int, bool, type(None)))
_ABSENT = msgspec.Raw(b"")


class _Shard(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, msgspec.Raw] | None = None
    conda: dict[str, msgspec.Raw] | None = None
    removed: msgspec.Raw = _ABSENT
    v3: msgspec.Raw = _ABSENT


_decoder = msgspec.msgpack.Decoder(_Shard)
_any_decoder = msgspec.msgpack.Decoder()
_v3_decoder = msgspec.msgpack.Decoder(dict[str, dict[str, msgspec.Raw]])
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
"""What decoders raise for what a stranger wrote; TypeError: a map is the key of a map."""


@dataclass(frozen=True, slots=True)
class ShardContent:
    """A package's body, how many records it has, and how many bytes the shard decodes to.

    `is_empty`: it says nothing, not even of files that were removed. `v3_records` counts those of
    the part `v3`, which is not taken over.
    """

    body: bytes
    count: int
    decoded: int
    is_empty: bool = False
    v3_records: int = 0


def read_shard(path: Path, name: str, *, earlier: bytes = b"") -> ShardContent:
    """The shard of the package `name` in the file `path`; raises BadIndex.

    `earlier`: the body that the package had. Records that are what they were keep its bytes.
    """
    try:
        packed = b"".join(open_decoded(path, "zst", cap=SHARD_CAP))
        shard = _decoder.decode(packed)
    except (BadIndex, *_BROKEN) as error:
        raise BadIndex(f"The shard of {name} cannot be read: {str(error).rstrip('.')}.") from error
    texts: dict[str, bytes] = {}
    reasons: dict[str, bytes] = {}
    for members in (shard.packages or {}, shard.conda or {}):
        for file, raw in members.items():
            text, why = _foreign(file, name) or _record(bytes(raw))
            # A file in both parts: the later one counts, as clients read it.
            texts[file] = reason(why) if why else text
            reasons.pop(file, None)
            if why:
                reasons[file] = texts[file]
    removed = _removed(shard.removed, name)
    body = _with_earlier_bytes(readable(shard_body.build(texts.items(), removed)), earlier)
    if reasons:
        # After `readable`, which knows only the reasons of its own.
        body = shard_body.build((shard_body.entries(body) | reasons).items(), removed)
    return ShardContent(body, len(texts), len(packed), not (texts or removed), _count_v3(shard.v3))


def _foreign(file: str, name: str) -> tuple[bytes, str] | None:
    """Why a file cannot be of this package, as its name says."""
    stated = name_of(file) or file.rsplit("-", 2)[0]
    return None if stated == name else (b"", FOREIGN)


def _record(raw: bytes) -> tuple[bytes, str]:
    """A record as JSON, or b"" and what is wrong with it."""
    try:
        fields = _any_decoder.decode(raw)
        if not isinstance(fields, dict):
            return b"", NO_OBJECT
        for key in _HASHES:
            if isinstance(fields.get(key), bytes):
                fields[key] = fields[key].hex()
        return (msgspec.json.encode(fields), "") if _is_plain(fields) else (b"", NOT_PLAIN)
    except UnicodeDecodeError:
        return b"", NOT_TEXT
    except RecursionError:
        return b"", TOO_DEEP
    except _BROKEN:
        return b"", NOT_PLAIN


def _is_plain(value: object) -> bool:
    """Whether JSON has it: msgpack has bytes, times, own types and keys of any type too."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return False


def _removed(raw: msgspec.Raw, name: str) -> set[str]:
    """The package's files that the upstream has removed; those of others are not its to say."""
    try:
        files = _any_decoder.decode(raw) if bytes(raw) else []
    except _BROKEN:
        return set()  # It is only a list of what to leave out.
    listed = files if isinstance(files, list) else []
    return {file for file in listed if isinstance(file, str) and name_of(file) == name}


def _with_earlier_bytes(body: bytes, earlier: bytes) -> bytes:
    """The body with records in the bytes they had, where they have the same value.

    A record first comes in the upstream's JSON, and is signed and published as that.
    """
    if not earlier:
        return body
    before = shard_body.entries(earlier)
    texts = {
        file: before[file] if file in before and _equal(before[file], raw) else raw
        for file, raw in shard_body.entries(body).items()
    }
    return shard_body.build(texts.items(), shard_body.removed(body))


def _equal(first: bytes, second: bytes) -> bool:
    if first == second:
        return True
    try:
        return bool(msgspec.json.decode(first) == msgspec.json.decode(second))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _count_v3(raw: msgspec.Raw) -> int:
    try:
        return sum(map(len, _v3_decoder.decode(raw).values())) if bytes(raw) else 0
    except _BROKEN:
        return 0
