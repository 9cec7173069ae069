"""What clients are given: index files, pages, and where a path leads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zstandard

# 128 KiB: why no more, see `document_compressor`.
WINDOW_LOG = 17


@dataclass(slots=True)
class Document:
    """An index file as served, written to the temporary file `path` (whose hash is `sha256`).

    `packed`: the file is the zstd form of what is served. `size` and `etag`
    (strong, quoted) are of the bytes that clients get.
    """

    name: str
    path: Path
    sha256: str
    size: int
    etag: str
    media_type: str = "application/octet-stream"
    packed: bool = False


def document_compressor(level: int = 1) -> zstandard.ZstdCompressor:
    """What packs the forms of an index.

    Many are unpacked at once for clients that read slowly, and each holds a window (RFC 8878,
    3.1.1.1.2). One of 128 KiB packs an index as well as the usual 512 KiB of level 1.
    """
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            level, window_log=WINDOW_LOG
        )
    )


@dataclass(frozen=True, slots=True)
class Location:
    """What a path behind an ecosystem's prefix names: an index file, a page, or a file.

    `name` is the package's; "" for index files, which are found by `section` and
    `filename`, and for a `shard`, whose file name is its hash. A page has a name and
    no file name. `moved`: the address, relative to the requested one, under which
    this is really served.
    """

    section: str
    name: str = ""
    filename: str = ""
    moved: str = ""
    shard: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A package's index page in one of its forms; `etag` is strong and quoted."""

    body: bytes
    etag: str
    media_type: str
