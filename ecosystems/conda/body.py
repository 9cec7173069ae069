"""The canonical body of a shard: put together from records, and taken apart again.

Rule: records stay byte for byte; equal sets of records give equal bytes, because both kinds are in
the order of their file names and `removed` is sorted. What is stored is always such a body.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ecosystems.errors import BadIndex

KINDS = {"packages": ".tar.bz2", "packages.conda": ".conda"}
"""The two objects of an index that hold records, and how the files in each end."""


class RawBody(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    """A body as file names and untouched records."""

    packages: dict[str, msgspec.Raw]
    conda: dict[str, msgspec.Raw]
    removed: list[str]


_raw_decoder = msgspec.json.Decoder(RawBody)


def join_body(packages: bytes, conda: bytes, removed: Iterable[str]) -> bytes:
    """The canonical body of a shard, from entries in the order of their file names."""
    tail = msgspec.json.encode(list(removed))
    return b"".join(
        (b'{"packages":{', packages, b'},"packages.conda":{', conda, b'},"removed":', tail, b"}")
    )


def join_entries(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """`"file":record,...` of records as they are."""
    return b",".join(msgspec.json.encode(file) + b":" + raw for file, raw in entries)


def build(files: Iterable[tuple[str, bytes]], removed_files: Iterable[str]) -> bytes:
    """The canonical body of the records `(file name, record)`; with its list `removed`."""
    by_extension: dict[str, list[tuple[str, bytes]]] = {
        extension: [] for extension in KINDS.values()
    }
    for file, raw in files:
        # By its name, as clients do: records come here from any part of an index.
        by_extension[".conda" if file.endswith(".conda") else ".tar.bz2"].append((file, raw))
    packages, conda = (join_entries(sorted(members)) for members in by_extension.values())
    return join_body(packages, conda, sorted(set(removed_files)))


def raw_body(body: bytes) -> RawBody:
    """The body's members, undecoded."""
    try:
        return _raw_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadIndex(f"A stored shard cannot be read: {error}.") from error


def entries(body: bytes) -> dict[str, bytes]:
    """File name -> record, as they are in the body."""
    members = raw_body(body)
    # Copied out: a `Raw` would keep the whole body in memory for as long as one record is used.
    return {
        file: bytes(raw) for kind in (members.packages, members.conda) for file, raw in kind.items()
    }


def removed(body: bytes) -> list[str]:
    """The files of this package that the upstream says it has removed."""
    return raw_body(body).removed
