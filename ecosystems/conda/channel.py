"""What a conda channel consists of: subdirs, file names, addresses, client set-up.

Names follow CEP 26. A file name that breaks it is never written anywhere.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

from ecosystems.documents import Location
from ecosystems.upstream.decode import Encoding

KNOWN_SUBDIRS = (
    "noarch",
    "linux-64",
    "linux-aarch64",
    "linux-ppc64le",
    "linux-s390x",
    "linux-riscv64",
    "linux-32",
    "linux-armv6l",
    "linux-armv7l",
    "linux-ppc64",
    "osx-64",
    "osx-arm64",
    "win-64",
    "win-arm64",
    "win-32",
    "linux-loongarch64",
    "linux-riscv32",
    "linux-ppc",
    "android-64",
    "android-aarch64",
    "ios-arm64",
    "emscripten-wasm32",
    "wasi-wasm32",
    "freebsd-64",
    "zos-z",
)
"""The subdirs clients know, `noarch` and the usual ones first."""

INDEX_NAMES: tuple[tuple[str, Encoding], ...] = (
    ("repodata.json.zst", "zst"),
    ("repodata.json", "identity"),
    ("repodata.json.bz2", "bz2"),
)
"""What to ask an upstream for, in this order, and how each is encoded."""

SHARDS = "shards"
"""The folder of a subdir's shards."""
ROOT_FILES = frozenset({"channeldata.json", "notices.json"})

# The limits of CEP 26.
LONGEST_FILE = 211
LONGEST_NAME = 64

_SUBDIR = re.compile(r"noarch|[a-z0-9]+-[a-z0-9]+")
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_VERSION = re.compile(r"[A-Za-z0-9_.!+]{1,64}")
_BUILD = re.compile(r"[A-Za-z0-9_.+]{1,64}")
_EXTENSIONS = (".conda", ".tar.bz2")
_SHARD = re.compile(r"([0-9a-f]{64})\.msgpack\.zst")


class FileName(NamedTuple):
    """The parts of `name-version-build.conda`."""

    name: str
    version: str
    build: str
    extension: str


def is_subdir(text: str) -> bool:
    """Whether `text` can be a subdir at all (CEP 26), known or not."""
    return len(text) <= 32 and _SUBDIR.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` is a package name in the one form that names have here."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def normalize(name: str) -> str:
    """The form of a package name under which it is stored and compared."""
    return name.strip().lower()


def parse_file_name(file: str) -> FileName | None:
    """The parts of a file name; None if it breaks the naming rules."""
    extension = next((end for end in _EXTENSIONS if file.endswith(end)), "")
    # From the right: a name may hold dashes, version and build may not.
    parts = file.removesuffix(extension).rsplit("-", 2)
    if not extension or len(file) > LONGEST_FILE or len(parts) != 3:
        return None
    name, version, build = parts
    if not (is_name(name) and _VERSION.fullmatch(version) and _BUILD.fullmatch(build)):
        return None
    return FileName(name, version, build, extension)


def name_of(file: str) -> str | None:
    """The package name in a file name; None if the file name breaks the naming rules."""
    parsed = parse_file_name(file)
    return parsed.name if parsed else None


def locate(path: str) -> Location | None:
    """What a path below a channel names (CEP 26; shards: CEP 16); None for what is too deep."""
    match path.split("/"):
        case [filename]:
            return Location("", name_of(filename) or "", filename)
        case [section, filename]:
            return Location(section, name_of(filename) or "", filename)
        case [section, folder, filename] if folder == SHARDS:
            return Location(section, "", filename, shard=True)
    return None


def shard_digest(filename: str) -> str:
    """The hash that the file name of a served shard says (CEP 16); "" for any other."""
    match = _SHARD.fullmatch(filename)
    return match[1] if match else ""


def section_url(base: str, subdir: str, name: str) -> str:
    """The address of file `name` of a subdir; `base` is the channel's address."""
    return f"{base.rstrip('/')}/{subdir}/{name}"


def origin_base(index_url: str, base_url: str) -> str:
    """Where an index's files are, ending in `/`: beside it unless it says otherwise (CEP 15)."""
    beside = urljoin(index_url, ".")
    if not base_url:
        return beside
    # With a slash at the end: without one the last part would be replaced.
    return urljoin(beside, base_url.rstrip("/") + "/")


def client_setup(url: str, token: str = "") -> dict[str, str]:
    """What to paste to use the channel at `url`, by client."""
    address = with_token(url, token)
    return {
        "conda": f"channels:\n  - {address}\nchannel_priority: strict\n",
        "conda once": f"conda install --override-channels -c {address} PACKAGE",
        "mamba": f"mamba install --override-channels -c {address} PACKAGE",
        "pixi": f'[workspace]\nchannels = ["{address}"]\n',
    }


def with_token(url: str, token: str) -> str:
    """The channel's address with the token where every client looks for it: behind the host."""
    if not token:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/t/{token}{parts.path}"))
