"""Reads the records out of a shard's body, and builds the body of what is kept.

Rule: one bad record never costs its neighbours. A shard is decoded in one go
and checked as a whole; only where something is wrong is each record looked at
alone, and told apart as a record or as Invalid, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ecosystems.conda.checks import (
    NOTHING,
    CondaRecord,
    Listed,
    all_right,
    checked,
    filled,
    milliseconds,
)
from ecosystems.conda.repodata import KINDS, join_body, join_entries
from ecosystems.errors import BadIndex
from ecosystems.records import Invalid


class _Body(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, Listed]
    conda: dict[str, Listed]


class RawBody(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    """A body as file names and untouched records."""

    packages: dict[str, msgspec.Raw]
    conda: dict[str, msgspec.Raw]
    removed: list[str]


class _Signposts(msgspec.Struct, gc=False):
    url: msgspec.Raw = NOTHING
    channel: msgspec.Raw = NOTHING
    fn: msgspec.Raw = NOTHING


class _SignpostBody(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, _Signposts]
    conda: dict[str, _Signposts]


class _Time(msgspec.Struct, gc=False):
    timestamp: int | None = None


class _TimeBody(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, _Time]
    conda: dict[str, _Time]


_signpost_decoder = msgspec.json.Decoder(_SignpostBody)
_time_decoder = msgspec.json.Decoder(_TimeBody)
_body_decoder = msgspec.json.Decoder(_Body)
_raw_decoder = msgspec.json.Decoder(RawBody)


def records(body: bytes, *, section: str, name: str) -> list[CondaRecord | Invalid]:
    """The records of a shard: `.tar.bz2` before `.conda`, each in the order of file names."""
    del section  # Clients go by the folder that an index lies in, whatever its records say.
    raws = raw_body(body)
    try:
        listed = _body_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        listed = None
    checked_records: list[CondaRecord | Invalid] = []
    for kind, extension in enumerate(KINDS.values()):
        members = raws.conda if kind else raws.packages
        files = list(members)
        if listed is not None and files:
            members_listed = list((listed.conda if kind else listed.packages).values())
            if all_right(files, members_listed, (name, extension)):
                checked_records += filled(files, members_listed, members.values())
                continue
        checked_records += [
            checked(file, bytes(raw), extension=extension) for file, raw in members.items()
        ]
    return checked_records


def entries(body: bytes) -> dict[str, bytes]:
    """File name -> record, as they are in the body."""
    members = raw_body(body)
    return {
        file: bytes(raw) for kind in (members.packages, members.conda) for file, raw in kind.items()
    }


def removed(body: bytes) -> list[str]:
    """The files of this package that the upstream says it has removed."""
    return raw_body(body).removed


def rewrites(body: bytes) -> bool:
    """Whether a record may hold something that is cut out before it is published."""
    try:
        signposts = _signpost_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return any(
        record.url is not NOTHING or record.channel is not NOTHING or record.fn is not NOTHING
        for kind in (signposts.packages, signposts.conda)
        for record in kind.values()
    )


def newest(body: bytes) -> int:
    """The newest build time in a body, in milliseconds; 0 if no record tells one."""
    try:
        times = _time_decoder.decode(body)
        stamps = {r.timestamp for kind in (times.packages, times.conda) for r in kind.values()}
    except (msgspec.DecodeError, UnicodeDecodeError):
        stamps = {_stamp(raw) for raw in entries(body).values()}
    return max((milliseconds(stamp) or 0 for stamp in stamps), default=0)


def build(files: Iterable[tuple[str, bytes]], removed_files: Iterable[str]) -> bytes:
    """The canonical body of the records `(file name, record)`; with its list `removed`."""
    by_extension: dict[str, list[tuple[str, bytes]]] = {
        extension: [] for extension in KINDS.values()
    }
    for file, raw in files:
        by_extension[".conda" if file.endswith(".conda") else ".tar.bz2"].append((file, raw))
    packages, conda = (join_entries(sorted(members)) for members in by_extension.values())
    return join_body(packages, conda, sorted(set(removed_files)))


def raw_body(body: bytes) -> RawBody:
    """The body's members, undecoded."""
    try:
        return _raw_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadIndex(f"A stored shard cannot be read: {error}.") from error


def _stamp(raw: bytes) -> int | None:
    try:
        return msgspec.json.decode(raw, type=_Time).timestamp
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
