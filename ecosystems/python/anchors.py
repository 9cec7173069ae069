"""Reads the HTML form of the Simple API: the anchors of a list of projects or of a page.

Rule: an anchor of the list names a project only where its text and its link say the same
(PEP 503), so that a welcome page or a folder's listing is never taken for an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import SplitResult, unquote, urldefrag, urljoin, urlsplit

import msgspec

from ecosystems import checksums
from ecosystems.python.entries import MD5, SHA256
from ecosystems.python.names import METADATA, is_name, normalize, seems_distribution

INDEX_FILES = ("index.html", "index.htm")
_CUT = re.compile(r"(.{3,}?)\.\.(?:\.|>)?/?")
"""A name that a server's listing of a folder has shortened."""


class Parser(HTMLParser):
    """The anchors of a page with their attributes and texts, its base and its meta data."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.anchors: list[tuple[dict[str, str], str]] = []
        self.metas: dict[str, str] = {}
        self.base = ""
        self._open: list[str] | None = None
        self.feed(text.decode("utf-8", "replace"))
        self.close()
        self._end()

    @property
    def version(self) -> str:
        """The version of the Simple API that the page states; "" for none."""
        return self.metas.get("pypi:repository-version", "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes: dict[str, str] = {}
        for key, value in attrs:
            # Of an attribute that is given twice the first counts, as in browsers.
            attributes.setdefault(key, value or "")
        if tag == "a":
            self._end()
            if attributes.get("href"):
                self.anchors.append((attributes, ""))
                self._open = []
        elif tag == "base" and not self.base:
            self.base = attributes.get("href", "")
        elif tag == "meta" and "name" in attributes:
            self.metas.setdefault(attributes["name"].lower(), attributes.get("content", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._end()

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.append(data)

    def _end(self) -> None:
        if self._open is not None:
            self.anchors[-1] = (self.anchors[-1][0], " ".join("".join(self._open).split()))
        self._open = None


def projects(parser: Parser, url: str) -> tuple[list[str], list[str]]:
    """The names that a list of projects at `url` links to; links that name none."""
    base = urljoin(url, parser.base) if parser.base else url
    home = urlsplit(urljoin(url, "."))
    names: list[str] = []
    others: list[str] = []
    for anchor, text in parser.anchors:
        try:
            link = urlsplit(urljoin(base, anchor["href"].strip()))
            inside = link.hostname == home.hostname
        except ValueError:
            others.append(anchor["href"])
            continue
        if inside and _leads_up(link, home):
            continue
        name = _project(link, home, text) if inside else ""
        (names if name else others).append(name or anchor["href"])
    return names, others


def _leads_up(link: SplitResult, home: SplitResult) -> bool:
    """A listing's links to itself (its sort orders) and to the folder above."""
    return unquote(home.path).startswith(unquote(link.path))


def _project(link: SplitResult, home: SplitResult, text: str) -> str:
    path = unquote(link.path)
    for name in INDEX_FILES:
        path = path.removesuffix(f"/{name}")
    folder, _, last = path.rstrip("/").rpartition("/")
    if f"{folder}/" != unquote(home.path):
        return ""
    shown = text.rstrip("/")
    if normalize(shown) == normalize(last):
        return last
    short = _CUT.fullmatch(text)
    return last if short and last.startswith(short[1]) and is_name(last) else ""


def entries(parser: Parser, requested_url: str, page_url: str) -> Iterator[tuple[bytes, str]]:
    """The files of a page as the JSON form has them, each with the address where it lies."""
    base = urljoin(page_url, parser.base) if parser.base else page_url
    for anchor, _ in parser.anchors:
        try:
            url, fragment = urldefrag(anchor["href"].strip())
            filename = unquote(urlsplit(url).path).rpartition("/")[2]
            full = urljoin(base, url)
            relative = urljoin(requested_url, url) == full
        except ValueError:
            continue
        hashes = _hashes(fragment)
        if _is_listed(filename, hashes, anchor):
            entry = _entry(anchor, filename, url if relative else full, hashes, base)
            yield msgspec.json.encode(entry), full


def _is_listed(filename: str, hashes: dict[str, str], anchor: dict[str, str]) -> bool:
    """Whether an anchor lists a distribution, usable or not, and is no other link of the page."""
    if not filename or filename.endswith((METADATA, *INDEX_FILES)):
        return False
    # Listings of folders link to much else; only these say that a file is a distribution.
    stated = hashes or any(f"data-{key}" in anchor for key in ("yanked", "requires-python"))
    return bool(stated) or seems_distribution(filename)


def _entry(
    anchor: dict[str, str], filename: str, url: str, hashes: dict[str, str], base: str
) -> dict[str, object]:
    entry: dict[str, object] = {"filename": filename, "url": url, "hashes": hashes}
    if requires_python := anchor.get("data-requires-python"):
        entry["requires-python"] = requires_python
    # PEP 714 renamed the attribute of PEP 658; the new name decides.
    metadata = anchor.get("data-core-metadata", anchor.get("data-dist-info-metadata"))
    if metadata is not None and metadata != "false":
        algorithm, _, digest = metadata.partition("=")
        entry["core-metadata"] = {algorithm: digest.lower()} if digest else True
    if "data-yanked" in anchor:
        entry["yanked"] = anchor["data-yanked"] or True
    if provenance := anchor.get("data-provenance"):
        entry["provenance"] = urljoin(base, provenance)
    return entry


def _hashes(fragment: str) -> dict[str, str]:
    """The hashes in a link's fragment: anywhere in it, or the bare digits."""
    hashes: dict[str, str] = {}
    for part in fragment.split("&"):
        key, equals, value = part.strip().partition("=")
        if key.lower() in checksums.STRONGEST_FIRST and value:
            hashes.setdefault(key.lower(), value.strip().lower())
        elif not equals and SHA256.fullmatch(key):
            hashes.setdefault("sha256", key.lower())
        elif not equals and MD5.fullmatch(key):
            hashes.setdefault("md5", key.lower())
    return hashes
