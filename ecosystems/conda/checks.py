"""What one record of a conda index must be, to be published.

Rule: whole lists are checked at once, and quickly; only where that says no is
each record looked at by itself, and told apart as a record or as Invalid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from ecosystems.conda.body import join_entries
from ecosystems.conda.channel import LONGEST_FILE, is_name, parse_file_name
from ecosystems.conda.readable import NO_OBJECT
from ecosystems.records import Invalid, Record

LAST_SECOND = 253_402_300_799
"""The end of the year 9999: a larger timestamp is in milliseconds, up to a thousand times this."""

LARGEST_FILE = 1 << 50
LARGEST_BUILD_NUMBER = (1 << 32) - 1

INDEXED_TIMESTAMP = "indexed_timestamp"
"""CEP 47: when the channel's server took the file in, set by it and never changed."""

_VERSIONS = re.compile(r"[A-Za-z0-9_.!+ ]*")
_BUILDS = re.compile(r"[A-Za-z0-9_.+ ]*")
_HASHES = (("sha256", 64), ("md5", 32))
# `url` and `channel` decide where conda downloads from, `fn` under which name.
_LOCATION_KEYS = ("url", "channel", "fn")
ABSENT = msgspec.Raw(b"")


class CondaRecord(Record):
    """One record of a conda index.

    `raw` lacks the upstream's keys that would lead clients to another server
    (`url`, `channel`, a foreign `fn`).
    """

    subdir: str = ""

    def value(self, key: str) -> str | int | None:
        if key in _OWN_FIELDS:
            own_value = getattr(self, key)
            if own_value not in ("", None):
                return own_value  # type: ignore[no-any-return]
        field: object = msgspec.json.decode(self.raw, type=dict[str, object]).get(key)
        if isinstance(field, bool) or not isinstance(field, str | int):
            return None
        return field


_OWN_FIELDS = frozenset(
    ("name", "version", "build", "license", "license_family", "sha256", "md5", "subdir")
)


class DecodedRecord(CondaRecord):
    """As decoded from the index. A missing build number is told from 0."""

    build_number: int = -1
    indexed_at: int | None = msgspec.field(default=None, name=INDEXED_TIMESTAMP)
    url: msgspec.Raw = ABSENT
    channel: msgspec.Raw = ABSENT
    fn: msgspec.Raw = ABSENT


def completed(
    files: list[str], listed: list[DecodedRecord], raws: Iterable[msgspec.Raw]
) -> Iterable[CondaRecord]:
    """The records with what does not come from their own fields."""
    for file, record, raw in zip(files, listed, raws, strict=True):
        record.filename = file
        record.raw = bytes(raw)
        # Most are milliseconds already, and this runs for each record of an index.
        stamp = record.timestamp
        if stamp is not None and not LAST_SECOND < stamp <= LAST_SECOND * 1000 + 999:
            record.timestamp = milliseconds(stamp)
        if record.indexed_at is not None:
            record.indexed_at = milliseconds(record.indexed_at)
        if not (record.url is record.channel is record.fn is ABSENT):
            _strip_location_keys(record)
    return listed


def all_valid(files: list[str], listed: list[DecodedRecord], expected: tuple[str, str]) -> bool:
    """Whether every record of a kind is one that `check_record` would take; if in doubt, no."""
    name, extension = expected
    versions, builds = [r.version for r in listed], [r.build for r in listed]
    sizes, numbers = [r.size for r in listed], [r.build_number for r in listed]
    expected_files = [
        f"{name}-{version}-{build}{extension}"
        for version, build in zip(versions, builds, strict=True)
    ]
    return (
        is_name(name)
        and {r.name for r in listed} == {name}
        and files == expected_files
        and max(map(len, files)) <= LONGEST_FILE
        and _within(versions, _VERSIONS)
        and _within(builds, _BUILDS)
        and _between(sizes, LARGEST_FILE)
        and _between(numbers, LARGEST_BUILD_NUMBER)
        and _hashes_valid(listed)
    )


def _between(numbers: list[int], most: int) -> bool:
    return min(numbers) >= 0 and max(numbers) <= most


def _within(texts: list[str], pattern: re.Pattern[str]) -> bool:
    # One match on all of them: a call for each record would cost more than all other checks.
    together = " ".join(texts)
    return (
        pattern.fullmatch(together) is not None
        and together.count(" ") == len(texts) - 1
        and min(map(len, texts)) > 0
        and max(map(len, texts)) <= 64
    )


def _hashes_valid(listed: list[DecodedRecord]) -> bool:
    # Whole columns at once, as in `_within`.
    columns = [[r.sha256 for r in listed], [r.md5 for r in listed]]
    for values, (_, length) in zip(columns, _HASHES, strict=True):
        together = "".join(values)
        if not {len(value) for value in values} <= {length, 0}:
            return False
        if together != together.lower() or not _is_hex(together):
            return False
    # Most indexes have a SHA-256 everywhere: then md5 is not asked for.
    return all(columns[0]) or all(sha256 or md5 for sha256, md5 in zip(*columns, strict=True))


def _is_hex(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) * 2 == len(text)  # fromhex passes over spaces
    except ValueError:
        return False


def check_record(file: str, raw: bytes, *, extension: str) -> CondaRecord | Invalid:
    """One record by itself, or what is wrong with it."""
    parsed = parse_file_name(file)
    if parsed is None:
        return Invalid(file, "The file name breaks the naming rules of conda.")
    if parsed.extension != extension:
        return Invalid(file, f"A file listed here must end in {extension}.")
    try:
        fields = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Invalid(file, f"The record cannot be read: {error}.")
    if not isinstance(fields, dict):
        # What stands in the place of a record that cannot be published (see `readable`).
        return Invalid(file, fields if isinstance(fields, str) else NO_OBJECT)
    if why := _problem(fields, parsed[:3]):
        return Invalid(file, why)
    record = CondaRecord(
        filename=file,
        raw=raw,
        name=parsed.name,
        version=parsed.version,
        build=parsed.build,
        build_number=fields["build_number"],
        license=_text(fields, "license"),
        license_family=_text(fields, "license_family"),
        timestamp=milliseconds(fields.get("timestamp")),
        indexed_at=milliseconds(fields.get(INDEXED_TIMESTAMP)),
        size=-1 if fields.get("size") is None else fields["size"],
        sha256=_text(fields, "sha256").lower(),
        md5=_text(fields, "md5").lower(),
        subdir=_text(fields, "subdir"),
        purls=_purls(fields),
    )
    if any(key in fields for key in _LOCATION_KEYS):
        _strip_location_keys(record)
    return record


def _purls(fields: dict[str, object]) -> tuple[str, ...] | None:
    purls = fields.get("purls")
    if not isinstance(purls, list):
        return None
    return tuple(text for text in purls if isinstance(text, str))


def _problem(fields: dict[str, object], expected: tuple[str, ...]) -> str:
    """What forbids to publish the record; "" if nothing does."""
    for key, value in zip(("name", "version", "build"), expected, strict=True):
        if fields.get(key) != value:
            return f"The record's {key} is not the one in the file name."
    if not _is_count(fields.get("build_number"), LARGEST_BUILD_NUMBER):
        return "The record has no build number that makes sense."
    if fields.get("size") is not None and not _is_count(fields["size"], LARGEST_FILE):
        return "The record has no size that makes sense."
    return _hash_problem(fields)


def _hash_problem(fields: dict[str, object]) -> str:
    hashes = {key: fields.get(key) for key, _ in _HASHES if fields.get(key) not in (None, "")}
    if not hashes:
        return "The record has neither a sha256 nor an md5: what is downloaded cannot be checked."
    for key, length in _HASHES:
        digest = hashes.get(key, "0" * length)
        if not isinstance(digest, str) or len(digest) != length or not _is_hex(digest):
            return f"The record's {key} is not {length} hexadecimal digits."
    return ""


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def milliseconds(value: object) -> int | None:
    """A build time in milliseconds; None where it makes no sense."""
    if isinstance(value, float) and abs(value) < 1 << 62:
        value = int(value)  # A fraction of a second counts for nothing.
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return None
    if value <= LAST_SECOND:
        return value * 1000
    return value if value <= LAST_SECOND * 1000 + 999 else None


def with_indexed_timestamp(record: Record, at: int) -> Record:
    """The record with a time of ours; its other fields stay byte for byte."""
    fields = msgspec.json.decode(record.raw, type=dict[str, msgspec.Raw])
    # One that makes no sense counts as missing.
    fields.pop(INDEXED_TIMESTAMP, None)
    entries = [(key, bytes(raw)) for key, raw in fields.items()]
    raw = join_entries([*entries, (INDEXED_TIMESTAMP, b"%d" % at)])
    return msgspec.structs.replace(record, raw=b"{" + raw + b"}")


def _strip_location_keys(record: CondaRecord) -> None:
    """Takes out of `raw` what would lead clients past this server."""
    # Raw values: what is not cut stays byte for byte, as its signature needs it.
    fields = msgspec.json.decode(record.raw, type=dict[str, msgspec.Raw])
    stripped = [key for key in _LOCATION_KEYS if key in fields]
    if "fn" in stripped and msgspec.json.decode(fields["fn"]) == record.filename:
        stripped.remove("fn")
    if not stripped:
        return
    left = ((key, bytes(raw)) for key, raw in fields.items() if key not in stripped)
    record.raw = b"{" + join_entries(left) + b"}"
