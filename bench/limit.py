"""The limit of this machine: what no mirror of an index can do without.

    python -m bench.limit linux-64.json.zst

Decompress, slice into records, hash, compress at level 1: each once over the
same bytes, in one stream, keeping nothing. What a run costs is printed as a
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
ENTRY_END = b'"},"'
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
    """Run the four steps over `path`, a compact `repodata.json.zst`."""
    # Raw: records are sliced, not parsed, as a run does with all but the judged fields.
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    digest = hashlib.sha256()
    # The cheapest level, so that the limit is a lower bound.
    out = zstandard.ZstdCompressor(level=1).compressobj()
    cpu, wall = cpu_seconds(), time.perf_counter()
    records = size = compressed = 0
    unread = b""
    for block in _blocks(path):
        digest.update(block)
        compressed += len(out.compress(block))
        size += len(block)
        text = unread + block
        # Entries are decoded whole; the last one of a block goes on in the next.
        position = text.rfind(ENTRY_END)
        end = position + 2 if position >= 0 else 0
        records += sum(len(decoder.decode(part)) for part in _parts(text[:end]))
        unread = text[end:]
    records += sum(len(decoder.decode(part)) for part in _parts(unread))
    compressed += len(out.flush())
    return Limit(cpu_seconds() - cpu, time.perf_counter() - wall, records, size, compressed)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from zstandard.ZstdDecompressor().read_to_iter(
            file, read_size=1 << 20, write_size=BLOCK
        )


def _parts(text: bytes) -> Iterator[bytes]:
    """JSON objects of whole entries: `text` without the beginnings and ends of sections."""
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
    cost = measure(parser.parse_args().index)
    sys.stdout.write(
        f"limit: {cost.cpu:.2f} CPU s, {cost.wall:.2f} s for {cost.records} records,"
        f" {cost.size / 1e6:.1f} MB -> {cost.compressed / 1e6:.1f} MB\n"
    )


if __name__ == "__main__":
    main()
