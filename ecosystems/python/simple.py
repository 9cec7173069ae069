"""Reads the Simple API: the list of projects and a project's page, as JSON or as HTML.

Rule: what comes as JSON stays as it is, entry for entry; HTML is turned into the
entries that JSON would have had. Addresses are understood from where the page was found.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import msgspec

from ecosystems.base import BadIndex
from ecosystems.python.body import Body, join
from ecosystems.python.names import is_file, is_name, name_of, normalize

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
ACCEPT = f"{JSON_TYPE}, {HTML_TYPE};q=0.2, text/html;q=0.1"
HASHES = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")


class _Meta(msgspec.Struct, gc=False, rename={"version": "api-version", "serial": "_last-serial"}):
    version: str = "1.0"
    serial: int | None = None


class _Project(msgspec.Struct, rename={"status": "project-status"}):
    files: list[msgspec.Raw]
    meta: _Meta = msgspec.field(default_factory=_Meta)
    name: str = ""
    status: dict[str, str | None] | None = None


class _Links(msgspec.Struct, gc=False):
    filename: str = ""
    url: str = ""
    provenance: str | None = None


class _Name(msgspec.Struct, gc=False, rename={"serial": "_last-serial"}):
    name: str
    serial: int | None = None


class _Index(msgspec.Struct):
    projects: list[_Name]
    meta: _Meta = msgspec.field(default_factory=_Meta)


_project_decoder = msgspec.json.Decoder(_Project)
_index_decoder = msgspec.json.Decoder(_Index)
_links_decoder = msgspec.json.Decoder(_Links)


class Page(msgspec.Struct):
    """A project's page as read.

    `serial` is the upstream's number of its last change, `place` the address of one of its files.
    """

    body: bytes
    count: int
    serial: int | None = None
    place: str = ""


def project(text: bytes, *, name: str, asked: str, found: str) -> Page:
    """Read a project's page, asked for at one address and found at another or the same."""
    if _is_html(text):
        return _html_project(text, name=name, asked=asked, found=found)
    try:
        # Entries stay bytes, so what is no text would come through to clients.
        text.decode()
        page = _project_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadIndex(f"The page of {name} cannot be read: {error}.") from error
    _check_version(page.meta.version, name)
    if page.name and normalize(page.name) != name:
        raise BadIndex(f"The page of {name} calls itself {page.name}.")
    files = [_resolved(bytes(raw), asked, found) for raw in page.files]
    status = msgspec.json.encode(page.status) if page.status else b""
    body = join(Body(name, files, status=status))
    return Page(body, len(files), page.meta.serial, _place(files, found))


def index(text: bytes) -> tuple[dict[str, int | None], int]:
    """The projects (in their one spelling) with their serials, and how many names are no names."""
    if _is_html(text):
        parser = _Parser(text)
        if not parser.version and not parser.anchors:
            raise BadIndex("The index is a web page without a list of projects.")
        hrefs = (urlsplit(anchor["href"]).path for anchor in parser.anchors)
        listed = [_Name(unquote(path.rstrip("/").rpartition("/")[2])) for path in hrefs]
    else:
        try:
            found = _index_decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadIndex(f"The list of projects cannot be read: {error}.") from error
        _check_version(found.meta.version, "projects")
        listed = found.projects
    names: dict[str, int | None] = {}
    invalid = 0
    for one in listed:
        name = normalize(one.name)
        # Of two spellings of one name the first is taken.
        if not is_name(one.name) or name in names:
            invalid += 1
        else:
            names[name] = one.serial
    return names, invalid


def _check_version(text: str, what: str) -> None:
    if text.partition(".")[0] != "1":
        raise BadIndex(f"The page of {what} is of version {text} of the Simple API; 1 is known.")


def _is_html(text: bytes) -> bool:
    return text[:512].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _resolved(raw: bytes, asked: str, found: str) -> bytes:
    """The entry, with addresses that only its page's own address makes sense of made absolute."""
    try:
        links = _links_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Told apart and refused when the records are read.
        return raw
    if asked == found and (not links.provenance or "://" in links.provenance):
        return raw
    changed: dict[str, str] = {}
    if urljoin(asked, links.url) != urljoin(found, links.url):
        changed["url"] = urljoin(found, links.url)
    if links.provenance and not urlsplit(links.provenance).scheme:
        changed["provenance"] = urljoin(found, links.provenance)
    if not changed:
        return raw
    return msgspec.json.encode({**msgspec.json.decode(raw, type=dict[str, Any]), **changed})


def _place(files: list[bytes], found: str) -> str:
    """Where the first file with an address lies."""
    for raw in files:
        try:
            if url := _links_decoder.decode(raw).url:
                return urljoin(found, url)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            continue
    return ""


class _Parser(HTMLParser):
    """The anchors of a page with their attributes, its base and its meta data."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.anchors: list[dict[str, str]] = []
        self.metas: dict[str, str] = {}
        self.base = ""
        self.feed(text.decode("utf-8", "replace"))
        self.close()

    @property
    def version(self) -> str:
        return self.metas.get("pypi:repository-version", "")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag == "a" and found.get("href"):
            self.anchors.append(found)
        elif tag == "base" and not self.base:
            self.base = found.get("href", "")
        elif tag == "meta" and "name" in found:
            self.metas.setdefault(found["name"].lower(), found.get("content", ""))


def _html_project(text: bytes, *, name: str, asked: str, found: str) -> Page:
    parser = _Parser(text)
    if parser.version:
        _check_version(parser.version, name)
    here = urljoin(found, parser.base) if parser.base else found
    entries = [entry for anchor in parser.anchors if (entry := _entry(anchor, asked, here))]
    if not entries and not parser.version:
        raise BadIndex(f"The page of {name} is a web page without files or a version of its form.")
    status: dict[str, str] = {}
    if state := parser.metas.get("pypi:project-status"):
        status["status"] = state
        if reason := parser.metas.get("pypi:project-status-reason"):
            status["reason"] = reason
    body = Body(name, entries, status=msgspec.json.encode(status) if status else b"")
    return Page(join(body), len(entries), place=_place(entries, found))


def _entry(anchor: dict[str, str], asked: str, here: str) -> bytes | None:
    """An anchor as the JSON form has it; None for one that leads to no distribution."""
    try:
        url, fragment = urldefrag(anchor["href"].strip())
        filename = unquote(urlsplit(url).path).rpartition("/")[2]
        full = urljoin(here, url)
        relative = urljoin(asked, url) == full
    except ValueError:
        return None
    if not is_file(filename) or name_of(filename) is None:
        return None
    kind, _, value = fragment.partition("=")
    entry: dict[str, Any] = {
        "filename": filename,
        "url": url if relative else full,
        "hashes": {kind: value.partition("&")[0].lower()} if kind in HASHES and value else {},
    }
    if wanted := anchor.get("data-requires-python"):
        entry["requires-python"] = wanted
    metadata = anchor.get("data-core-metadata", anchor.get("data-dist-info-metadata"))
    if metadata is not None and metadata != "false":
        algorithm, _, digest = metadata.partition("=")
        entry["core-metadata"] = {algorithm: digest.lower()} if digest else True
    if "data-yanked" in anchor:
        entry["yanked"] = anchor["data-yanked"] or True
    if provenance := anchor.get("data-provenance"):
        entry["provenance"] = urljoin(here, provenance)
    return msgspec.json.encode(entry)
