"""Addresses under /api/repo: one normaliser, used before anybody is let in or anything looked up.

    /api/repo/<channel>[/<subchannel>][.r<n> | .<date>]/<section>/<file>
    /api/repo/<channel>[/<subchannel>][.r<n> | .<date>]/<section>/shards/<hash>.msgpack.zst

    /api/repo/<channel>[/<subchannel>][.r<n> | .<date>]/<prefix>/<what the ecosystem says>

with a token in front of it (`/t/<token>/api/repo/...`) or in it (`/api/repo/t/<token>/...`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ecosystems import registry

PREFIX = "/api/repo/"
TOKEN = "/t/"
LONGEST = 1024
AT_ROOT = registry.at_root()
_SECTIONS = frozenset(AT_ROOT.sections([]))
PREFIXES = registry.prefixed()
_MARKS = {f"/{prefix}/": ecosystem for prefix, ecosystem in PREFIXES.items()}

# What a server, a proxy and a file system might each read differently is in no address of ours.
_CLEAN = re.compile(r"(?:(?!\.{1,2}(?:/|$))[A-Za-z0-9_.+!=~@,:&'()*$-]+(?:/|$))+")
_CHANNEL = re.compile(
    r"([a-z][a-z0-9_-]{0,63})(?:\.(r[1-9][0-9]{0,8}|[0-9]{4}-[0-9]{2}-[0-9]{2}))?"
)
_API = re.compile(PREFIX + "(?:channels|account|namespaces|namespace-channels)(?:/|$)")


class BadAddress(Exception):
    """An address that names nothing; `str()` is a sentence for whoever asked."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """What a path asks for. `filename` is "" for a folder; `section` is "" at a channel's root."""

    token: str
    channel: str
    revision: str = ""
    """Without its dot: `r<number>`, `YYYY-MM-DD`, or "" for what is current."""
    section: str = ""
    filename: str = ""
    shard: bool = False
    prefix: str = ""
    """The word behind which an ecosystem's own addresses begin."""
    inside: str = ""
    """What follows the prefix, as it was asked for; "/" at least if that was a folder."""

    @property
    def name(self) -> str:
        """The package that a file at the root's sections is of; "" for an index file."""
        return AT_ROOT.package_name(self.filename) or ""

    @property
    def root(self) -> bool:
        """Whether this is the address of the channel itself."""
        return not self.section and not self.filename and not self.prefix


def ours(path: str) -> bool:
    """Whether a path is for this package rather than for Django, which logs what it does not know.

    So everything with a token in it is.
    """
    return path.startswith((PREFIX, TOKEN))


def alias(path: str) -> str:
    """The address in the REST API that a path below `PREFIX` stands for; "" = none.

    The vendor's newer client has all of the API there; no channel has one of these names.
    """
    return f"/api/{path[len(PREFIX) :]}" if _API.match(path) else ""


def form(path: str, accept: str) -> str:
    """Which form of what lies at a path an `Accept` header asks for; "" = there is one."""
    for mark, ecosystem in _MARKS.items():
        if mark in path:
            return ecosystem.preferred_form(accept)
    return ""


def parse(path: str) -> Address:
    """The address a decoded path names, or `BadAddress`."""
    token = ""
    if path.startswith(TOKEN):
        token, _, path = path[len(TOKEN) :].partition("/")
        path = f"/{path}"
        if not path.startswith(PREFIX):
            raise BadAddress(404, f"Behind a token comes {PREFIX}<channel>.")
    inside = path[len(PREFIX) :]
    if inside.startswith("t/"):
        inner, _, inside = inside[2:].partition("/")
        token = token or inner
    if len(inside) > LONGEST or not _CLEAN.fullmatch(inside):
        raise BadAddress(400, "The address has parts that no channel and no file has.")
    folder = inside.endswith("/")
    parts = inside.rstrip("/").split("/")
    return _address(token, parts, folder=folder)


def _address(token: str, parts: list[str], *, folder: bool) -> Address:
    # An ecosystem's prefix first: below it lie names of packages, which could look like sections.
    for depth in (1, 2):
        if len(parts) > depth and parts[depth] in PREFIXES:
            return _prefixed(token, parts, depth, folder=folder)
    channel, revision, inner = _channel(parts, folder=folder)
    if folder and inner:
        raise BadAddress(404, "Folders are not listed here; ask for a file.")
    if not inner:
        return Address(token, channel, revision)
    location = AT_ROOT.locate("/".join(inner), "")
    if location is None:
        raise BadAddress(404, "No such path in this channel.")
    section, filename = location.section, location.filename
    return Address(token, channel, revision, section, filename, shard=location.shard)


def _prefixed(token: str, parts: list[str], depth: int, *, folder: bool) -> Address:
    name, revision = _name(parts[0])
    if depth > 1:
        name, revision = _child(name, revision, parts[1])
    inside = "/".join(parts[depth + 1 :]) + ("/" if folder else "")
    return Address(token, name, revision, prefix=parts[depth], inside=inside)


def _channel(parts: list[str], *, folder: bool) -> tuple[str, str, list[str]]:
    """The channel's path, its revision, and the parts behind them."""
    name, revision = _name(parts[0])
    inner = parts[1:]
    if not _has_subchannel(inner, folder=folder):
        return name, revision, inner
    return *_child(name, revision, inner[0]), inner[1:]


def _child(name: str, revision: str, part: str) -> tuple[str, str]:
    if revision:
        raise BadAddress(404, "A revision is named behind the subchannel: parent/sub.r3.")
    child, revision = _name(part)
    return f"{name}/{child}", revision


def _has_subchannel(parts: list[str], *, folder: bool) -> bool:
    """Sections and subchannels share their place; what follows tells them apart."""
    match parts:
        case [name]:
            return name not in AT_ROOT.root_files and name not in _SECTIONS and _is_name(name)
        case [name, filename]:
            return filename in AT_ROOT.root_files or (folder and name not in _SECTIONS)
        case [_, _, _]:
            return AT_ROOT.locate("/".join(parts), "") is None
        case [_, *inner] if len(inner) == 3:
            return AT_ROOT.locate("/".join(inner), "") is not None
    return False


def _is_name(part: str) -> bool:
    return _CHANNEL.fullmatch(part) is not None


def _name(part: str) -> tuple[str, str]:
    match = _CHANNEL.fullmatch(part)
    if match is None:
        raise BadAddress(404, f"There is no channel {part}.")
    return match[1], match[2] or ""
