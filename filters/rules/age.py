"""The rule on age: a file is let through once it has been public for a number of days.

Two things let a younger file through: an exception that names it, and that it fixes an advisory
which every older kept version has. This module knows no clock: the time comes in with `Ages`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ecosystems.records import Invalid, Record
from filters.rules.model import DAY, Reason, Rule, Rules
from filters.rules.vulnerabilities import Lookup

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST = 253_402_300_799_000
"""The end of the year 9999, in milliseconds: what `datetime` can hold."""


class PublicSince(NamedTuple):
    """Since when a file has been public (ms since 1970), and what is known to say so."""

    at: int
    event: str = "was published"


@dataclass(slots=True)
class Ages:
    """The time, and what the rule on age has to know of the files of one package."""

    now: int
    public_since: Callable[[Record], PublicSince]
    version_key: Callable[[str], Any]
    next_change_at: int | None = None
    """The first moment (ms) at which time alone changes an answer; the rule fills it."""
    let_through: dict[str, str] = field(default_factory=dict)
    """By the name of a young file: why it is let through all the same; the rule fills it."""

    def changes_at(self, moment: int) -> None:
        """An answer changes at this moment."""
        if self.next_change_at is None or moment < self.next_change_at:
            self.next_change_at = moment


class _Young(NamedTuple):
    due: int
    reason: Reason


def looks_at_age(rules: Rules) -> bool:
    """Whether a file can be too young for these rules."""
    return rules.minimum_age_days > 0


def hold_young(
    records: Sequence[Record | Invalid],
    reasons: list[Reason | None],
    *,
    rules: Sequence[Rules],
    ages: Ages,
    advisories: Lookup | None,
) -> None:
    """Give files that no other rule excludes a reason where they are too young."""
    limits = [filter_ for filter_ in rules if looks_at_age(filter_)]
    if not limits:
        return
    young: dict[int, _Young] = {}
    mature: list[Record] = []
    for at, record in enumerate(records):
        if reasons[at] is None and isinstance(record, Record):
            too_young = _too_young(record, limits, ages)
            if too_young is None:
                mature.append(record)
            else:
                young[at] = too_young
    if advisories is not None and young:
        for at, advisory in _fixes(records, young, mature, ages, advisories):
            del young[at]
            why = f"it fixes {advisory}, which every older version that is kept has"
            ages.let_through[records[at].filename] = why
    for at, (due, reason) in young.items():
        reasons[at] = reason
        ages.changes_at(due)


def _too_young(record: Record, limits: Sequence[Rules], ages: Ages) -> _Young | None:
    since = ages.public_since(record)
    for rules in limits:
        due = min(since.at + rules.minimum_age_days * DAY, _LAST)
        if due <= ages.now or _excepted(record, rules, ages, due):
            continue
        days = rules.minimum_age_days
        detail = (
            f"{since.event} on {_minute(since.at)}, and is let through once it is "
            f"{days:,} day{'' if days == 1 else 's'} old, on {_minute(due)}"
        )
        return _Young(due, Reason(rules.by, Rule.AGE, detail))
    return None


def _excepted(record: Record, rules: Rules, ages: Ages, due: int) -> bool:
    holding = [
        exception
        for exception in rules.age_exceptions
        if exception.ends_at is None or exception.ends_at > ages.now
        if exception.spec.matches_name(record.name) and exception.spec.matches(record)
    ]
    if not holding:
        return False
    # Of several exceptions the one that holds longest decides when the answer changes.
    lasting = max(holding, key=lambda exception: exception.ends_at or _LAST)
    # Then it ends while the file is still too young, and the file is held again.
    if lasting.ends_at is not None and lasting.ends_at < due:
        ages.changes_at(lasting.ends_at)
    ages.let_through[record.filename] = f"the exception {lasting.spec.text} names it"
    return True


def _fixes(
    records: Sequence[Record | Invalid],
    young: dict[int, _Young],
    mature: Sequence[Record],
    ages: Ages,
    advisories: Lookup,
) -> Iterator[tuple[int, str]]:
    """The young files that fix an advisory, with its id; the lowest version that does is enough."""
    key = ages.version_key
    waiting: dict[Any, list[int]] = {}
    for at in young:
        record = records[at]
        assert isinstance(record, Record)
        waiting.setdefault(key(record.version), []).append(at)
    older = sorted(((key(record.version), record) for record in mature), key=lambda pair: pair[0])
    passed = 0
    # The advisories that all kept versions below the present one have; None below the first.
    common: frozenset[str] | None = None
    # From the lowest on: once a version that fixes is let through, higher ones need not be.
    for version in sorted(waiting):
        while passed < len(older) and older[passed][0] < version:
            common = _common(common, _ids(older[passed][1], advisories))
            passed += 1
        fixing: list[frozenset[str]] = []
        for at in waiting[version]:
            record = records[at]
            assert isinstance(record, Record)
            ids = _ids(record, advisories)
            if fixed := (common or frozenset()) - ids:
                fixing.append(ids)
                yield at, min(fixed)
        # Higher versions have an older kept one now that does not have the advisory.
        for ids in fixing:
            common = _common(common, ids)


def _common(common: frozenset[str] | None, ids: frozenset[str]) -> frozenset[str]:
    return ids if common is None else common & ids


def _ids(record: Record, advisories: Lookup) -> frozenset[str]:
    return frozenset(match.id for match in advisories(record).matches if match.counts)


def _minute(milliseconds: int) -> str:
    at = max(0, min(milliseconds, _LAST))
    return f"{_EPOCH + dt.timedelta(milliseconds=at):%Y-%m-%d %H:%M} UTC"
