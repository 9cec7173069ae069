"""Signatures of records: what an index says under `signatures`, kept with the records it signs.

A signature is over the value of one record. Rule: it is published with that record, unchanged, or
not at all. Between the reading of an index and its publication signatures lie in a file of an
index's shape: by file name the SHA-256 of the record's text, and what signs it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from ecosystems.conda import body as shard_body
from ecosystems.conda.body import join_entries
from ecosystems.conda.extra_files import opened
from ecosystems.conda.index import Index
from ecosystems.conda.readable import readable
from ecosystems.conda.records import records
from ecosystems.conda.repodata_writer import write_repodata
from ecosystems.documents import Document
from ecosystems.progress import Stop, never_stop
from ecosystems.records import Invalid
from ecosystems.sentences import SHOWN_NAMES, first_names

NAME = "signatures.json"
LARGEST = 64 << 10
"""Bytes that sign one record at most; a key and its signature have some 230."""
MOST_OF_A_NAME = 16 << 20
"""Bytes of the signatures of one package name, which are in memory together."""

_CHANGED = "the record is published otherwise than it was signed"
_UNREADABLE = "they are no signatures, or too large"
_UNLISTED = "no record of the file is published from this index"

_Signatures = dict[str, dict[str, str]]
"""By the key: the signature and, of OpenPGP, its headers."""


class _Signed(msgspec.Struct):
    record: str
    signatures: msgspec.Raw


_decoder = msgspec.json.Decoder(_Signatures)
_signed_decoder = msgspec.json.Decoder(_Signed)


class _Dropped:
    """What is not taken over, by reason: how many, and the first file names."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, why: str, count: int, names: Iterable[str] = ()) -> None:
        if count:
            self._counts[why] = self._counts.get(why, 0) + count
            first = self._names.setdefault(why, [])
            first += [*names][: SHOWN_NAMES - len(first)]

    def sentences(self) -> list[str]:
        texts = []
        for why, count in self._counts.items():
            subject = "1 entry" if count == 1 else f"{count:,} entries"
            verb = "is" if count == 1 else "are"
            first = first_names(self._names[why], count)
            texts.append(
                f"{subject} of the index's `signatures` {verb} not taken over: {first} ({why})."
            )
        return texts


def take(index: Index, work: Path, *, stop: Stop) -> tuple[Path | None, list[str]]:
    """The signatures of an index whose shards have been read, as a file below `work`.

    None where it has none. With it come sentences on those that are not taken over.
    """
    signed = index.signatures
    if signed is None:
        return None, []
    folder = Path(tempfile.mkdtemp(dir=work))
    dropped = _Dropped()
    unnamed = [record.filename for record in signed.invalid]
    dropped.add(_UNLISTED, signed.invalid_count, unnamed)
    taken = 0

    def bodies() -> Iterator[bytes]:
        nonlocal taken
        for name in signed.names:
            entries = list(_of_name(index, signed, name, dropped))
            taken += len(entries)
            yield shard_body.build(entries, ())

    packed, plain = write_repodata(index.subdir, bodies(), to=folder, stop=stop, name=NAME)
    # The plain name is enough: both are one file.
    packed.path.unlink()
    if not taken:
        plain.path.unlink()
    repeated = [f"`signatures`: {text}" for text in signed.repeated_warnings("entries")]
    return (plain.path if taken else None), [*dropped.sentences(), *repeated]


def _of_name(
    index: Index, signed: Index, name: str, dropped: _Dropped
) -> Iterator[tuple[str, bytes]]:
    if signed.weight(name) > MOST_OF_A_NAME:
        dropped.add(_UNREADABLE, signed.count(name), [name])
        return
    signatures = shard_body.entries(signed.body(name))
    if not index.count(name):
        dropped.add(_UNLISTED, len(signatures), signatures)
        return
    body = index.body(name)
    listed = shard_body.entries(body)
    published = {
        record.filename: record.raw
        for record in records(readable(body), section=index.subdir, name=name)
        if not isinstance(record, Invalid)
    }
    for file, raw in signatures.items():
        # A client that checks signatures refuses a record whose value was changed.
        text = _readable(raw)
        if file not in published:
            dropped.add(_UNLISTED, 1, [file])
        elif published[file] != listed[file]:
            dropped.add(_CHANGED, 1, [file])
        elif not text:
            dropped.add(_UNREADABLE, 1, [file])
        else:
            yield file, b'{"record":"%s","signatures":%s}' % (_digest(listed[file]), text)


def publish(
    section: str,
    shards: Iterable[tuple[str, bytes, str]],
    sources: Sequence[Path],
    *,
    folder: Path,
    spool: IO[bytes],
) -> list[Document]:
    """The signatures of the published records, written to `spool` as the members of an object.

    Also as a document, which says what is signed: mirrors of this channel take it along. The
    first source that signs a record as it is published wins.
    """
    with opened(section, sources, folder) as indexes:
        bodies = (_published(name, body, indexes, spool) for name, body, _ in shards)
        packed, plain = write_repodata(section, bodies, to=folder, stop=never_stop, name=NAME)
    # Clients find signatures in the index; this file is for mirrors only.
    packed.path.unlink()
    return [plain] if spool.tell() else []


def _published(name: str, body: bytes, indexes: Sequence[Index], spool: IO[bytes]) -> bytes:
    sources = [source for index in indexes if (source := shard_body.entries(index.body(name)))]
    if not sources:
        return shard_body.build((), ())
    entries: list[tuple[str, bytes]] = []
    for file, record in shard_body.entries(body).items():
        digest = ""
        for raw in (source[file] for source in sources if file in source):
            signed = _signed_decoder.decode(raw)
            # Hashed once, and only where a source signs the record.
            digest = digest or _digest(record).decode()
            if signed.record == digest:
                text = join_entries([(file, bytes(signed.signatures))])
                spool.write(b"," + text if spool.tell() else text)
                entries.append((file, raw))
                break
    return shard_body.build(entries, ())


def _readable(raw: bytes) -> bytes:
    """An entry as every client can read it; b"" for what is none."""
    # No key and no signature needs an escape, and half a surrogate pair would be one.
    if len(raw) > LARGEST or b"\\" in raw:
        return b""
    try:
        return msgspec.json.encode(_decoder.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""


def _digest(record: bytes) -> bytes:
    return hashlib.sha256(record).hexdigest().encode()
