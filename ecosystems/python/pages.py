"""Writes the Simple API: a project's page and the list of projects, as JSON and as HTML.

Rule: entries are the upstream's, minus what would lead clients past us or cannot be kept:
files are beside their page, and metadata is offered only where its hash is known.
The HTML form is made from the JSON form, so both say the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import msgspec
import zstandard

from ecosystems import checksums
from ecosystems.documents import Document, Page, document_compressor
from ecosystems.python.body import Body, split
from ecosystems.python.entries import METADATA_KEYS, Entry, published
from ecosystems.python.names import version
from ecosystems.python.records import records
from ecosystems.python.simple import HTML_TYPE, JSON_TYPE
from ecosystems.records import Record

NEWEST, OLDEST = "1.4", "1.0"
JSON, HTML, TEXT = "json", "html", "text"
"""The forms that clients ask for; the last two differ in their media type only."""
MEDIA_TYPES = {JSON: JSON_TYPE, HTML: HTML_TYPE, TEXT: "text/html; charset=utf-8"}
INDEX_NAMES = {JSON: "index.json", HTML: "index.v1.html", TEXT: "index.html"}


class _Shown(msgspec.Struct, rename={"status": "project-status"}):
    """A page in our own JSON form."""

    meta: dict[str, str]
    name: str
    files: list[Entry]
    status: dict[str, object] | None = None


_shown_decoder = msgspec.json.Decoder(_Shown)


def served(body: bytes) -> bytes:
    """The JSON form of a project's page, zstd: made once, when the shard is stored."""
    return zstandard.ZstdCompressor(level=1).compress(project_json(body))


def project_json(body: bytes) -> bytes:
    """The JSON form of a project's page."""
    stored = split(body)
    files: list[dict[str, msgspec.Raw]] = []
    complete = True
    versions: set[str] = set()
    for raw, record in zip(stored.files, records(body, name=stored.name), strict=True):
        if isinstance(record, Record):
            metadata = record.companions[0].sha256 if record.companions else ""
            files.append(_file(raw, record.filename, metadata=metadata))
            versions.add(record.version)
            complete = complete and record.size >= 0
    page: dict[str, object] = {
        # PEP 700: from version 1.1 on every file has a size.
        "meta": {"api-version": NEWEST if complete else OLDEST},
        "name": stored.name,
        "versions": sorted(versions, key=version),
        "files": files,
    }
    return msgspec.json.encode(page | _status(stored))


def page(stored: bytes, digest: str, form: str) -> Page:
    """A project's page in a form that clients asked for."""
    text = zstandard.ZstdDecompressor().decompress(stored)
    # Stored as it is served; HTML is asked for by few, and made when it is.
    if form == JSON:
        return Page(text, f'"{digest}"', JSON_TYPE)
    return Page(project_html(text), f'"{digest}-{form}"', MEDIA_TYPES[form])


def refused_page(name: str, reason: str, form: str) -> Page:
    """The page of a project that may not be used: without files, and with the reason (PEP 792)."""
    status = {"status": "quarantined", "reason": reason}
    text = msgspec.json.encode(
        {
            "meta": {"api-version": NEWEST},
            "name": name,
            "versions": [],
            "files": [],
            "project-status": status,
        }
    )
    body = text if form == JSON else project_html(text)
    return Page(body, f'"{hashlib.sha256(body).hexdigest()}"', MEDIA_TYPES[form])


def project_html(text: bytes) -> bytes:
    """The HTML form of a page, from its JSON form."""
    page = _shown_decoder.decode(text)
    name = escape(page.name)
    parts = [_head(f"Links for {name}", page.meta["api-version"])]
    for key, meta in (("status", "project-status"), ("reason", "project-status-reason")):
        if value := (page.status or {}).get(key):
            parts.append(f'<meta name="pypi:{meta}" content="{escape(str(value))}">\n')
    parts.append(f"</head>\n<body>\n<h1>Links for {name}</h1>\n")
    parts += [_anchor(file) for file in page.files]
    return "".join([*parts, "</body>\n</html>\n"]).encode()


def index(names: Iterable[str], folder: Path) -> Iterator[Document]:
    """The list of projects in all its forms; `names` are in their order."""
    compress = document_compressor()
    listed = list(names)
    projects = b",".join([b'{"name":"%s"}' % name.encode() for name in listed])
    text = b'{"meta":{"api-version":"%s"},"projects":[%s]}' % (NEWEST.encode(), projects)
    yield _document(JSON, text, folder, compress)
    anchors = "".join([f'<a href="{name}/">{name}</a><br>\n' for name in listed])
    head = _head("Projects", NEWEST)
    html = f"{head}</head>\n<body>\n{anchors}</body>\n</html>\n".encode()
    yield _document(HTML, html, folder, compress)
    yield _document(TEXT, html, folder, compress)


def form(accept: str) -> str:
    """The form that an `Accept` header prefers (RFC 9110, 12.5.1); for others HTML, as ever."""
    best, chosen = 0.0, TEXT
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        named_form = _FORMS.get(kind)
        weight = next((_weight(word[2:]) for word in parameters if word.startswith("q=")), 1.0)
        if named_form and weight > best:
            best, chosen = weight, named_form
    return chosen


_FORMS = {
    JSON_TYPE: JSON,
    HTML_TYPE: HTML,
    "application/vnd.pypi.simple.latest+json": JSON,
    "application/vnd.pypi.simple.latest+html": HTML,
    "text/html": TEXT,
}


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _file(raw: bytes, filename: str, *, metadata: str) -> dict[str, msgspec.Raw]:
    """An upstream's entry as we serve it; values that nobody looks at stay as they are."""
    entry = published(raw)
    # Relative: channels have several addresses (tokens, revisions), and a page is made once.
    entry["url"] = msgspec.Raw(msgspec.json.encode(quote(filename)))
    for key in METADATA_KEYS:
        entry.pop(key, None)
    if metadata:
        hashes = msgspec.Raw(b'{"sha256":"%s"}' % metadata.encode())
        entry["core-metadata"] = entry["data-dist-info-metadata"] = hashes
    # We keep no signatures beside files, and what proves their origin lies with the upstream.
    for key in ("gpg-sig", "provenance"):
        entry.pop(key, None)
    return entry


def _status(stored: Body) -> dict[str, object]:
    return {"project-status": msgspec.Raw(stored.status)} if stored.status else {}


def _head(title: str, api: str) -> str:
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{escape(api)}">\n<title>{title}</title>\n'
    )


def _anchor(file: Entry) -> str:
    # PEP 503: a link has one hash.
    checksum = checksums.strongest(file.hashes)
    href = file.url + (f"#{checksum}" if checksum else "")
    attributes = [f'href="{escape(href)}"']
    if file.requires_python:
        attributes.append(f'data-requires-python="{escape(file.requires_python)}"')
    if file.yanked:
        reason = file.yanked if isinstance(file.yanked, str) else ""
        attributes.append(f'data-yanked="{escape(reason)}"')
    if file.metadata:
        digest = f"sha256={file.metadata}"
        attributes.append(f'data-dist-info-metadata="{digest}" data-core-metadata="{digest}"')
    return f"<a {' '.join(attributes)}>{escape(file.filename)}</a><br>\n"


def _document(
    which: str, text: bytes, folder: Path, compress: zstandard.ZstdCompressor
) -> Document:
    name = INDEX_NAMES[which]
    path = folder / name
    packed = compress.compress(text)
    path.write_bytes(packed)
    return Document(
        name,
        path,
        hashlib.sha256(packed).hexdigest(),
        len(text),
        f'"{hashlib.sha256(text).hexdigest()}-{which}"',
        MEDIA_TYPES[which],
        packed=True,
    )
