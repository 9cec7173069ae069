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


# Records stay undecoded at first: one that cannot be decoded then costs itself, not the shard.
# `removed` and `v3` too: their shape is no reason to refuse the records beside them.
class _Shard(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, msgspec.Raw] | None = None
    conda: dict[str, msgspec.Raw] | None = None
    removed: msgspec.Raw = _ABSENT
    v3: msgspec.Raw = _ABSENT


_decoder = msgspec.msgpack.Decoder(_Shard)
_any_decoder = msgspec.msgpack.Decoder()
_json_decoder = msgspec.json.Decoder()
# Counted only, so nothing of a record in it is decoded.
_v3_decoder = msgspec.msgpack.Decoder(dict[str, dict[str, msgspec.Raw]])
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)
"""What decoding what a stranger wrote may raise; a TypeError where a map is the key of a map."""


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
    members = {**(shard.packages or {}), **(shard.conda or {})}
    removed = _removed(shard.removed, name)
    # A file in both parts: the later one counts, as clients read it.
    texts = _unchanged(members, earlier)
    texts |= _changed({file: raw for file, raw in members.items() if file not in texts}, name)
    return ShardContent(
        body=shard_body.build(texts.items(), removed),
        count=len(texts),
        decoded=len(packed),
        is_empty=not (texts or removed),
        v3_records=_count_v3(shard.v3),
    )


def _unchanged(members: dict[str, msgspec.Raw], earlier: bytes) -> dict[str, bytes]:
    """Records that have the value which they had, in the bytes which they had.

    Most of a shard's records are what they were, though it has changed. They came first in the
    upstream's JSON, perhaps, and are published as that.
    """
    if not earlier:
        return {}
    before = shard_body.entries(earlier)
    return {file: before[file] for file, raw in members.items() if _equal(raw, before.get(file))}


def _equal(raw: msgspec.Raw, before: bytes | None) -> bool:
    """Whether a record has the value of one in JSON."""
    if before is None:
        return False
    try:
        fields = _any_decoder.decode(raw)
        if not isinstance(fields, dict):
            return False
        _write_hashes(fields)
        return bool(fields == _json_decoder.decode(before))
    except _BROKEN:
        return False


def _changed(members: dict[str, msgspec.Raw], name: str) -> dict[str, bytes]:
    """Records as JSON that clients can read, or the reason in a record's place."""
    texts: dict[str, bytes] = {}
    reasons: dict[str, bytes] = {}
    for file, raw in members.items():
        # As in `Index`: the file name alone says which package a record belongs to.
        foreign = file.rsplit("-", 2)[0] != name
        text, why = (b"", FOREIGN) if foreign else _record(raw)
        if why:
            reasons[file] = reason(why)
        else:
            texts[file] = text
    # Without the reasons: `readable` knows only those of its own.
    body = readable(shard_body.build(texts.items(), ()))
    return shard_body.entries(body) | reasons


def _record(raw: msgspec.Raw) -> tuple[bytes, str]:
    """A record as JSON, or b"" and what is wrong with it."""
    try:
        fields = _any_decoder.decode(raw)
        if not isinstance(fields, dict):
            return b"", NO_OBJECT
        _write_hashes(fields)
        return (msgspec.json.encode(fields), "") if _is_plain(fields) else (b"", NOT_PLAIN)
    except UnicodeDecodeError:
        return b"", NOT_TEXT
    except RecursionError:
        return b"", TOO_DEEP
    except _BROKEN:
        return b"", NOT_PLAIN


def _write_hashes(fields: dict[str, object]) -> None:
    """Hashes as in JSON: hexadecimal digits in place of bytes."""
    for key in _HASHES:
        value = fields.get(key)
        if isinstance(value, bytes):
            fields[key] = value.hex()


def _is_plain(value: object) -> bool:
    """Whether JSON has it: msgpack has bytes, times, own types and keys of any type too."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if isinstance(value, float):
        # JSON has neither NaN nor infinity (RFC 8259, 6).
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


def _count_v3(raw: msgspec.Raw) -> int:
    try:
        return sum(map(len, _v3_decoder.decode(raw).values())) if bytes(raw) else 0
    except _BROKEN:
        return 0
