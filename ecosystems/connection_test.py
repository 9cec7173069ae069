"""What kind of source lies at an address, found with a handful of small requests.

The rule: a type is only named for what an index of that type must have. An HTML page of links
is a Simple index only if it says so itself or if one of its projects' pages lists files.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urljoin

import zstandard

from ecosystems.conda.channel import KNOWN_SUBDIRS
from ecosystems.conda.shards import INDEX_NAME
from ecosystems.cran.layout import SOURCE
from ecosystems.kinds import Kind
from ecosystems.python.fetch import SECTION
from ecosystems.python.simple import ACCEPT, HTML_TYPE, JSON_TYPE
from ecosystems.upstream.client import Peek

PEEK_BYTES = 64 * 1024
"""Bytes of an answer that are looked at."""
ASKED_SUBDIRS = ("noarch", "linux-64", "win-64", "osx-arm64", "osx-64", "linux-aarch64")
"""Of the platforms these are asked for; asking for all would not be a handful."""
_SINGLE_FILES = ("repodata.json.zst", "repodata.json")
_FILES = (*_SINGLE_FILES, INDEX_NAME, "current_repodata.json", "channeldata.json")
_CONDA = re.compile(
    rb'\A\s*\{.*?"(?:info|packages|packages\.conda|removed|repodata_version)"\s*:', re.DOTALL
)
# A small map of msgpack that begins with a key of CEP 16.
_SHARDS = re.compile(rb"[\x81-\x8f](?:\xa4info|\xa6shards|\xa7version)")
_META = re.compile(rb"<meta\s[^>]{0,200}pypi:repository-version", re.IGNORECASE)
_LINK = re.compile(rb'<a\s[^>]{0,500}?href\s{0,9}=\s{0,9}["\']([^"\'>]{1,500})', re.IGNORECASE)
_FILE = re.compile(rb'\.(?:whl|tar\.gz|zip|tar\.bz2|egg)(?:[#?][^"\']*)?\Z', re.IGNORECASE)
_PACKAGES = re.compile(rb"\A\s*Package:[ \t]*\S")

PeekAt = Callable[[str, str], Peek | None]
"""The first bytes at an address, with this `Accept`; None where there is nothing."""


@dataclass(slots=True)
class DetectedSource:
    """What lies at `url`: its type, and the index sizes of its sections, None where not told."""

    kind: Kind
    url: str
    sections: dict[str, int | None] = field(default_factory=dict)


def detect(url: str, kind: str, peek: PeekAt) -> DetectedSource | None:
    """What is at `url`, or at the address that was meant by it; `kind` is looked for first."""
    detectors = {Kind.CONDA: _conda, Kind.PYTHON: _python, Kind.CRAN: _cran}
    for candidate_kind in sorted(detectors, key=lambda name: name != kind):
        for candidate in _candidates(candidate_kind, url.rstrip("/")):
            source = detectors[candidate_kind](candidate, peek)
            if source is not None:
                return source
    return None


def _candidates(kind: Kind, url: str) -> Iterator[str]:
    """The addresses that may be meant, the given one first unless it names a part of an index."""
    folder, _, last = url.rpartition("/")
    if kind is Kind.CONDA:
        # People paste the address of the index itself, or that of a platform.
        if last in _FILES:
            url, (folder, _, last) = folder, folder.rpartition("/")
        yield folder if last in KNOWN_SUBDIRS else url
    elif kind is Kind.PYTHON:
        yield url
        if last != "simple":
            yield f"{url}/simple"
            if folder.endswith("/simple"):
                yield folder
    else:
        yield re.sub(r"/(?:src|bin)(?:/[^/]+){0,4}\Z", "", url)


def _conda(url: str, peek: PeekAt) -> DetectedSource | None:
    source = DetectedSource(Kind.CONDA, url)
    names: tuple[str, ...] = (*_SINGLE_FILES, INDEX_NAME)
    for subdir in ASKED_SUBDIRS:
        for name in names:
            beginning = peek(f"{url}/{subdir}/{name}", "*/*")
            if beginning is not None and _is_index(_plain(beginning.body, name), name):
                source.sections[subdir] = beginning.size
                # All subdirs of a channel are written alike: asking for all forms is no handful.
                names = (INDEX_NAME,) if name == INDEX_NAME else _SINGLE_FILES
                break
        if subdir == "noarch" and not source.sections:
            # Every channel has it, and without it nothing is guessed from other platforms.
            return None
    return source


def _is_index(beginning: bytes, name: str) -> bool:
    return (_SHARDS if name == INDEX_NAME else _CONDA).match(beginning) is not None


def _python(url: str, peek: PeekAt) -> DetectedSource | None:
    beginning = peek(f"{url}/", ACCEPT)
    if beginning is None:
        return None
    listing = DetectedSource(Kind.PYTHON, url, {SECTION: beginning.size})
    if beginning.media_type == JSON_TYPE:
        return listing if b'"projects"' in beginning.body or b'"meta"' in beginning.body else None
    if not beginning.media_type.startswith(("text/html", HTML_TYPE)):
        return None
    # An HTML type of its own, or PEP 629's version: the page says itself what it is.
    if beginning.media_type.startswith("application/") or _META.search(beginning.body):
        return listing
    page = _first_page(url, beginning.body)
    return listing if page is not None and _lists_files(peek(page, ACCEPT)) else None


def _first_page(url: str, body: bytes) -> str | None:
    """The address of the first page below `url` that an HTML page links to."""
    for link in _LINK.finditer(body):
        page = urljoin(f"{url}/", unescape(link[1].decode("latin-1")))
        if page.startswith(f"{url}/") and page.rstrip("/") != url and not _FILE.search(link[1]):
            return page
    return None


def _lists_files(beginning: Peek | None) -> bool:
    if beginning is None:
        return False
    if beginning.media_type == JSON_TYPE:
        return b'"files"' in beginning.body
    return any(_FILE.search(link[1]) for link in _LINK.finditer(beginning.body))


def _cran(url: str, peek: PeekAt) -> DetectedSource | None:
    for name in ("PACKAGES.gz", "PACKAGES"):
        beginning = peek(f"{url}/{SOURCE}/{name}", "*/*")
        if beginning is not None and _PACKAGES.match(_plain(beginning.body, name)):
            return DetectedSource(Kind.CRAN, url, {SOURCE: beginning.size})
    return None


def _plain(body: bytes, name: str) -> bytes:
    """The beginning of what a compressed file holds; nothing where it is broken."""
    with suppress(zstandard.ZstdError, zlib.error):
        if name.endswith(".zst"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)[:PEEK_BYTES]
        if name.endswith(".gz") and body.startswith(b"\x1f\x8b"):
            # The stream is cut off: what there is of it is decoded.
            return zlib.decompressobj(wbits=31).decompress(body, PEEK_BYTES)
        return body
    return b""
