"""Reads the Simple API (PEP 503, PEP 691): the list of projects and a project's page.

Rule: what comes as JSON stays as it is, entry for entry; HTML is turned into the
entries that JSON would have had. Addresses are understood from where the page was found.
Optional values that make no sense are as if they were not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urljoin

import msgspec

from ecosystems.errors import BadIndex
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
    meta: object = None
    name: object = None
    status: object = None


class _Links(msgspec.Struct, gc=False):
    url: object = None


class _Name(msgspec.Struct, gc=False, rename={"serial": "_last-serial"}):
    name: object = None
    serial: object = None


class _Index(msgspec.Struct):
    projects: list[msgspec.Raw]
    meta: object = None


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

    `serial` is the upstream's number of its last change, `hosts` the servers of its files.
    """

    body: bytes
    count: int
    serial: int | None = None
    hosts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Index:
    """A list of projects in their one spelling, with serials; `others` cannot be projects."""

    names: dict[str, int | None] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def project(text: bytes, *, name: str, requested_url: str, url: str) -> Page:
    """Read a project's page, requested at one address and found at another or the same."""
    if _is_html(text):
        return _html_project(text, name=name, requested_url=requested_url, url=url)
    try:
        # Entries stay bytes, so what is no text would come through to clients.
        text.decode()
        page = _project_decoder.decode(text)
    except _BROKEN as error:
        raise BadIndex(f"The page of {name} cannot be read: {error}.") from error
    _check_version(_meta(page.meta, "api-version"), name)
    if isinstance(page.name, str) and page.name and normalize(page.name) != name:
        raise BadIndex(f"The page of {name} calls itself {page.name}.")
    resolved = [_resolved(bytes(raw), requested_url, url) for raw in page.files]
    body = join(Body(name, [raw for raw, _ in resolved], status=_status(page.status)))
    serial = _serial(_meta(page.meta, "_last-serial"))
    return Page(body, len(resolved), serial, _hosts(address for _, address in resolved))


def index(text: bytes, *, url: str) -> Index:
    """The list of projects, found at `url`."""
    if _is_html(text):
        return _html_index(text, url)
    try:
        text.decode()
        page = _index_decoder.decode(text)
        try:
            listed = _names_decoder.decode(text).projects
        # One odd entry does not hide the others.
        except msgspec.ValidationError:
            listed = [_named(bytes(raw)) for raw in page.projects]
    except _BROKEN as error:
        raise BadIndex(f"The list of projects cannot be read: {error}.") from error
    _check_version(_meta(page.meta, "api-version"), "projects")
    projects = Index()
    for entry in listed:
        _add(projects, entry.name, _serial(entry.serial))
    return projects


def _add(projects: Index, name: object, serial: int | None = None) -> None:
    """Of two spellings of one name the first is taken."""
    normalized = normalize(name) if isinstance(name, str) and is_name(name) else ""
    if not normalized or normalized in projects.names:
        projects.others.append(str(name)[:100])
    else:
        projects.names[normalized] = serial


def _named(raw: bytes) -> _Name:
    try:
        return _name_decoder.decode(raw)
    except msgspec.ValidationError:
        return _Name(f"({raw[:100].decode(errors='replace')})")


def _meta(meta: object, key: str) -> object:
    return meta.get(key) if isinstance(meta, dict) else None


def _serial(value: object) -> int | None:
    """A serial, which some tools write as text; None for none that makes sense."""
    # 18 digits fit into 64 bits.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 1 << 63 else None


def _status(value: object) -> bytes:
    """A project's status as JSON; b"" where it is none of PEP 792."""
    if not isinstance(value, dict) or value.get("status") not in STATUSES:
        return b""
    status = {"status": value["status"]}
    if isinstance(value.get("reason"), str):
        status["reason"] = value["reason"]
    return msgspec.json.encode(status)


def _check_version(version: object, page: str) -> None:
    """Refuse a later major version; what says none, or nothing that makes sense, is the first."""
    number = isinstance(version, int | float) and not isinstance(version, bool)
    text = str(version) if number or isinstance(version, str) else ""
    if text.partition(".")[0].strip() not in ("1", ""):
        raise BadIndex(f"The page of {page} is of version {text} of the Simple API; 1 is known.")


def _is_html(text: bytes) -> bool:
    return text[:512].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _resolved(raw: bytes, requested_url: str, page_url: str) -> tuple[bytes, str]:
    """The entry, with addresses that only its page's own address makes sense of made absolute.

    With it comes where its file lies, "" where that is not to be known.
    """
    try:
        links = _links_decoder.decode(raw)
        url = links.url if isinstance(links.url, str) else ""
        absolute = not url or url.startswith(("https://", "http://"))
        full = url if absolute else urljoin(page_url, url)
        moved = requested_url != page_url and not absolute
        moved = moved and full != urljoin(requested_url, url)
    except (*_BROKEN, ValueError):
        # It is refused when the records are read.
        return raw, ""
    if not moved:
        return raw, full
    values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    values["url"] = msgspec.Raw(msgspec.json.encode(full))
    return msgspec.json.encode(values), full


def _hosts(addresses: Iterable[str]) -> frozenset[str]:
    """The servers of these addresses, as `scheme://host[:port]`."""
    hosts: set[str] = set()
    for address in addresses:
        parts = address.split("/", 3)
        if len(parts) > 2 and parts[0].lower() in ("http:", "https:"):
            hosts.add("/".join(parts[:3]))
    return frozenset(hosts)


def _html_project(text: bytes, *, name: str, requested_url: str, url: str) -> Page:
    parser = anchors.Parser(text)
    _check_version(parser.version, name)
    entries = list(anchors.entries(parser, requested_url, url))
    state = parser.metas.get("pypi:project-status", "")
    reason = parser.metas.get("pypi:project-status-reason") or None
    status = _status({"status": state, "reason": reason})
    if not entries and not parser.version and not status:
        raise BadIndex(f"The page of {name} is a web page without files or a version of its form.")
    body = Body(name, [raw for raw, _ in entries], status=status)
    return Page(join(body), len(entries), hosts=_hosts(address for _, address in entries))


def _html_index(text: bytes, url: str) -> Index:
    parser = anchors.Parser(text)
    _check_version(parser.version, "projects")
    names, others = anchors.projects(parser, url)
    if not parser.version:
        _refuse_home_page(names, others, url)
    projects = Index(others=[link[:100] for link in others])
    for name in names:
        _add(projects, name)
    return projects


def _refuse_home_page(names: list[str], others: list[str], url: str) -> None:
    """A page that states no version is an index only if most of its links are projects."""
    home = urljoin(url, ".")
    # A page that links to a folder `simple` is the page above the index.
    above = not home.endswith("/simple/") and any(
        urljoin(home, link).rstrip("/") == f"{home}simple" for link in (*names, *others)
    )
    if not names or len(others) > len(names) or above:
        raise BadIndex("The index is a web page, and no list of projects.")
