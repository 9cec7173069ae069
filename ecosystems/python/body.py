"""The body of a shard: a project's name, its file entries untouched, and what goes with them.

Rule: one canonical form. Files are in the order of their names; what is not there has no key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from ecosystems.errors import BadIndex

License = tuple[str, str]
"""What a release's metadata states as its license, and its license classifiers."""


@dataclass(slots=True)
class Body:
    """A shard's content. `status` is the upstream's project status as JSON, b"" for none."""

    name: str
    files: list[bytes]
    status: bytes = b""
    licenses: dict[str, License] = field(default_factory=dict)
    """By version; of those versions whose metadata was asked for."""


class _Filename(msgspec.Struct, gc=False):
    filename: str = ""


class _Stored(msgspec.Struct):
    name: str
    files: list[msgspec.Raw]
    status: msgspec.Raw = msgspec.Raw(b"")
    licenses: dict[str, License] = {}


_decoder = msgspec.json.Decoder(_Stored)
_filename_decoder = msgspec.json.Decoder(_Filename)
_encoder = msgspec.json.Encoder()


def join(body: Body) -> bytes:
    """The canonical form."""
    # Whatever the upstream's order: equal content gives equal bytes. Also two of one name.
    files = sorted(body.files, key=lambda raw: (filename_of(raw), raw))
    parts = [b'{"name":', _encoder.encode(body.name), b',"files":[', b",".join(files), b"]"]
    if body.status:
        parts += [b',"status":', body.status]
    if body.licenses:
        parts += [b',"licenses":', _encoder.encode(dict(sorted(body.licenses.items())))]
    return b"".join([*parts, b"}"])


def split(body: bytes) -> Body:
    """A canonical form's parts."""
    try:
        stored = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadIndex(f"A stored shard cannot be read: {error}.") from error
    files = [bytes(raw) for raw in stored.files]
    return Body(stored.name, files, bytes(stored.status), stored.licenses)


def filename_of(raw: bytes) -> str:
    """The file name of an entry; "" where it has none that can be read."""
    try:
        return _filename_decoder.decode(raw).filename
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def entries(body: bytes) -> dict[str, bytes]:
    """File name -> entry; of two entries for one file the first."""
    by_filename: dict[str, bytes] = {}
    for raw in split(body).files:
        by_filename.setdefault(filename_of(raw), raw)
    return by_filename


def build(files: Iterable[tuple[str, bytes]], bodies: Iterable[bytes], *, name: str = "") -> bytes:
    """The body of these entries, which come out of `bodies`; the first that says more is heard."""
    result = Body(name, [raw for _, raw in files])
    for source in map(split, bodies):
        result.name = result.name or source.name
        result.status = result.status or source.status
        # The first source that knows a version counts.
        result.licenses = {**source.licenses, **result.licenses}
    return join(result)
