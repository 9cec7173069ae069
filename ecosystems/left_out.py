"""Records that an index lists and that are not published: how many, which first, and why.

Rule: nothing is left out in silence. The pack of an index keeps what was left out of each
package, so that an update looks only at the packages that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ecosystems.records import Invalid, Record

FILES_NAMED = 3
REASONS_NAMED = 5
LONGEST_NAME = 240


class LeftOut(msgspec.Struct, gc=False, array_like=True):
    """Records left out for one reason; `files` are the names of the first of them."""

    why: str
    count: int
    files: list[str]


def of(records: Iterable[Record | Invalid]) -> list[LeftOut]:
    """What is left out of these records, by reason."""
    found: dict[str, LeftOut] = {}
    for record in records:
        if isinstance(record, Invalid):
            _add(found, record.why, 1, [record.filename[:LONGEST_NAME]])
    return list(found.values())


def newest(records: Iterable[Record | Invalid]) -> int:
    """The newest build time of the records that are not left out (ms); 0 if none tells one."""
    return max((getattr(record, "timestamp", None) or 0 for record in records), default=0)


def named(files: Iterable[str], count: int, why: str) -> list[LeftOut]:
    """`count` records left out for one reason, of which `files` are known by name."""
    return [LeftOut(why, count, list(files)[:FILES_NAMED])] if count else []


def warnings(packages: Mapping[str, list[LeftOut]], others: Iterable[LeftOut] = ()) -> list[str]:
    """One sentence a reason, the most frequent first: the count, the first files, the reason."""
    found: dict[str, LeftOut] = {}
    for group in (*packages.values(), others):
        for one in group:
            _add(found, one.why, one.count, one.files)
    ordered = sorted(found.values(), key=lambda one: (-one.count, one.why))
    texts = [_sentence(one) for one in ordered[:REASONS_NAMED]]
    if rest := sum(one.count for one in ordered[REASONS_NAMED:]):
        texts.append(f"{rest:,} more records are invalid for other reasons and left out.")
    return texts


def _add(found: dict[str, LeftOut], why: str, count: int, files: list[str]) -> None:
    one = found.setdefault(why, LeftOut(why, 0, []))
    one.count += count
    one.files += files[: FILES_NAMED - len(one.files)]


def _sentence(one: LeftOut) -> str:
    what = "1 record is" if one.count == 1 else f"{one.count:,} records are"
    rest = one.count - len(one.files)
    more = f" and {rest:,} more" if rest else ""
    return f"{what} invalid and left out: {', '.join(one.files)}{more} ({one.why.rstrip('.')})."
