"""A file's entry of the Simple API: which of its values make sense.

Rule: an entry needs a name, an address and its hashes. Every other value is optional: one
that makes no sense counts as missing and is never passed on, because some clients refuse
the whole page for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from ecosystems import memo
from ecosystems.python.body import filename_of
from ecosystems.records import Invalid

LARGEST_FILE = 1 << 50
METADATA_KEYS = ("core-metadata", "dist-info-metadata", "data-dist-info-metadata")
"""What says that a file has metadata beside it, the newest name first (PEP 714)."""
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
MD5 = re.compile(r"[0-9a-fA-F]{32}")
_HEX = re.compile(r"[0-9a-fA-F]{8,256}")
_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_COMPARISON = re.compile(r"[\s'\"]*[<>=!~]")
"""How every version specifier begins, clumsy ones too."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Entry(msgspec.Struct, gc=False, rename="kebab"):
    """The fields of a file entry that we or clients rely on, with the types they must have."""

    filename: str
    url: str
    hashes: dict[str, str] = {}
    size: int | None = None
    upload_time: str | None = None
    requires_python: str | None = None
    yanked: bool | str | None = None
    core_metadata: bool | dict[str, str] | None = None
    dist_info_metadata: bool | dict[str, str] | None = None
    data_dist_info_metadata: bool | dict[str, str] | None = None

    @property
    def metadata(self) -> str:
        """The sha256 of the wheel's metadata where the upstream serves it and says it; or "".

        PEP 714: the newest of the key's names that is there decides alone.
        """
        for value in (self.core_metadata, self.dist_info_metadata, self.data_dist_info_metadata):
            if value is not None:
                digest = value.get("sha256", "") if isinstance(value, dict) else ""
                return digest.lower() if SHA256.fullmatch(digest) else ""
        return ""


class _Entries(msgspec.Struct):
    files: list[Entry]


_decoder = msgspec.json.Decoder(Entry)
_all_decoder = msgspec.json.Decoder(_Entries)
_values_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(body: bytes, raws: list[bytes]) -> list[Entry | Invalid]:
    """The entries of a shard's body, whose parts `raws` are; odd optional values are missing."""
    try:
        return [*_all_decoder.decode(body).files]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # One odd value never costs its neighbors: each is looked at alone.
        return [_decode_leniently(raw) for raw in raws]


def published(raw: bytes) -> dict[str, msgspec.Raw]:
    """An entry's values as they came, without the optional ones that make no sense."""
    values = _values_decoder.decode(raw)
    for key, check in _CHECKS.items():
        if key in values:
            valid = _valid_or_none(values[key], check)
            if valid is None:
                del values[key]
            else:
                values[key] = valid
    return values


@memo.short(65536)
def milliseconds(text: str) -> int | None:
    """An upload time in milliseconds since 1970 UTC, rounded down; None if it makes no sense."""
    try:
        uploaded_at = datetime.fromisoformat(text)
        # PEP 700 wants UTC; without a zone it is taken for that.
        return (
            (uploaded_at if uploaded_at.tzinfo else uploaded_at.replace(tzinfo=UTC)) - _EPOCH
        ) // _MILLISECOND
    except (ValueError, OverflowError):
        return None


def timestamp(at: int) -> str:
    """Milliseconds since 1970 UTC as an upload time of PEP 700."""
    return f"{_EPOCH + at * _MILLISECOND:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"


def _decode_leniently(raw: bytes) -> Entry | Invalid:
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        values = _values_decoder.decode(raw)
        entry = Entry(
            filename=msgspec.json.decode(values["filename"], type=str),
            url=msgspec.json.decode(values["url"], type=str),
        )
    except KeyError as error:
        return Invalid(filename_of(raw)[:240], f"its entry has no {error.args[0]}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Invalid(filename_of(raw)[:240], f"its entry cannot be read: {error}")
    for key, check in (_CHECKS | _METADATA_CHECKS).items():
        if key in values:
            valid = _valid_or_none(values[key], check)
            value = None if valid is None else msgspec.json.decode(valid)
            setattr(entry, key.replace("-", "_"), value)
    return entry


def _valid_or_none(raw: msgspec.Raw, check: Callable[[object], object]) -> msgspec.Raw | None:
    """The value if it makes sense, mended where that is clear; None to leave it out."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    valid = check(value)
    if valid is None:
        return None
    return raw if valid is value else msgspec.Raw(msgspec.json.encode(valid))


def _hashes(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    valid = {
        key: digest
        for key, digest in value.items()
        if isinstance(digest, str) and _HEX.fullmatch(digest)
    }
    return value if len(valid) == len(value) else valid


def _size(value: object) -> int | None:
    # True is an integer to Python, and no size.
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST_FILE else None


def _upload_time(value: object) -> str | None:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return None
    return value if milliseconds(value) is not None else None


def _requires_python(value: object) -> str | None:
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value if _COMPARISON.match(value) else None


def _yanked(value: object) -> bool | str | None:
    # Whatever else an upstream says there: it does not say that the file is fine.
    return value if isinstance(value, bool | str) else (True if value else None)


def _metadata(value: object) -> bool | dict[str, str] | None:
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, dict):
        return False
    return value if all(isinstance(text, str) for text in value.values()) else False


_CHECKS: dict[str, Callable[[object], object]] = {
    "hashes": _hashes,
    "size": _size,
    "upload-time": _upload_time,
    "requires-python": _requires_python,
    "yanked": _yanked,
}
_METADATA_CHECKS: dict[str, Callable[[object], object]] = dict.fromkeys(METADATA_KEYS, _metadata)
