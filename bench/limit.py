"""The limit of this machine: what no mirror of an index can do without.

    python -m bench.limit linux-64.json.zst

Decompress, slice into records, hash, compress at level 1: each once over the
same bytes, in one stream, keeping nothing. What a run costs is told as a
multiple of this, measured at the same time.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zstandard

BLOCK = 4 << 20
CUT = b'"},"'
FIRST, SECOND, LAST = b'"packages":{', b'},"packages.conda":{', b'},"removed":'


@dataclass(slots=True, frozen=True)
class Limit:
    """CPU and wall seconds, and how many records and bytes they were for."""

    cpu: float
    wall: float
    records: int
    size: int
    compressed: int


def measure(path: Path) -> Limit:
    """Runs the four steps over `path`, a compact `repodata.json.zst`."""
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    digest = hashlib.sha256()
    out = zstandard.ZstdCompressor(level=1).compressobj()
    cpu, wall = cpu_seconds(), time.perf_counter()
    records = size = compressed = 0
    rest = b""
    for block in _blocks(path):
        digest.update(block)
        compressed += len(out.compress(block))
        size += len(block)
        text = rest + block
        found = text.rfind(CUT)
        end = found + 2 if found >= 0 else 0
        records += sum(len(decoder.decode(part)) for part in _parts(text[:end]))
        rest = text[end:]
    records += sum(len(decoder.decode(part)) for part in _parts(rest))
    compressed += len(out.flush())
    return Limit(cpu_seconds() - cpu, time.perf_counter() - wall, records, size, compressed)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from zstandard.ZstdDecompressor().read_to_iter(
            file, read_size=1 << 20, write_size=BLOCK
        )


def _parts(text: bytes) -> Iterator[bytes]:
    """Lists of whole entries: `text` without the places where a section begins or ends."""
    start = text.find(FIRST) + len(FIRST) if text.startswith(b'{"info"') else 0
    for part in text[start:].partition(LAST)[0].split(SECOND):
        if entries := part.strip(b","):
            yield b"{" + entries + b"}"


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the limit on an index.")
    parser.add_argument("index", type=Path)
    found = measure(parser.parse_args().index)
    sys.stdout.write(
        f"limit: {found.cpu:.2f} CPU s, {found.wall:.2f} s for {found.records} records,"
        f" {found.size / 1e6:.1f} MB -> {found.compressed / 1e6:.1f} MB\n"
    )


if __name__ == "__main__":
    main()
