"""`run_exports.json` (CEP 12) of a subdir, which only build tools ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ecosystems.conda.body import build, entries
from ecosystems.conda.extra_files import opened, reading
from ecosystems.conda.index import Index
from ecosystems.conda.readable import HALF, SPACED, are_run_exports, parsed
from ecosystems.conda.repodata_writer import write_repodata
from ecosystems.documents import Document
from ecosystems.progress import Stop, never_stop
from ecosystems.sentences import first_names


class _RunExports(msgspec.Struct, gc=False):
    run_exports: dict[str, list[str]]


class _Body(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, _RunExports]
    conda: dict[str, _RunExports]


class _Stated(msgspec.Struct, gc=False):
    run_exports: msgspec.Raw = msgspec.Raw(b"")


_decoder = msgspec.json.Decoder(_Body)
_KEY = b'"run_exports"'
NAME = "run_exports.json"
NAMES = (f"{NAME}.zst", NAME)
"""The forms that upstreams have, in the order in which they are asked for."""


def check(path: Path, section: str, *, work: Path, stop: Stop) -> list[str]:
    """What is odd about a file, in sentences; what clients cannot read is taken out of it.

    Raises BadIndex for a file that cannot be read.
    """
    with reading(path, section, work, stop=stop) as index:
        broken = [shard.name for shard in index.shards(stop) if not _sound(shard.body)]
        warnings = index.repeated_warnings("entries")
        dropped: list[str] = []
        if broken:
            bodies = (_readable(index.body(name), dropped) for name in index.names)
            documents = write_repodata(
                section, bodies, to=work, stop=stop, name=f"{path.name}-mended"
            )
            for document in documents:
                # Both names are one file, and readers go by its first bytes.
                document.path.replace(path)
    if dropped:
        warnings.append(
            f"The run exports of {first_names(dropped)} are left out: clients cannot read them."
        )
    return [f"{NAME}: {text}" for text in warnings]


def _sound(body: bytes) -> bool:
    """Whether it is sure that clients can read each entry, and that none has a key twice."""
    try:
        decoded = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    entries_decoded = [*decoded.packages.values(), *decoded.conda.values()]
    # The three of the body, and of each entry its file name and `run_exports`.
    keys = 3 + 2 * len(entries_decoded) + sum(len(entry.run_exports) for entry in entries_decoded)
    return body.count(b'":') == keys and not SPACED.search(body) and not HALF.search(body)


def _readable(body: bytes, dropped: list[str]) -> bytes:
    readable_entries: list[tuple[str, bytes]] = []
    for file, raw in entries(body).items():
        fields = parsed(raw)
        exports = fields.get("run_exports") if isinstance(fields, dict) else None
        if isinstance(exports, dict) and are_run_exports(exports):
            readable_entries.append((file, raw))
        else:
            dropped.append(file)
    return build(readable_entries, ())


def publish(
    section: str,
    shards: Iterable[tuple[str, bytes, str]],
    sources: Sequence[Path],
    *,
    folder: Path,
) -> list[Document]:
    """That of the published files; the first source that has one wins.

    What no source has is in the record itself, where it came from a shard (CEP 21).
    """
    with opened(section, sources, folder) as indexes:
        bodies = (_published(name, body, indexes) for name, body, _ in shards)
        return write_repodata(section, bodies, to=folder, stop=never_stop, name=NAME)


def _published(name: str, body: bytes, indexes: Sequence[Index]) -> bytes:
    published = entries(body)
    exports = _of_records(published) if states_exports(body) else {}
    # The first source wins, so it is written last.
    for index in reversed(indexes):
        source_entries = entries(index.body(name))
        exports |= {file: raw for file, raw in source_entries.items() if file in published}
    return build(exports.items(), ())


def states_exports(body: bytes) -> bool:
    """Whether records of a body may have run exports of their own."""
    return _KEY in body


def _of_records(published: dict[str, bytes]) -> dict[str, bytes]:
    """File -> its entry, of the records that have run exports."""
    exports = {}
    for file, raw in published.items():
        if _KEY in raw:
            stated = msgspec.json.decode(raw, type=_Stated).run_exports
            if bytes(stated) not in (b"", b"null"):
                exports[file] = b'{"run_exports":' + bytes(stated) + b"}"
    return exports
