"""Reads the Simple API: the list of projects and a project's page, as JSON or as HTML.

Rule: what comes as JSON stays as it is, entry for entry; HTML is turned into the
entries that JSON would have had. Addresses are understood from where the page was found.
Optional values that make no sense are as if they were not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import msgspec

from ecosystems.base import BadIndex
from ecosystems.python import anchors
from ecosystems.python.body import Body, join
from ecosystems.python.names import is_name, normalize

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
ACCEPT = f"{JSON_TYPE}, {HTML_TYPE};q=0.2, text/html;q=0.1"
ACCEPT_HTML = "text/html"
STATUSES = ("active", "archived", "deprecated", "quarantined")
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Project(msgspec.Struct, rename={"status": "project-status"}):
    files: list[msgspec.Raw]
    meta: Any = None
    name: Any = None
    status: Any = None


class _Links(msgspec.Struct, gc=False):
    url: Any = None


class _Name(msgspec.Struct, gc=False, rename={"serial": "_last-serial"}):
    name: Any = None
    serial: Any = None


class _Index(msgspec.Struct):
    projects: list[msgspec.Raw]
    meta: Any = None


class _Names(msgspec.Struct):
    projects: list[_Name]


_project_decoder = msgspec.json.Decoder(_Project)
_index_decoder = msgspec.json.Decoder(_Index)
_names_decoder = msgspec.json.Decoder(_Names)
_name_decoder = msgspec.json.Decoder(_Name)
_links_decoder = msgspec.json.Decoder(_Links)


@dataclass(frozen=True, slots=True)
class Page:
    """A project's page as read.

    `serial` is the upstream's number of its last change, `places` the servers of its files.
    """

    body: bytes
    count: int
    serial: int | None = None
    places: frozenset[str] = frozenset()


@dataclass(slots=True)
class Index:
    """A list of projects in their one spelling, with serials; `others` cannot be projects."""

    names: dict[str, int | None] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def project(text: bytes, *, name: str, asked: str, found: str) -> Page:
    """Read a project's page, asked for at one address and found at another or the same."""
    if _is_html(text):
        return _html_project(text, name=name, asked=asked, found=found)
    try:
        # Entries stay bytes, so what is no text would come through to clients.
        text.decode()
        page = _project_decoder.decode(text)
    except _BROKEN as error:
        raise BadIndex(f"The page of {name} cannot be read: {error}.") from error
    _check_version(_meta(page.meta, "api-version"), name)
    if isinstance(page.name, str) and page.name and normalize(page.name) != name:
        raise BadIndex(f"The page of {name} calls itself {page.name}.")
    resolved = [_resolved(bytes(raw), asked, found) for raw in page.files]
    body = join(Body(name, [raw for raw, _ in resolved], status=_status(page.status)))
    serial = _serial(_meta(page.meta, "_last-serial"))
    return Page(body, len(resolved), serial, _places(place for _, place in resolved))


def index(text: bytes, *, found: str) -> Index:
    """The list of projects, found at an address."""
    if _is_html(text):
        return _html_index(text, found)
    try:
        text.decode()
        page = _index_decoder.decode(text)
        try:
            listed = _names_decoder.decode(text).projects
        except msgspec.ValidationError:
            listed = [_named(bytes(raw)) for raw in page.projects]
    except _BROKEN as error:
        raise BadIndex(f"The list of projects cannot be read: {error}.") from error
    _check_version(_meta(page.meta, "api-version"), "projects")
    made = Index()
    for one in listed:
        _add(made, one.name, _serial(one.serial))
    return made


def _add(made: Index, name: Any, serial: int | None = None) -> None:
    """Of two spellings of one name the first is taken."""
    right = normalize(name) if isinstance(name, str) and is_name(name) else ""
    if not right or right in made.names:
        made.others.append(str(name)[:100])
    else:
        made.names[right] = serial


def _named(raw: bytes) -> _Name:
    try:
        return _name_decoder.decode(raw)
    except msgspec.ValidationError:
        return _Name(f"({raw[:100].decode(errors='replace')})")


def _meta(meta: Any, key: str) -> Any:
    return meta.get(key) if isinstance(meta, dict) else None


def _serial(value: Any) -> int | None:
    """A serial, which some tools write as text; None for none that makes sense."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    number = isinstance(value, int) and not isinstance(value, bool)
    return value if number and 0 <= value < 1 << 63 else None


def _status(value: Any) -> bytes:
    """A project's status as JSON; b"" where it is none of PEP 792."""
    if not isinstance(value, dict) or value.get("status") not in STATUSES:
        return b""
    status = {"status": value["status"]}
    if isinstance(value.get("reason"), str):
        status["reason"] = value["reason"]
    return msgspec.json.encode(status)


def _check_version(version: Any, what: str) -> None:
    """Refuse a later major version; what says none, or nothing that makes sense, is the first."""
    number = isinstance(version, int | float) and not isinstance(version, bool)
    text = str(version) if number or isinstance(version, str) else ""
    if text.partition(".")[0].strip() not in ("1", ""):
        raise BadIndex(f"The page of {what} is of version {text} of the Simple API; 1 is known.")


def _is_html(text: bytes) -> bool:
    return text[:512].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _resolved(raw: bytes, asked: str, found: str) -> tuple[bytes, str]:
    """The entry, with addresses that only its page's own address makes sense of made absolute.

    With it comes where its file lies, "" where that is not to be known.
    """
    try:
        links = _links_decoder.decode(raw)
        url = links.url if isinstance(links.url, str) else ""
        absolute = not url or url.startswith(("https://", "http://"))
        full = url if absolute else urljoin(found, url)
        elsewhere = asked != found and not absolute and full != urljoin(asked, url)
    except (*_BROKEN, ValueError):
        # Told apart and refused when the records are read.
        return raw, ""
    if not elsewhere:
        return raw, full
    values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    values["url"] = msgspec.Raw(msgspec.json.encode(full))
    return msgspec.json.encode(values), full


def _places(addresses: Any) -> frozenset[str]:
    """The servers of these addresses, as `scheme://host[:port]`."""
    found: set[str] = set()
    for address in addresses:
        parts = address.split("/", 3)
        if len(parts) > 2 and parts[0].lower() in ("http:", "https:"):
            found.add("/".join(parts[:3]))
    return frozenset(found)


def _html_project(text: bytes, *, name: str, asked: str, found: str) -> Page:
    parser = anchors.Parser(text)
    _check_version(parser.version, name)
    entries = list(anchors.entries(parser, asked, found))
    state = parser.metas.get("pypi:project-status", "")
    reason = parser.metas.get("pypi:project-status-reason") or None
    status = _status({"status": state, "reason": reason})
    if not entries and not parser.version and not status:
        raise BadIndex(f"The page of {name} is a web page without files or a version of its form.")
    body = Body(name, [raw for raw, _ in entries], status=status)
    return Page(join(body), len(entries), places=_places(place for _, place in entries))


def _html_index(text: bytes, found: str) -> Index:
    parser = anchors.Parser(text)
    _check_version(parser.version, "projects")
    names, others = anchors.projects(parser, found)
    if not parser.version:
        _refuse_home_page(names, others, found)
    made = Index(others=[other[:100] for other in others])
    for name in names:
        _add(made, name)
    return made


def _refuse_home_page(names: list[str], others: list[str], found: str) -> None:
    """A page that states no version is an index only if most of its links are projects."""
    home = urljoin(found, ".")
    # Whoever links to a folder `simple` means that one.
    above = not home.endswith("/simple/") and any(
        urljoin(home, link).rstrip("/") == f"{home}simple" for link in (*names, *others)
    )
    if not names or len(others) > len(names) or above:
        raise BadIndex("The index is a web page, and no list of projects.")
