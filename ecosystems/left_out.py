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
    by_reason: dict[str, LeftOut] = {}
    for record in records:
        if isinstance(record, Invalid):
            # Upstreams choose the names, and these are stored in each pack.
            _add(by_reason, record.why, 1, [record.filename[:LONGEST_NAME]])
    return list(by_reason.values())


def newest(records: Iterable[Record | Invalid]) -> int:
    """The newest build time of the records that are not left out (ms); 0 if none tells one."""
    # An `Invalid` among them has no time.
    return max((getattr(record, "timestamp", None) or 0 for record in records), default=0)


def named(files: Iterable[str], count: int, why: str) -> list[LeftOut]:
    """`count` records left out for one reason, of which `files` are known by name."""
    return [LeftOut(why, count, list(files)[:FILES_NAMED])] if count else []


def warnings(packages: Mapping[str, list[LeftOut]], others: Iterable[LeftOut] = ()) -> list[str]:
    """One sentence a reason, the most frequent first: the count, the first files, the reason."""
    by_reason: dict[str, LeftOut] = {}
    for group in (*packages.values(), others):
        for entry in group:
            _add(by_reason, entry.why, entry.count, entry.files)
    # The reason too, so that equal counts always come in one order.
    ordered = sorted(by_reason.values(), key=lambda entry: (-entry.count, entry.why))
    texts = [_sentence(entry) for entry in ordered[:REASONS_NAMED]]
    if further := sum(entry.count for entry in ordered[REASONS_NAMED:]):
        texts.append(f"{further:,} more records are invalid for other reasons and left out.")
    return texts


def _add(by_reason: dict[str, LeftOut], why: str, count: int, files: list[str]) -> None:
    entry = by_reason.setdefault(why, LeftOut(why, 0, []))
    entry.count += count
    entry.files += files[: FILES_NAMED - len(entry.files)]


def _sentence(entry: LeftOut) -> str:
    subject = "1 record is" if entry.count == 1 else f"{entry.count:,} records are"
    unnamed = entry.count - len(entry.files)
    more = f" and {unnamed:,} more" if unnamed else ""
    return (
        f"{subject} invalid and left out: {', '.join(entry.files)}{more} ({entry.why.rstrip('.')})."
    )
