"""Reads the records out of a shard's body: one per file, checked, or Invalid with the reason.

Rule: one bad entry never costs its neighbors.
"""

from __future__ import annotations

import re

import msgspec

from ecosystems import checksums
from ecosystems.python import entries
from ecosystems.python.body import License, split
from ecosystems.python.entries import LARGEST_FILE, milliseconds
from ecosystems.python.names import (
    LONGEST_FILE,
    METADATA,
    is_distribution,
    is_file,
    version_of,
)
from ecosystems.records import Invalid, Record

QUARANTINED = "the upstream has quarantined the project"
LONGEST_REASON = 300
UNVERIFIED = "_unverified"
"""Marks an entry whose hash is that of the bytes that came first: its index states none."""

_URL = re.compile(r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<place>[^/?]*))?")
_NO_LICENSE: License = ("", "")
_LOCATION_KEYS = frozenset({"url", "filename", "hashes", "provenance"})
"""What says where the upstream keeps a file: the API shows our own address."""


class PythonRecord(Record, gc=False, kw_only=True):
    """One file of a project."""

    def value(self, key: str) -> str | int | None:
        field = msgspec.json.decode(self.raw, type=dict[str, object]).get(key)
        return field if isinstance(field, str | int) else None


def records(body: bytes, *, name: str) -> list[Record | Invalid]:
    """The records of a project: one for each of its body's files, in their order."""
    stored = split(body)
    decoded = entries.decode(body, stored.files)
    if quarantined(stored.status):
        why = _why_quarantined(stored.status)
        return [Invalid(entry.filename[:LONGEST_FILE], why) for entry in decoded]
    hashes = _hashes(decoded)
    checked = [
        entry
        if isinstance(entry, Invalid)
        else _check_entry(entry, raw, name, stored.licenses, hashes)
        for raw, entry in zip(stored.files, decoded, strict=True)
    ]
    return _without_twins(checked)


def _without_twins(checked: list[Record | Invalid]) -> list[Record | Invalid]:
    """One record for each name: the first that can be verified, else the first."""
    chosen: dict[str, Record] = {}
    # What cannot be used never hides a usable entry of the same name.
    for record in sorted(_records(checked), key=lambda record: record.unhashed):
        chosen.setdefault(record.filename.lower(), record)
    why = "the upstream lists a file of this name twice"
    return [
        record
        if isinstance(record, Invalid) or chosen[record.filename.lower()] is record
        else Invalid(record.filename, why)
        for record in checked
    ]


def _records(checked: list[Record | Invalid]) -> list[Record]:
    return [record for record in checked if isinstance(record, Record)]


def with_metadata(record: Record, sha256: str) -> Record:
    """The record of a wheel, with its own metadata, which its index does not offer."""
    values = msgspec.json.decode(record.raw, type=dict[str, object])
    published = {key: value for key, value in values.items() if key not in entries.METADATA_KEYS}
    published[entries.METADATA_KEYS[0]] = {checksums.SHA256: sha256}
    companion = _metadata(record.filename, sha256, record.name, record.version, record.address)
    raw = msgspec.json.encode(published)
    return msgspec.structs.replace(record, raw=raw, companions=(companion,))


def without_metadata(record: Record) -> Record:
    """The record without a word of its metadata file."""
    values = msgspec.json.decode(record.raw, type=dict[str, msgspec.Raw])
    published = {key: value for key, value in values.items() if key not in entries.METADATA_KEYS}
    return msgspec.structs.replace(record, raw=msgspec.json.encode(published), companions=())


def with_sha256(record: Record) -> Record:
    """The record, with its SHA-256 among the hashes that clients are told.

    Where its index states no hash, the entry says so: keys with an underscore are ours (PEP 691).
    """
    values = msgspec.json.decode(record.raw, type=dict[str, object])
    hashes = values.get("hashes")
    stated = hashes if isinstance(hashes, dict) else {}
    values["hashes"] = {**stated, checksums.SHA256: record.sha256}
    if record.unhashed:
        values[UNVERIFIED] = True
    return msgspec.structs.replace(record, raw=msgspec.json.encode(values))


def with_upload_time(record: Record, at: int) -> Record:
    """The record with a time of ours: some clients let a file without one pass no date limit."""
    values = msgspec.json.decode(record.raw, type=dict[str, msgspec.Raw])
    values["upload-time"] = msgspec.Raw(msgspec.json.encode(entries.timestamp(at)))
    return msgspec.structs.replace(record, raw=msgspec.json.encode(values))


def newest(body: bytes) -> int:
    """The newest upload time in a body, in milliseconds; 0 if no entry tells one."""
    times = (
        milliseconds(entry.upload_time or "") or 0
        for entry in entries.decode(body, split(body).files)
        if isinstance(entry, entries.Entry)
    )
    return max(times, default=0)


def yanked(body: bytes) -> frozenset[str]:
    """Names of files that the upstream has yanked: it means to take them back."""
    return frozenset(
        entry.filename
        for entry in entries.decode(body, split(body).files)
        if isinstance(entry, entries.Entry) and entry.yanked not in (None, False)
    )


def misstated_metadata(body: bytes) -> list[str]:
    """Names of files whose metadata hash is the hash of a listed file, so no metadata's."""
    decoded = entries.decode(body, split(body).files)
    hashes = _hashes(decoded)
    return [
        entry.filename
        for entry in decoded
        if isinstance(entry, entries.Entry) and entry.metadata and entry.metadata in hashes
    ]


def metadata(record: Record) -> dict[str, object]:
    """A file's entry as the API shows it: flat, with the names of core metadata."""
    entry = msgspec.json.decode(record.raw, type=dict[str, object])
    plain = {
        key.replace("-", "_"): value
        for key, value in entry.items()
        if key not in _LOCATION_KEYS and key != UNVERIFIED
    }
    return {
        **plain,
        "name": record.name,
        "version": record.version,
        "requires_python": plain.get("requires_python"),
        "license": record.license,
        "sha256": record.sha256,
        "unverified": record.unhashed or entry.get(UNVERIFIED) is True,
    }


def quarantined(status: bytes) -> bool:
    """Whether a project status says that the upstream withdrew the project as unsafe."""
    return bool(status) and msgspec.json.decode(status, type=_Status).status == "quarantined"


class _Status(msgspec.Struct):
    status: str = ""
    reason: str = ""


def _why_quarantined(status: bytes) -> str:
    reason = " ".join(msgspec.json.decode(status, type=_Status).reason.split())[:LONGEST_REASON]
    return f"{QUARANTINED}: {reason}" if reason else QUARANTINED


def _hashes(decoded: list[entries.Entry | Invalid]) -> set[str]:
    return {
        entry.hashes["sha256"].lower()
        for entry in decoded
        if isinstance(entry, entries.Entry) and "sha256" in entry.hashes
    }


def _check_entry(
    entry: entries.Entry, raw: bytes, name: str, licenses: dict[str, License], hashes: set[str]
) -> Record | Invalid:
    filename = entry.filename
    version = version_of(filename, name)
    if problem := _name_problem(filename, name, version):
        return Invalid(filename[:LONGEST_FILE], problem)
    assert version is not None
    usable = dict(checksums.usable(entry.hashes))
    sha256 = usable.get(checksums.SHA256, "")
    address = _address(entry.url, name)
    if address is None:
        return Invalid(filename, "its address is not one of http or https without a login")
    stated = licenses.get(version, _NO_LICENSE)
    uploaded_at = milliseconds(entry.upload_time) if entry.upload_time else None
    metadata = "" if entry.metadata in hashes else entry.metadata
    return PythonRecord(
        filename=filename,
        raw=raw,
        name=name,
        version=version,
        license=stated[0],
        license_family=stated[1],
        license_known=version in licenses,
        timestamp=uploaded_at,
        indexed_at=uploaded_at,
        size=entry.size if entry.size is not None and 0 <= entry.size <= LARGEST_FILE else -1,
        sha256=sha256,
        # Alone it counts as any other: files are never looked up by what can be forged.
        md5=usable.get(checksums.MD5, "") if sha256 else "",
        unhashed=not usable,
        checksum="" if sha256 else checksums.strongest(usable),
        address=address,
        companions=(_metadata(filename, metadata, name, version, address),) if metadata else (),
    )


def _name_problem(filename: str, project: str, version: str | None) -> str:
    """Why no file can have this name here; "" where one can."""
    if len(filename) > LONGEST_FILE:
        return f"its file name is too long: {len(filename)} characters, {LONGEST_FILE} at most"
    if not is_file(filename):
        return "its file name has characters that no address may have"
    if not is_distribution(filename):
        return "its file name does not end as one of a wheel or an archive of Python's does"
    return "" if version else f"its file name does not name {project} and a version"


def _metadata(filename: str, sha256: str, name: str, version: str, address: str) -> Record:
    """The file with a wheel's metadata, which resolvers ask for in place of the wheel."""
    return PythonRecord(
        filename=filename + METADATA,
        name=name,
        version=version,
        sha256=sha256,
        address=_metadata_address(address),
    )


def _metadata_address(address: str) -> str:
    """The address of the metadata: the file's with an ending, before any query."""
    path, mark, query = address.partition("?")
    return f"{path}{METADATA}{mark}{query}"


def _address(url: str, name: str) -> str | None:
    """Where a file lies, absolute or as seen from the index; None for what is no such place."""
    plain = url.partition("#")[0].strip()
    parts = _URL.match(plain)
    # A login in an address would be sent by everybody who fetches the file.
    if not plain or parts is None or "@" in (parts["place"] or ""):
        return None
    if parts["scheme"]:
        is_http = parts["scheme"].lower() in ("http", "https") and parts["place"]
        return plain if is_http else None
    # As seen from the list of projects: the page lies in the project's folder.
    return plain if plain.startswith("/") else f"{name}/{plain}"
