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
from ecosystems.upstream.client import Peek

FIRST = 64 * 1024
"""Bytes of an answer that are looked at."""
ASKED_SUBDIRS = ("noarch", "linux-64", "win-64", "osx-arm64", "osx-64", "linux-aarch64")
"""Of the platforms these are asked for; asking for all would not be a handful."""
JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
SOURCES = "src/contrib"
_FILES = ("repodata.json", "repodata.json.zst", "current_repodata.json", "channeldata.json")
_CONDA = re.compile(
    rb'\A\s*\{.*?"(?:info|packages|packages\.conda|removed|repodata_version)"\s*:', re.DOTALL
)
_META = re.compile(rb"<meta\s[^>]{0,200}pypi:repository-version", re.IGNORECASE)
_LINK = re.compile(rb'<a\s[^>]{0,500}?href\s{0,9}=\s{0,9}["\']([^"\'>]{1,500})', re.IGNORECASE)
_FILE = re.compile(rb'\.(?:whl|tar\.gz|zip|tar\.bz2|egg)(?:[#?][^"\']*)?\Z', re.IGNORECASE)
_PACKAGES = re.compile(rb"\A\s*Package:[ \t]*\S")

Look = Callable[[str, str], Peek | None]
"""The first bytes at an address, with this `Accept`; None where there is nothing."""


@dataclass(slots=True)
class Seen:
    """What lies at `url`: the type by its name in the API, and its sections with their size."""

    kind: str
    url: str
    sections: dict[str, int | None] = field(default_factory=dict)


def see(url: str, kind: str, look: Look) -> Seen | None:
    """What is at `url`, or at the address that was meant by it; `kind` is looked for first."""
    finders = {"conda": _conda, "python_simple": _python, "CRAN": _cran}
    for name in sorted(finders, key=lambda name: name != kind):
        for candidate in _candidates(name, url.rstrip("/")):
            found = finders[name](candidate, look)
            if found is not None:
                return found
    return None


def _candidates(kind: str, url: str) -> Iterator[str]:
    """The addresses that may be meant, the given one first unless it names a part of an index."""
    folder, _, last = url.rpartition("/")
    if kind == "conda":
        if last in _FILES:
            url, (folder, _, last) = folder, folder.rpartition("/")
        yield folder if last in KNOWN_SUBDIRS else url
    elif kind == "python_simple":
        yield url
        if last != "simple":
            yield f"{url}/simple"
            if folder.endswith("/simple"):
                yield folder
    else:
        yield re.sub(r"/(?:src|bin)(?:/[^/]+){0,4}\Z", "", url)


def _conda(url: str, look: Look) -> Seen | None:
    seen = Seen("conda", url)
    for subdir in ASKED_SUBDIRS:
        for name in ("repodata.json.zst", "repodata.json"):
            peek = look(f"{url}/{subdir}/{name}", "*/*")
            if peek is not None and _CONDA.match(_plain(peek.body, name)):
                seen.sections[subdir] = peek.size
                break
        if subdir == "noarch" and not seen.sections:
            # Every channel has it, and without it nothing is guessed from other platforms.
            return None
    return seen


def _python(url: str, look: Look) -> Seen | None:
    peek = look(f"{url}/", ACCEPT)
    if peek is None:
        return None
    listing = Seen("python_simple", url, {"simple": peek.size})
    if peek.media_type == JSON:
        return listing if b'"projects"' in peek.body or b'"meta"' in peek.body else None
    if not peek.media_type.startswith(("text/html", "application/vnd.pypi.simple.v1+html")):
        return None
    if peek.media_type.startswith("application/") or _META.search(peek.body):
        return listing
    page = _first_page(url, peek.body)
    return listing if page is not None and _lists_files(look(page, ACCEPT)) else None


def _first_page(url: str, body: bytes) -> str | None:
    """The address of the first page below `url` that an HTML page links to."""
    for link in _LINK.finditer(body):
        page = urljoin(f"{url}/", unescape(link[1].decode("latin-1")))
        if page.startswith(f"{url}/") and page.rstrip("/") != url and not _FILE.search(link[1]):
            return page
    return None


def _lists_files(peek: Peek | None) -> bool:
    if peek is None:
        return False
    if peek.media_type == JSON:
        return b'"files"' in peek.body
    return any(_FILE.search(link[1]) for link in _LINK.finditer(peek.body))


def _cran(url: str, look: Look) -> Seen | None:
    for name in ("PACKAGES.gz", "PACKAGES"):
        peek = look(f"{url}/{SOURCES}/{name}", "*/*")
        if peek is not None and _PACKAGES.match(_plain(peek.body, name)):
            return Seen("CRAN", url, {SOURCES: peek.size})
    return None


def _plain(body: bytes, name: str) -> bytes:
    """The beginning of what a compressed file holds; nothing where it is broken."""
    with suppress(zstandard.ZstdError, zlib.error):
        if name.endswith(".zst"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)[:FIRST]
        if name.endswith(".gz") and body.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(body, FIRST)
        return body
    return b""
