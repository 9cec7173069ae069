"""The `filters` object of the API: what may stand in it, and its canonical form.

Rule: everything that is wrong is told at once, each with its field and its
place in the list, in sentences for the person who filled in the form.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from ecosystems.conda.channel import is_subdir
from ecosystems.errors import SpecError
from ecosystems.kinds import KIND_OF_FAMILY
from ecosystems.licenses import canonical
from ecosystems.records import Spec
from filters.rules.age_form import AGE_FIELDS, age_problems, normalized_age
from filters.rules.problems import Problem, day, short
from filters.rules.slimming_form import (
    SLIMMING_FIELDS,
    UNHASHED,
    normalized_slimming,
    slimming_problems,
)

SPEC_LISTS = ("projects", "only_specs", "exclude_specs", "include_specs")
LICENSE_LISTS = ("exclude_licenses", "include_licenses")
LISTS = ("types", "subdirs", *SPEC_LISTS, *LICENSE_LISTS, "cve_statuses_excluded")
FLAGS: dict[str, bool] = {
    "exclude_non_curated_cve": False,
    "exclude_malware": True,
    "keep_legacy": False,
    UNHASHED: False,
}
"""Fields that are true or false, with their defaults."""
CVE_UNKNOWN = ("include", "exclude")
"""What becomes of files with an advisory that states no score; the first is the default."""
CVE_STATUSES = ("reported", "active", "mitigated", "cleared", "disputed")
"""What people can have found out about an advisory; "reported": nobody has looked yet."""
DATES = ("date_from", "date_to")
FIELDS = (
    *LISTS, "cve_score_threshold", "cve_unknown", *FLAGS, *DATES, *AGE_FIELDS, *SLIMMING_FIELDS,
)  # fmt: skip
SIGNED = "only_signed"
"""Sent by the vendor's client, which always names it; this server looks at no signatures."""

MOST_ENTRIES = 100_000
LONGEST_ENTRY = 200
# Each of these is tried on every package name, an exact name costs nothing.
MOST_PATTERNS = 1_000

API_TYPES: dict[str, str] = {str(family): str(kind) for family, kind in KIND_OF_FAMILY.items()}
"""The API's name of a type, by its family."""
_FAMILIES = {word.lower(): family for family, api in API_TYPES.items() for word in (family, api)}

ParseSpec = Callable[[str], Spec]
Terms = Mapping[str, Any]
"""The `filters` object without problems: `problems` has checked the type of each value."""


def kind_of(name: str) -> str | None:
    """The ecosystem that a package type's name means: `CRAN` and `cran` mean `cran`."""
    return _FAMILIES.get(name.strip().lower())


def exact_name(spec: Spec) -> str | None:
    """The one name that `spec` asks for, where its ecosystem says so."""
    name: str | None = getattr(spec, "exact_name", None)
    return name


def problems(
    filters: Mapping[str, object], *, spec: ParseSpec, by: str = "mirror"
) -> list[Problem]:
    """All that keeps `filters` from being saved for a mirror or a channel."""
    all_problems = [
        Problem(field, None, f'"{field}" is no filter; the filters are {", ".join(FIELDS)}')
        for field in map(short, filters)
        if field not in (*FIELDS, SIGNED)
    ]
    if filters.get(SIGNED):
        why = "this server looks at no signatures, so it cannot keep to signed packages"
        all_problems.append(Problem(SIGNED, None, why))
    # Only a list that says something is wrong: forms send the empty field as well.
    if by == "mirror" and filters.get("types"):
        why = "types can be chosen for a channel, and a mirror has the one type it was made with"
        all_problems.append(Problem("types", None, why))
    for field in LISTS:
        all_problems += _list_problems(field, filters.get(field), spec)
    for field in FLAGS:
        if not isinstance(filters.get(field), bool | None):
            all_problems.append(Problem(field, None, f'"{field}" is either true or false'))
    all_problems += _score_problems(filters) + _unknown_problems(filters)
    all_problems += [Problem(*entry) for entry in slimming_problems(filters, by=by)]
    all_problems += age_problems(filters, spec)
    return all_problems + _date_problems(filters) + _together(filters)


def _list_problems(field: str, value: object, spec: ParseSpec) -> list[Problem]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        return [Problem(field, None, f'"{field}" is a list of texts')]
    # Before any entry is read: parsing is what costs.
    if len(value) > MOST_ENTRIES:
        why = f'"{field}" has {len(value):,} entries, and at most {MOST_ENTRIES:,} are taken'
        return [Problem(field, None, why)]
    entry_problems: list[Problem] = []
    patterns = 0
    for index, entry in enumerate(value):
        try:
            patterns += _read_entry(field, entry, spec)
        except SpecError as error:
            entry_problems.append(Problem(field, index, str(error)))
    if patterns > MOST_PATTERNS:
        why = f'"{field}" has {patterns:,} name patterns, and at most {MOST_PATTERNS:,} are taken'
        entry_problems.append(Problem(field, None, why))
    return entry_problems


def _read_entry(field: str, entry: object, spec: ParseSpec) -> bool:
    """Refuses a bad entry; tells whether it is a spec that fits many names."""
    if not isinstance(entry, str):
        raise SpecError(f"{short(entry)} is not a text")
    if not entry.strip():
        raise SpecError("the entry is empty")
    if len(entry) > LONGEST_ENTRY:
        why = f"the entry has {len(entry)} characters, and at most {LONGEST_ENTRY} are taken"
        raise SpecError(why)
    if field in SPEC_LISTS:
        return exact_name(spec(entry.strip())) is None
    if field in LICENSE_LISTS:
        canonical(entry)
    elif field == "types" and kind_of(entry) is None:
        words = ", ".join(API_TYPES.values())
        raise SpecError(f'"{entry}" is no package type; the types are {words}')
    elif field == "cve_statuses_excluded" and entry.strip().lower() not in CVE_STATUSES:
        raise SpecError(f'"{entry}" is no status; the statuses are {", ".join(CVE_STATUSES)}')
    elif field == "subdirs" and not is_subdir(entry.strip().lower()):
        raise SpecError(f'"{entry}" is no platform; platforms look like linux-64, win-64, noarch')
    return False


def _score_problems(filters: Mapping[str, object]) -> list[Problem]:
    score = filters.get("cve_score_threshold")
    if score is None:
        return []
    # A bool is an int in Python, and NaN fails both comparisons.
    fits = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 10
    why = "the highest CVE score to let through is a number from 0 to 10"
    return [] if fits else [Problem("cve_score_threshold", None, why)]


def _unknown_problems(filters: Mapping[str, object]) -> list[Problem]:
    # Of any type: JSON may hold a list there, which `in` compares and does not hash.
    if filters.get("cve_unknown") in (None, "", *CVE_UNKNOWN):
        return []
    why = f'"cve_unknown" is one of {", ".join(CVE_UNKNOWN)}'
    return [Problem("cve_unknown", None, why)]


def _date_problems(filters: Mapping[str, object]) -> list[Problem]:
    date_problems: list[Problem] = []
    days: dict[str, dt.date | None] = {}
    for field in DATES:
        try:
            days[field] = day(filters.get(field))
        except ValueError as error:
            date_problems.append(Problem(field, None, str(error)))
    first, last = days.get("date_from"), days.get("date_to")
    if first and last and first > last:
        why = f"the date range begins on {first}, after it ends on {last}"
        date_problems.append(Problem("date_from", None, why))
    return date_problems


def _together(filters: Mapping[str, object]) -> list[Problem]:
    # "projects" may stand beside the others: it has names, from which specs still take versions
    # away.
    if not filters.get("only_specs"):
        return []
    conflicting = [field for field in ("exclude_specs", "include_specs") if filters.get(field)]
    return [
        Problem(
            "only_specs",
            None,
            f'"only_specs" cannot stand beside "{field}"; say in "only_specs" what to keep, '
            "down to the version",
        )
        for field in conflicting
    ]


def normalized(filters: Terms) -> dict[str, Any]:
    """The canonical form, ready for JSON; `filters` must have no problems."""
    read: dict[str, Callable[[str], str]] = {
        "types": lambda text: API_TYPES[_FAMILIES[text.strip().lower()]],
        "subdirs": lambda text: text.strip().lower(),
        **dict.fromkeys(SPEC_LISTS, str.strip),
        **dict.fromkeys(LICENSE_LISTS, canonical),
        "cve_statuses_excluded": lambda text: text.strip().lower(),
    }
    out: dict[str, Any] = {
        field: list(dict.fromkeys(read[field](entry) for entry in filters.get(field) or ()))
        for field in LISTS
    }
    score = filters.get("cve_score_threshold")
    # JSON has 7 and 7.0 for one number, and the digest is of its text.
    out["cve_score_threshold"] = None if score is None else float(score)
    out["cve_unknown"] = filters.get("cve_unknown") or CVE_UNKNOWN[0]
    for field, default in FLAGS.items():
        value = filters.get(field)
        # Null means that nobody said anything, which is not the same as false.
        out[field] = default if value is None else bool(value)
    for field in DATES:
        date = day(filters.get(field))
        out[field] = None if date is None else date.isoformat()
    return out | normalized_age(filters) | normalized_slimming(filters)
