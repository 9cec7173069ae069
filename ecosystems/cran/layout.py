"""Where things lie in a CRAN-like repository, what they are called, and how clients are set up."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

PREFIX = "cran"
"""What stands in front of a section in the addresses of this server."""

SOURCE = "src/contrib"
ARCHIVE = "Archive/"
META_ARCHIVE = "Meta/archive.rds"
META_CURRENT = "Meta/current.rds"
INDEX = "PACKAGES"

# What file systems take as one name.
LONGEST_FILE = 255
LONGEST_NAME = 128

_BINARIES: tuple[tuple[str, str, int, int], ...] = (
    ("bin/windows/contrib", "3", 4, 6),
    ("bin/windows/contrib", "4", 0, 9),
    ("bin/macosx/contrib", "4", 0, 2),
    ("bin/macosx/el-capitan/contrib", "3", 4, 6),
    ("bin/macosx/big-sur-arm64/contrib", "4", 1, 7),
    ("bin/macosx/big-sur-x86_64/contrib", "4", 3, 7),
    ("bin/macosx/sonoma-arm64/contrib", "4", 6, 7),
    ("bin/macos/arm64/contrib", "4", 7, 9),
    ("bin/macos/x86_64/contrib", "4", 7, 9),
    ("bin/emscripten/contrib", "4", 2, 9),
)
"""The folders of binaries that are looked for: folder, major version, first and last minor."""
SECTIONS = (
    SOURCE,
    *(
        f"{folder}/{major}.{minor}"
        for folder, major, first, last in _BINARIES
        for minor in range(first, last + 1)
    ),
)
"""What is looked for, the sources first."""

_EXTENSIONS = {"windows": ".zip", "macosx": ".tgz", "macos": ".tgz", "emscripten": ".tgz"}
"""How the binaries of a system end; sources, and binaries for Linux, are `.tar.gz`."""

_SECTION = re.compile(
    r"src/contrib|bin/[a-z][a-z0-9_-]{0,31}/(?:[a-z0-9][a-z0-9_.-]{0,63}/)?contrib/"
    r"[0-9]{1,2}\.[0-9]{1,2}"
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]")
# Writing R Extensions 1.1.1: letters, digits and dots, at least two, and no dot at the end.
_FILE = re.compile(
    r"([A-Za-z][A-Za-z0-9.]*[A-Za-z0-9])_([0-9]+(?:[.-][0-9]+)+)(\.tar\.gz|\.tgz|\.zip)"
)
# The look-aheads refuse `.` and `..` as a part: a way must not lead out of its section.
_PLACE = re.compile(r"(?:(?!\.{1,2}/)[A-Za-z0-9._+~-]+/){0,8}(?!\.{1,2}\Z)[A-Za-z0-9._+~-]+")


def is_section(text: str) -> bool:
    """Whether `text` can be a folder with an index, known or not."""
    return _SECTION.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` is the name of a package of R."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_place(text: str) -> bool:
    """Whether `text` is the way to a file below a section, and no way out of it."""
    return len(text) <= LONGEST_FILE * 2 and _PLACE.fullmatch(text) is not None


def file_parts(filename: str) -> tuple[str, str] | None:
    """Name and version that a file name says; None if it is not one of a package of R."""
    match = _FILE.fullmatch(filename)
    return (match[1], match[2]) if match and len(filename) <= LONGEST_FILE else None


def extension_of(section: str) -> str:
    """How the files of a section end."""
    parts = section.split("/")
    return _EXTENSIONS.get(parts[1], ".tar.gz") if parts[0] == "bin" else ".tar.gz"


def plain(way: str) -> str | None:
    """A way below a section without its clumsy parts (`./x`, `x//y`); None if it leads out."""
    parts = [part for part in way.strip().split("/") if part not in ("", ".")]
    return None if ".." in parts else "/".join(parts)


def archive_place(name: str, filename: str) -> str:
    """Where an archived version lies, below its section."""
    return f"{ARCHIVE}{name}/{filename}"


def locate(path: str) -> tuple[str, str] | None:
    """The section and the file name that a path behind the prefix means.

    Both places of a version, the current and the archived one, mean the same file.
    """
    match = _SECTION.match(path)
    section, below = (match[0], path[match.end() :]) if match else ("", "")
    if len(below) < 2 or below[0] != "/":
        return None
    below = below[1:]
    if "/" not in below or below in (META_ARCHIVE, META_CURRENT):
        return section, below
    if section != SOURCE or not below.startswith(ARCHIVE):
        return None
    folder, _, filename = below[len(ARCHIVE) :].partition("/")
    parts = file_parts(filename)
    # CRAN archives a version in the folder of its package; no other folder has it.
    return (section, filename) if parts and parts[0] == folder else None


def client_setup(url: str, token: str = "") -> dict[str, str]:
    """What to paste to use the channel at `url` from R, by client."""
    address = f"{with_token(url, token)}/{PREFIX}"
    return {
        ".Rprofile": f'local(options(repos = c(CRAN = "{address}")))\n',
        "R once": f'install.packages("PACKAGE", repos = "{address}")\n',
        "renv": f'renv::init(repos = c(CRAN = "{address}"))\n',
        "pak": f'options(repos = c(CRAN = "{address}"))\npak::pkg_install("PACKAGE")\n',
    }


def with_token(url: str, token: str) -> str:
    """The channel's address with the token where every client looks for it: behind the host."""
    if not token:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/t/{token}{parts.path}"))
