"""Reads the records out of a shard's body: one per file, checked, or Invalid with the reason.

Rule: one bad entry never costs its neighbours. All are decoded in one go; only where that
fails is each looked at alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from ecosystems.base import Invalid, Record
from ecosystems.python.body import License, filename_of, split
from ecosystems.python.names import METADATA, is_file, version_of

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<place>[^/?]*))?")
_NOBODY: License = ("", "")


class Entry(msgspec.Struct, gc=False, rename="kebab"):
    """The fields of a file entry that we or clients rely on, with the types they must have."""

    filename: str
    url: str
    hashes: dict[str, str] = {}
    size: int | None = None
    upload_time: str | None = None
    requires_python: str | None = None
    yanked: bool | str | None = None
    provenance: str | None = None
    core_metadata: bool | dict[str, str] | None = None
    dist_info_metadata: bool | dict[str, str] | None = None
    data_dist_info_metadata: bool | dict[str, str] | None = None

    @property
    def metadata(self) -> str:
        """The sha256 of the wheel's metadata where the upstream serves it and says it; or ""."""
        for one in (self.core_metadata, self.dist_info_metadata, self.data_dist_info_metadata):
            if isinstance(one, dict) and _SHA256.fullmatch(one.get("sha256", "")):
                return one["sha256"].lower()
        return ""


class PythonRecord(Record, gc=False, kw_only=True):
    """One file of a project."""

    def value(self, key: str) -> str | int | None:
        found = msgspec.json.decode(self.raw, type=dict[str, Any]).get(key)
        return found if isinstance(found, str | int) else None


class _Entries(msgspec.Struct):
    files: list[Entry]


_entry_decoder = msgspec.json.Decoder(Entry)
_entries_decoder = msgspec.json.Decoder(_Entries)


def records(body: bytes, *, name: str) -> list[Record | Invalid]:
    """The records of a project, in the order of their file names."""
    stored = split(body)
    try:
        decoded: list[Entry | Invalid] = [*_entries_decoder.decode(body).files]
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = [_alone(raw) for raw in stored.files]
    found: list[Record | Invalid] = []
    seen: set[str] = set()
    for raw, entry in zip(stored.files, decoded, strict=True):
        if isinstance(entry, Invalid):
            found.append(entry)
            continue
        key = entry.filename.lower()
        if key in seen:
            found.append(Invalid(entry.filename, "the upstream lists a file of this name twice"))
            continue
        seen.add(key)
        found.append(_checked(entry, raw, name, stored.licenses))
    return found


def newest(body: bytes) -> int:
    """The newest upload time in a body, in milliseconds; 0 if no entry tells one."""
    try:
        files = _entries_decoder.decode(body).files
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    return max((milliseconds(one.upload_time or "") or 0 for one in files), default=0)


@lru_cache(maxsize=65536)
def milliseconds(text: str) -> int | None:
    """An upload time in milliseconds since 1970 UTC; None for none that makes sense."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _alone(raw: bytes) -> Entry | Invalid:
    try:
        return _entry_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Invalid(filename_of(raw)[:240], f"its entry cannot be read: {error}")


def _checked(entry: Entry, raw: bytes, name: str, licenses: dict[str, License]) -> Record | Invalid:
    filename = entry.filename
    if not is_file(filename):
        return Invalid(filename[:240], "its file name has characters that no address may have")
    version = version_of(filename, name)
    if version is None:
        return Invalid(filename, f"its file name does not name {name} and a version")
    sha256, md5 = entry.hashes.get("sha256", ""), entry.hashes.get("md5", "")
    sha256 = sha256.lower() if _SHA256.fullmatch(sha256) else ""
    md5 = md5.lower() if _MD5.fullmatch(md5) else ""
    if not sha256 and not md5:
        return Invalid(
            filename, "the upstream states no sha256 and no md5, so nobody could verify it"
        )
    address = _address(entry.url, name)
    if address is None:
        return Invalid(filename, "its address is not one of http or https without a login")
    stated = licenses.get(version, _NOBODY)
    metadata = entry.metadata
    return PythonRecord(
        filename=filename,
        raw=raw,
        name=name,
        version=version,
        license=stated[0],
        license_family=stated[1],
        timestamp=milliseconds(entry.upload_time) if entry.upload_time else None,
        size=entry.size if entry.size is not None and entry.size >= 0 else -1,
        sha256=sha256,
        md5=md5,
        address=address,
        beside=(_metadata(filename, metadata, name, version, address),) if metadata else (),
    )


def _metadata(filename: str, sha256: str, name: str, version: str, address: str) -> Record:
    """The file with a wheel's metadata, which resolvers ask for in place of the wheel."""
    return PythonRecord(
        filename=filename + METADATA,
        name=name,
        version=version,
        sha256=sha256,
        address=_behind(address),
    )


def _behind(address: str) -> str:
    """The address of the metadata: the file's with an ending, before any query."""
    path, mark, query = address.partition("?")
    return f"{path}{METADATA}{mark}{query}"


def _address(url: str, name: str) -> str | None:
    """Where a file lies, absolute or as seen from the index; None for what is no such place."""
    plain = url.partition("#")[0].strip()
    parts = _URL.match(plain)
    if not plain or parts is None or "@" in (parts["place"] or ""):
        return None
    if parts["scheme"]:
        known = parts["scheme"].lower() in ("http", "https") and parts["place"]
        return plain if known else None
    return plain if plain.startswith("/") else f"{name}/{plain}"
