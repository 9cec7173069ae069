"""What Python projects and their files are called.

Names are compared in the one spelling of the Simple API. A file name is read
against the project it stands under, because a dash may belong to the name, to
the version or between them.
"""

from __future__ import annotations

import re

from packaging.version import InvalidVersion, Version

from ecosystems import memo

LONGEST_NAME = 128
LONGEST_FILE = 240
METADATA = ".metadata"

_RUNS = re.compile(r"[-_.]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# What an address may consist of: nothing that proxies and file systems read differently.
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!=~@,-]*")
_ARCHIVES = (
    *(".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z", ".tar"),
    *(".tbz", ".txz", ".tlz", ".tar.lz", ".tar.lzma"),
)
_OLD = (".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg")
_PLATFORM = re.compile(r"[.-](?:win|linux|macosx|cygwin|noarch|src|i[3-6]86|x86_64|py\d).*")
WHEEL = ".whl"
VARIANTS = "-variants.json"
"""Ends the name of the file that describes the variant wheels of one version (PEP 825)."""
WHEEL_PARTS = (5, 6, 7)
_PYTHON_TAG = re.compile(r"[A-Za-z]{2,}[0-9]")
_LABEL = re.compile(r"[0-9a-z._]{1,16}")
_SIMILAR = ("7z", "bz2", "gz", "lz", "lzma", "rar", "xz", "zst")


def normalize(name: str) -> str:
    """The spelling under which a project is stored and compared."""
    return _RUNS.sub("-", name.strip()).lower()


def is_name(text: str) -> bool:
    """Whether `text` can be a project's name, in any spelling."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def is_file(text: str) -> bool:
    """Whether `text` can be a file's name here: its characters, not its parts."""
    return len(text) <= LONGEST_FILE and _FILE.fullmatch(text) is not None


def is_sdist(text: str) -> bool:
    """Whether `text` ends as a source distribution does."""
    return text.endswith(_ARCHIVES)


def wheel_tags(filename: str) -> tuple[str, str, str] | None:
    """The Python, ABI and platform tags in a wheel's name; None for what is no wheel."""
    parts = _stem(filename)[0].split("-") if filename.endswith(WHEEL) else []
    if len(parts) not in WHEEL_PARTS:
        return None
    has_build = parts[2][:1].isdigit()
    return parts[2 + has_build], parts[3 + has_build], parts[4 + has_build]


def is_distribution(text: str) -> bool:
    """Whether `text` ends as a file does that a client can install from."""
    return _stem(text)[0] != ""


def seems_distribution(text: str) -> bool:
    """Whether whoever lists this file takes it for a distribution, though it may be none here."""
    lower = text.lower()
    return is_distribution(lower) or lower.rpartition(".")[2] in _SIMILAR


def name_of(filename: str) -> str | None:
    """The project that a distribution's file name (or its metadata's) seems to belong to."""
    plain = filename.removesuffix(METADATA)
    if not is_file(plain):
        return None
    stem, is_wheel = _stem(plain)
    if not stem:
        return None
    name, dash, version = stem.partition("-") if is_wheel else stem.rpartition("-")
    return normalize(name) if dash and version and is_name(name) else None


def version_of(filename: str, project: str) -> str | None:
    """The version in the name of one of the project's files, None where it has none of ours."""
    stem, is_wheel = _stem(filename)
    if is_wheel:
        parts = stem.split("-")
        if len(parts) not in WHEEL_PARTS or not is_name(parts[0]):
            return None
        if normalize(parts[0]) != project or not _is_wheel_form(parts):
            return None
        # An underscore stands for a dash there (the binary distribution format).
        return canonical_version(parts[1].replace("_", "-"))
    # From the left: the shortest name that is the project's leaves the longest version.
    at = stem.find("-")
    while at > 0:
        if is_name(stem[:at]) and normalize(stem[:at]) == project:
            version = _version_at_end(stem[at + 1 :], old=filename.endswith(_OLD))
            if version is not None:
                return version
        at = stem.find("-", at + 1)
    return None


def _is_wheel_form(parts: list[str]) -> bool:
    """Five parts, a build tag that begins with a digit (PEP 427), a variant label (PEP 825)."""
    has_build = parts[2][:1].isdigit()
    # A label follows the platform; of six parts the third tells whether it is one.
    if len(parts) == 5 + has_build:
        return True
    return (
        len(parts) == 6 + has_build
        and _LABEL.fullmatch(parts[-1]) is not None
        and _PYTHON_TAG.match(parts[2 + has_build]) is not None
    )


def _version_at_end(text: str, *, old: bool) -> str | None:
    """The version that the end of a name says; in old formats a platform follows it."""
    without_platform = canonical_version(_PLATFORM.sub("", text)) if old else None
    return without_platform or canonical_version(text)


@memo.short(65536)
def canonical_version(text: str) -> str | None:
    """The one spelling of a version; None for what PEP 440 does not know."""
    try:
        return str(Version(text))
    except InvalidVersion:
        return None


@memo.short(65536)
def version(text: str) -> Version:
    """A canonical version, ready to be compared."""
    return Version(text)


def _stem(filename: str) -> tuple[str, bool]:
    """The file name without its ending, and whether it is a wheel's; "" for no distribution."""
    if filename.endswith(WHEEL):
        return filename[: -len(WHEEL)], True
    if filename.endswith(VARIANTS):
        return filename[: -len(VARIANTS)], False
    ending = next((end for end in (*_ARCHIVES, *_OLD) if filename.endswith(end)), "")
    return (filename[: -len(ending)], False) if ending else ("", False)
