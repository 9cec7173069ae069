"""Writes `repodata.json` and its zstd form from the bodies of shards.

Rule: the records are put together, never decoded: what is published is what
the bodies hold, byte for byte, and the work is that of copying it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from ecosystems.conda.body import join_entries, raw_body
from ecosystems.documents import Document, document_compressor
from ecosystems.progress import Stop

ZSTD_TYPE = "application/zstd"
JSON_TYPE = "application/json"
BLOCK = 1 << 20
STOP_EVERY = 200  # bodies

_HEAD = b'{"packages":{'
_MIDDLE = b'},"packages.conda":{'
_TAIL = b'},"removed":['
_END = b"]}"


class _Split(NamedTuple):
    packages: bytes
    conda: bytes
    removed: bytes


def write_repodata(
    section: str,
    bodies: Iterable[bytes],
    *,
    to: Path,
    stop: Stop,
    level: int = 1,
    name: str = "repodata.json",
    signed: IO[bytes] | None = None,
) -> list[Document]:
    """Writes the index of one subdir into the folder `to`: its zstd form, then its plain one.

    The bodies come in the order of their package names; the same bodies give
    the same bytes. The plain form is the zstd form's file under a second name,
    and its document says so by `packed`. `name`: of another index of this
    shape (`run_exports.json`). `signed`: the members of the object `signatures`.
    """
    # Two files: the bodies hold both kinds side by side, the index one after the other.
    with tempfile.TemporaryFile(dir=to) as packages, tempfile.TemporaryFile(dir=to) as conda:
        removed = _spool(bodies, packages, conda, stop)
        info = msgspec.json.encode({"subdir": section})
        pieces: list[bytes | IO[bytes]] = [
            b'{"info":' + info + b',"packages":{',
            packages,
            _MIDDLE,
            conda,
            _TAIL + b",".join(removed) + b'],"repodata_version":1',
        ]
        if signed is not None and signed.tell():
            pieces += [b',"signatures":{', signed, b"}"]
        pieces.append(b"}\n")
        size = sum(len(p) if isinstance(p, bytes) else p.tell() for p in pieces)
        blocks = chain.from_iterable(map(_blocks, pieces))
        return _compress(blocks, to / name, size=size, level=level, stop=stop)


def _spool(
    bodies: Iterable[bytes], packages: IO[bytes], conda: IO[bytes], stop: Stop
) -> list[bytes]:
    """Sorts the entries into two files, comma between; returns what was removed."""
    removed: list[bytes] = []
    for number, body in enumerate(bodies):
        if number % STOP_EVERY == 0:
            stop()
        parts = _split(body)
        for text, file in ((parts.packages, packages), (parts.conda, conda)):
            if text:
                file.write(b"," + text if file.tell() else text)
        if parts.removed:
            removed.append(parts.removed)
    return removed


def _split(body: bytes) -> _Split:
    """The insides of a canonical body's three parts."""
    # In what follows the last part's begin there are only file names, so the last
    # place that looks like it is it; the other border is sure if there is only one.
    tail = body.rfind(_TAIL)
    middle = body.find(_MIDDLE)
    if body.startswith(_HEAD) and 0 <= middle <= tail and body.count(_MIDDLE) == 1:
        return _Split(
            body[len(_HEAD) : middle],
            body[middle + len(_MIDDLE) : tail],
            body[tail + len(_TAIL) : -len(_END)],
        )
    members = raw_body(body)
    return _Split(
        join_entries((file, bytes(raw)) for file, raw in members.packages.items()),
        join_entries((file, bytes(raw)) for file, raw in members.conda.items()),
        msgspec.json.encode(members.removed)[1:-1],
    )


def _blocks(piece: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(piece, bytes):
        yield piece
        return
    piece.seek(0)
    while block := piece.read(BLOCK):
        yield block


def _compress(
    blocks: Iterable[bytes], path: Path, *, size: int, level: int, stop: Stop
) -> list[Document]:
    plain, compressed = hashlib.sha256(), hashlib.sha256()
    # The size in the frame's header lets clients decompress in one call.
    zstd = document_compressor(level).compressobj(size=size)
    written = 0
    packed_path = path.with_name(path.name + ".zst")
    with packed_path.open("wb") as file:
        for block in chain(blocks, (None,)):
            stop()
            if block is not None:
                plain.update(block)
            packed = zstd.flush() if block is None else zstd.compress(block)
            compressed.update(packed)
            written += file.write(packed)
    path.hardlink_to(packed_path)
    stored = compressed.hexdigest()
    return [
        Document(packed_path.name, packed_path, stored, written, _etag(compressed), ZSTD_TYPE),
        Document(path.name, path, stored, size, _etag(plain), JSON_TYPE, packed=True),
    ]


def _etag(digest: hashlib._Hash) -> str:
    return f'"{digest.hexdigest()}"'
