"""`run_exports.json` (CEP 12) of a subdir, which only build tools ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ecosystems.base import Document, Stop, never_stop
from ecosystems.conda.extras import opened, reading
from ecosystems.conda.records import build, entries
from ecosystems.conda.repodata import Index
from ecosystems.conda.write import write_repodata

NAME = "run_exports.json"
NAMES = (f"{NAME}.zst", NAME)
"""The forms that upstreams have, in the order in which they are asked for."""


def check(path: Path, section: str, *, work: Path, stop: Stop) -> None:
    """Raise BadIndex for a file that cannot be read."""
    with reading(path, section, work, stop=stop) as index:
        for _ in index.shards(stop):
            pass


def publish(
    section: str,
    shards: Iterable[tuple[str, bytes, str]],
    sources: Sequence[Path],
    *,
    folder: Path,
) -> list[Document]:
    """That of the published files; the first source that has one wins."""
    with opened(section, sources, folder) as indexes:
        bodies = (_published(name, body, indexes) for name, body, _ in shards)
        return write_repodata(section, bodies, to=folder, stop=never_stop, name=NAME)


def _published(name: str, body: bytes, indexes: Sequence[Index]) -> bytes:
    published = entries(body)
    found: dict[str, bytes] = {}
    for index in reversed(indexes):
        known = entries(index.body(name))
        found |= {file: raw for file, raw in known.items() if file in published}
    return build(found.items(), ())
