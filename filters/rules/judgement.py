"""Judges the records of one package name: for each of them None or a Reason.

Rule: the first rule that rejects names the reason, in this order: platforms, malware,
vulnerabilities, dates, the list of the only packages, exclusions (from which
the includes rescue); so for the mirror, then for each channel. Age comes last of all, because
it alone passes by itself.
Whatever the name alone decides is decided once for all its records.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence

from ecosystems import licenses, memo
from ecosystems.kinds import Family
from ecosystems.records import Invalid, Record
from filters.rules.age import Ages, hold_young
from filters.rules.form import API_TYPES
from filters.rules.model import DAY, Chosen, Reason, Rule, Rules
from filters.rules.slimming import outdated_versions, slimming_checks
from filters.rules.vulnerabilities import Lookup, cve_check, looks_at_scores, malware_check

_Check = Callable[[Record], Reason | None]
_NEW, _OLD = ".conda", ".tar.bz2"
UNHASHED_TEXT = (
    "the upstream states no hash that could verify it, and the mirror does not allow such files"
)
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()


def judge(
    section: str,
    name: str,
    records: Sequence[Record | Invalid],
    *,
    mirror: Rules,
    channels: Sequence[Rules],
    kind: str,
    advisories: Lookup | None = None,
    ages: Ages | None = None,
) -> list[Reason | None]:
    """One verdict per record, in order. The channels are the channel and its parent.

    `ages`: None where the rules on age are not asked.
    """
    checks: list[_Check] = []
    last: Reason | None = None
    # In this order: what the mirror refuses is counted as the mirror's, whatever channels say.
    for rules in (mirror, *channels):
        last = _prepare(rules, section, name, kind=kind, advisories=advisories, checks=checks)
        if last is not None:
            # Nothing is left for the rules that follow.
            break
    if kind == Family.PYTHON and not mirror.allow_unhashed:
        checks.insert(0, _unhashed_check(mirror))
    checks += [_named(mirror, check) for check in slimming_checks(mirror.slimming, kind)]
    reasons = [
        Reason(mirror.by, Rule.INVALID, record.why)
        if isinstance(record, Invalid)
        else _verdict(record, checks, last)
        for record in records
    ]
    if ages is not None:
        # Before versions are counted: what is not listed yet must not push out what is.
        every = (mirror, *channels)
        hold_young(records, reasons, rules=every, ages=ages, advisories=advisories)
    # Last, because which versions are the newest depends on what all other rules let through.
    if mirror.slimming.newest_versions:
        _exclude_outdated(mirror, records, reasons, kind)
    return reasons


def _unhashed_check(rules: Rules) -> _Check:
    reason = Reason(rules.by, Rule.UNHASHED, UNHASHED_TEXT)
    return lambda record: reason if record.unhashed else None


def _named(rules: Rules, check: Callable[[Record], tuple[str, str] | None]) -> _Check:
    def named(record: Record) -> Reason | None:
        broken = check(record)
        return None if broken is None else Reason(rules.by, Rule(broken[0]), broken[1])

    return named


def _exclude_outdated(
    rules: Rules, records: Sequence[Record | Invalid], reasons: list[Reason | None], kind: str
) -> None:
    """Leave out what is older than the newest versions, of those that no other rule refuses."""
    newest = rules.slimming.newest_versions
    passing = [reason is None for reason in reasons]
    outdated = outdated_versions(records, passing, newest=newest, kind=kind)
    for at, record in enumerate(records):
        if passing[at] and isinstance(record, Record) and record.version in outdated:
            why = f"the version {record.version} is older than the {newest} newest ones"
            reasons[at] = Reason(rules.by, Rule.NEWEST, why)


def twins(filenames: Sequence[str], listed: Collection[str]) -> dict[int, tuple[str, str]]:
    """Conda's old files whose new form is among those that are `listed`: (old, new) by place.

    Whether a file is kept for certain depends on whose bytes are here, which no rule knows.
    """
    stems = {name.removesuffix(_NEW) for name in listed if name.endswith(_NEW)}
    return {
        at: (name, f"{name.removesuffix(_OLD)}{_NEW}")
        for at, name in enumerate(filenames)
        if name.endswith(_OLD) and name.removesuffix(_OLD) in stems
    }


def refused(
    section: str, name: str, *, mirror: Rules, channels: Sequence[Rules], kind: str
) -> Reason | None:
    """Why nothing of this name is kept, as far as its name alone decides."""
    for rules in (mirror, *channels):
        reason = _prepare(rules, section, name, kind=kind, advisories=None, checks=[])
        if reason is not None:
            return reason
    return None


def _verdict(record: Record, checks: Sequence[_Check], last: Reason | None) -> Reason | None:
    # The first reason is the one that people read, so the order of `checks` is part of the API.
    for check in checks:
        reason = check(record)
        if reason is not None:
            return reason
    return last


def _prepare(
    rules: Rules,
    section: str,
    name: str,
    *,
    kind: str,
    advisories: Lookup | None,
    checks: list[_Check],
) -> Reason | None:
    """Appends what has to be asked of each record; returns what rejects all that is left."""
    if reason := _by_section(rules, section, kind):
        return reason
    if advisories is not None:
        # Before scores: malware has none, and who reads the reason must see the worst there is.
        if rules.exclude_malware:
            checks.append(malware_check(rules, advisories))
        if looks_at_scores(rules):
            checks.append(cve_check(rules, advisories))
    if rules.date_from is not None or rules.date_to is not None:
        checks.append(_date_check(rules))
    if rules.only:
        chosen_only = rules.only.at(name)
        if chosen_only is None:
            why = f"the name {name} is not in the list of the only packages to include"
            return Reason(rules.by, Rule.ONLY_SPECS, why)
        if chosen_only.whole is None:
            checks.append(_only_check(rules, chosen_only))
    return _prepare_exclusion(rules, name, checks)


def _by_section(rules: Rules, section: str, kind: str) -> Reason | None:
    """Why nothing of this type or section is kept."""
    if rules.types and kind not in rules.types:
        allowed = ", ".join(sorted(API_TYPES[family] for family in rules.types))
        why = f"the type {API_TYPES[kind]} is not among the allowed types ({allowed})"
        return Reason(rules.by, Rule.TYPE, why)
    # Platforms are conda's: a channel's list says nothing of what other types call sections.
    if kind == Family.CONDA and rules.subdirs and section not in rules.subdirs:
        chosen = ", ".join(sorted(rules.subdirs))
        why = f"the platform {section} is not among the chosen ones ({chosen})"
        return Reason(rules.by, Rule.SUBDIRS, why)
    return None


def _prepare_exclusion(rules: Rules, name: str, checks: list[_Check]) -> Reason | None:
    exclude = rules.exclude.at(name) if rules.exclude else None
    if exclude is None and not rules.exclude_licenses:
        return None
    include = rules.include.at(name) if rules.include else None
    if include is not None and include.whole is not None:
        return None
    if exclude is not None:
        if exclude.whole is not None and include is None and not rules.include_licenses:
            why = f"{name} matches the excluded spec {exclude.whole.text}"
            return Reason(rules.by, Rule.EXCLUDE_SPECS, why)
        checks.append(_unless_rescued(_spec_check(rules, exclude), rules, include))
    if rules.exclude_licenses:
        checks.append(_unless_rescued(_license_check(rules), rules, include))
    return None


def _unless_rescued(check: _Check, rules: Rules, include: Chosen | None) -> _Check:
    families = rules.include_licenses
    if include is None and not families:
        return check

    def rescued(record: Record) -> Reason | None:
        reason = check(record)
        if reason is None or (include is not None and include.find(record) is not None):
            return None
        # A license rescues as an included spec does.
        if families and licenses.included(record.license, record.license_family, families):
            return None
        return reason

    return rescued


def _spec_check(rules: Rules, exclude: Chosen) -> _Check:
    # Files share their reasons: one text per version and spec, not per file.
    reasons: dict[tuple[str, str], Reason] = {}

    def check(record: Record) -> Reason | None:
        spec = exclude.find(record)
        if spec is None:
            return None
        reason = reasons.get((record.version, spec.text))
        if reason is None:
            subject = record.name if spec.name_only else f"{record.name} {record.version}"
            why = f"{subject} matches the excluded spec {spec.text}"
            reason = reasons[record.version, spec.text] = Reason(rules.by, Rule.EXCLUDE_SPECS, why)
        return reason

    return check


def _only_check(rules: Rules, only: Chosen) -> _Check:
    reasons: dict[str, Reason] = {}
    shown = ", ".join(spec.text for spec in only.specs[:5])
    more = f" and {len(only.specs) - 5} more" if len(only.specs) > 5 else ""

    def check(record: Record) -> Reason | None:
        if only.find(record) is not None:
            return None
        label = f"{record.name} {record.version} {record.build}".rstrip()
        reason = reasons.get(label)
        if reason is None:
            why = f"{label} matches none of the specs to include: {shown}{more}"
            reason = reasons[label] = Reason(rules.by, Rule.ONLY_SPECS, why)
        return reason

    return check


def _license_check(rules: Rules) -> _Check:
    families, by = rules.exclude_licenses, rules.by

    def check(record: Record) -> Reason | None:
        family = licenses.excluded(record.license, record.license_family, families)
        if family is None:
            return None
        return _license_reason(by, record.license, record.license_family, family)

    return check


@memo.short(4096)
def _license_reason(by: str, license: str, license_family: str, family: str) -> Reason:
    if license or license_family:
        text = license or license_family
        why = f'the license "{text}" belongs to the excluded family {family}'
    else:
        why = f"no license is stated, and the family {family} is excluded"
    return Reason(by, Rule.LICENSE, why)


def _date_check(rules: Rules) -> _Check:
    earliest, after = rules.earliest, rules.after
    missing = Reason(rules.by, Rule.DATE, "has no build time, and the date range needs one")
    # By day: files share the text of their reason, and most of a release are built on one day.
    reasons: dict[int, Reason] = {}

    def check(record: Record) -> Reason | None:
        built = record.timestamp
        if built is None:
            # Kept out: who asks for a range wants nothing whose age nobody knows.
            return missing
        if earliest is not None and built < earliest:
            side = f"before {rules.date_from}"
        elif after is not None and built >= after:
            side = f"after {rules.date_to}"
        else:
            return None
        reason = reasons.get(built // DAY)
        if reason is None:
            why = f"was built on {_day(built)}, {side}"
            reason = reasons[built // DAY] = Reason(rules.by, Rule.DATE, why)
        return reason

    return check


def _day(milliseconds: int) -> str:
    ordinal = milliseconds // DAY + _EPOCH_DAY
    # Records state any number; `datetime` knows the years 1 to 9999.
    if not 1 <= ordinal <= dt.date.max.toordinal():
        return f"day {ordinal - _EPOCH_DAY} since 1970"
    return dt.date.fromordinal(ordinal).isoformat()
