"""Makes each record one that clients can read, or tells why it cannot be published.

Rule: what conda or rattler reads stays byte for byte. An optional value that one of them cannot
read is corrected or taken out; a record that is wrong in a value that clients need is replaced
by the reason, a text, which `checks` knows. One bad record never costs its neighbours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Literal, TypeGuard

import msgspec

from ecosystems.conda.body import join_body, join_entries
from ecosystems.conda.json_members import NOT_JSON, NOT_TEXT

TOO_LONG = "The record has a number of more than 4,300 digits."
TOO_DEEP = "The record has too many brackets in each other."
NO_OBJECT = "The record is not an object."
NO_LIST = "The record's {} is not a list of texts."
REPEATED_KEY = "The record has a key twice."

_Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Record(msgspec.Struct, gc=False):
    """The types that clients insist on; anything else may stand in other keys."""

    name: str
    version: str
    build: str
    build_number: _Count
    arch: str | None = None
    constrains: list[str] = []
    depends: list[str] = []
    extra_depends: dict[str, list[str]] = {}
    features: str | None = None
    flags: list[str] = []
    legacy_bz2_md5: str | None = None
    legacy_bz2_size: _Count | None = None
    license: str | None = None
    license_family: str | None = None
    md5: str | None = None
    noarch: bool | Literal["", "generic", "python"] | None = None
    platform: str | None = None
    purls: list[str] | None = None
    python_site_packages_path: str | None = None
    run_exports: dict[str, object] | None = None
    sha256: str | None = None
    size: _Count | None = None
    subdir: str = ""
    timestamp: _Int64 | None = None
    track_features: str | list[str] = ""


class _Body(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, _Record]
    conda: dict[str, _Record]


class _Raws(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, msgspec.Raw]
    conda: dict[str, msgspec.Raw]
    removed: list[str]


class _Members(msgspec.Struct, gc=False, rename={"conda": "packages.conda"}):
    packages: dict[str, dict[str, msgspec.Raw]]
    conda: dict[str, dict[str, msgspec.Raw]]


_body_decoder = msgspec.json.Decoder(_Body)
_members_decoder = msgspec.json.Decoder(_Members)
_raw_decoder = msgspec.json.Decoder(_Raws)
_FIELDS = {field.name: field for field in msgspec.structs.fields(_Record)}
_DIGITS = 4300
"""Digits of a whole number that Python reads at most."""

# What decoding a body into the types above does not see: a half of a surrogate pair or a long
# number in some other key, and a whole number written with a point or exponent.
HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_ZEROS = bytes(ord("0") if byte in b"0123456789" else byte for byte in range(256))
_LONG = b"0" * (_DIGITS + 1)
_FLOAT = re.compile(rb'":[ \t\r\n]*+-?[0-9]++[.eE]')
_POINT = re.compile(
    rb'"(?:timestamp|size|build_number|legacy_bz2_size)"[ \t\r\n]*:[ \t\r\n]*-?[0-9]+[.eE]'
)
SPACED = re.compile(rb'"[ \t\r\n]++:')
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_PURL = re.compile(r"pkg:[a-zA-Z][a-zA-Z0-9+.-]*/.+")
_RUN_EXPORTS = ("noarch", "strong", "strong_constrains", "weak", "weak_constrains")
_ValueCheck = Callable[[object], bool]


def readable(body: bytes) -> bytes:
    """The canonical body with only records that clients can read, and reasons for the others."""
    if _all_readable(body):
        return body
    raws = _raw_decoder.decode(body)
    packages, conda = (
        join_entries((file, _readable_record(bytes(raw))) for file, raw in members.items())
        for members in (raws.packages, raws.conda)
    )
    return join_body(packages, conda, raws.removed)


def reason(why: str) -> bytes:
    """What stands in a record's place."""
    return msgspec.json.encode(why)


def _all_readable(body: bytes) -> bool:
    if HALF.search(body) or (_FLOAT.search(body) and _POINT.search(body)):
        return False
    # Digits are made alike, so that one search finds any number that is too long.
    if len(body) > _DIGITS and _LONG in body.translate(_ZEROS):
        return False
    # One after another: what one holds in memory would cost the other time.
    return _types_fit(body) and not _may_repeat(body)


def _types_fit(body: bytes) -> bool:
    try:
        decoded = _body_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return all(map(_values_fit, (*decoded.packages.values(), *decoded.conda.values())))


def _may_repeat(body: bytes) -> bool:
    """Whether a record may have a key twice, of which decoding keeps the last only.

    Every key ends in `":`; where there are more of these than keys decoded, one is repeated, or
    lies in an inner object, or it is part of a text: then each record is looked at alone.
    """
    if SPACED.search(body):
        return True
    members = _members_decoder.decode(body)
    kinds = (members.packages, members.conda)
    keys = sum(len(kind) + sum(map(len, kind.values())) for kind in kinds)
    return body.count(b'":') != keys + len(msgspec.structs.fields(_Raws))


def _values_fit(record: _Record) -> bool:
    """What types alone do not say."""
    return not (
        record.md5 == ""
        or record.sha256 == ""
        or (record.legacy_bz2_md5 and not _MD5.fullmatch(record.legacy_bz2_md5))
        or record.legacy_bz2_md5 == ""
        or (record.purls and not all(map(_PURL.fullmatch, record.purls)))
        or (record.run_exports and not are_run_exports(record.run_exports))
    )


class _RepeatedKeyError(ValueError):
    """An object has a key twice: clients take the last, or refuse the whole index."""


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _RepeatedKeyError
    return fields


def parsed(raw: bytes) -> dict[str, object] | str:
    """A record's fields, or why clients cannot read it."""
    try:
        # Python's parser, as in conda: with its limit of digits, and with every key.
        fields = json.loads(raw, object_pairs_hook=_unique_keys)
    except _RepeatedKeyError:
        return REPEATED_KEY
    except UnicodeDecodeError:
        return NOT_TEXT
    except json.JSONDecodeError:
        return NOT_JSON
    except RecursionError:
        return TOO_DEEP
    except ValueError:
        return TOO_LONG
    if not isinstance(fields, dict):
        # A reason from `stream`, which found the record broken, or an upstream's own text.
        return fields if fields in (NOT_TEXT, NOT_JSON) else NO_OBJECT
    try:
        # Half of a surrogate pair has no UTF-8, in which clients read the index.
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return NOT_TEXT
    return fields


def _readable_record(raw: bytes) -> bytes:
    """One record as it is, or corrected, or the reason why it cannot be published."""
    fields = parsed(raw)
    if isinstance(fields, str):
        return reason(fields)
    for key in ("depends", "constrains"):
        if fields.get(key) is not None and not _are_texts(fields[key]):
            return reason(NO_LIST.format(key))
    invalid_keys = {key for key in fields if key in _FIELDS and not _is_valid(key, fields[key])}
    return _corrected(raw, fields, invalid_keys) if invalid_keys else raw


def _is_valid(key: str, value: object) -> bool:
    # msgspec takes 1.0 for an integer, and not every client does.
    if isinstance(value, float) and key in _WHOLE:
        return False
    try:
        msgspec.convert(value, _FIELDS[key].type)
    except msgspec.ValidationError:
        return False
    value_check = _VALUE_CHECKS.get(key)
    return value_check is None or value is None or value_check(value)


def _corrected(raw: bytes, fields: dict[str, object], invalid_keys: set[str]) -> bytes:
    """The record with these values mended where that is sure, else taken out."""
    remaining: list[tuple[str, bytes]] = []
    for key, text in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        if key not in invalid_keys:
            remaining.append((key, bytes(text)))
        elif key in ("depends", "constrains"):
            remaining.append((key, b"[]"))
        elif key in _WHOLE and (whole := _whole(key, fields[key])) is not None:
            remaining.append((key, b"%d" % whole))
        elif key in _REQUIRED:
            remaining.append((key, bytes(text)))  # `checks` says what is wrong with it
    return b"{" + join_entries(remaining) + b"}"


def _whole(key: str, value: object) -> int | None:
    """A number's whole part where it makes sense; a fraction counts in a time only."""
    if not isinstance(value, float) or not -(2.0**63) < value < 2.0**63:
        return None
    return int(value) if key == "timestamp" or value.is_integer() else None


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def are_run_exports(value: dict[str, object]) -> bool:
    """Whether clients can read a package's run exports."""
    return all(_are_texts(value[key]) for key in _RUN_EXPORTS if key in value)


_WHOLE = frozenset(("timestamp", "size", "build_number", "legacy_bz2_size"))
_REQUIRED = frozenset(("name", "version", "build", "build_number", "size"))
_VALUE_CHECKS: dict[str, _ValueCheck] = {
    "legacy_bz2_md5": lambda value: isinstance(value, str) and bool(_MD5.fullmatch(value)),
    "md5": lambda value: value != "",
    "sha256": lambda value: value != "",
    "purls": lambda value: _are_texts(value) and all(map(_PURL.fullmatch, value)),
    "run_exports": lambda value: isinstance(value, dict) and are_run_exports(value),
}
