"""Reads the records out of a shard's body.

Rule: one bad record never costs its neighbours. A shard is decoded in one go
and checked as a whole; only where something is wrong is each record looked at
alone, and told apart as a record or as Invalid, with the reason.
"""

from __future__ import annotations

import msgspec

from ecosystems.conda.body import KINDS, entries, raw_body
from ecosystems.conda.checks import (
    ABSENT,
    CondaRecord,
    DecodedRecord,
    all_valid,
    check_record,
    completed,
    milliseconds,
)
from ecosystems.records import Invalid


class _Body(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, DecodedRecord]
    conda: dict[str, DecodedRecord]


class _LocationKeys(msgspec.Struct, gc=False):
    url: msgspec.Raw = ABSENT
    channel: msgspec.Raw = ABSENT
    fn: msgspec.Raw = ABSENT


class _LocationBody(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, _LocationKeys]
    conda: dict[str, _LocationKeys]


class _Time(msgspec.Struct, gc=False):
    timestamp: int | None = None


class _TimeBody(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, _Time]
    conda: dict[str, _Time]


_location_decoder = msgspec.json.Decoder(_LocationBody)
_time_decoder = msgspec.json.Decoder(_TimeBody)
_body_decoder = msgspec.json.Decoder(_Body)


def records(body: bytes, *, section: str, name: str) -> list[CondaRecord | Invalid]:
    """The records of a shard: `.tar.bz2` before `.conda`, each in the order of file names."""
    del section  # Clients go by the folder that an index lies in, whatever its records say.
    raws = raw_body(body)
    try:
        listed = _body_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # One record of a wrong type is enough: then each is looked at by itself.
        listed = None
    shard_records: list[CondaRecord | Invalid] = []
    for kind, extension in enumerate(KINDS.values()):
        members = raws.conda if kind else raws.packages
        files = list(members)
        if listed is not None and files:
            decoded_records = list((listed.conda if kind else listed.packages).values())
            if all_valid(files, decoded_records, (name, extension)):
                shard_records += completed(files, decoded_records, members.values())
                continue
        shard_records += [
            check_record(file, bytes(raw), extension=extension) for file, raw in members.items()
        ]
    return shard_records


def rewrites(body: bytes) -> bool:
    """Whether a record may hold something that is cut out before it is published."""
    try:
        locations = _location_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return any(
        record.url is not ABSENT or record.channel is not ABSENT or record.fn is not ABSENT
        for kind in (locations.packages, locations.conda)
        for record in kind.values()
    )


def newest(body: bytes) -> int:
    """The newest build time in a body, in milliseconds; 0 if no record tells one."""
    try:
        times = _time_decoder.decode(body)
        stamps = {r.timestamp for kind in (times.packages, times.conda) for r in kind.values()}
    except (msgspec.DecodeError, UnicodeDecodeError):
        # One odd timestamp must not hide the newest of all others.
        stamps = {_stamp(raw) for raw in entries(body).values()}
    return max((milliseconds(stamp) or 0 for stamp in stamps), default=0)


def _stamp(raw: bytes) -> int | None:
    try:
        return msgspec.json.decode(raw, type=_Time).timestamp
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
