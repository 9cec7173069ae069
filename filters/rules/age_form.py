"""The fields on age of a filter: how old files must be, and what is excepted.

    {"minimum_age_days": 7, "age_exceptions": [{"spec": "numpy==2.1", "expires_at": "2026-12-31"}]}

An exception holds to the end of its last day, UTC; without `expires_at` it holds for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ecosystems.errors import SpecError
from ecosystems.records import Spec
from filters.rules.problems import Problem, day, short

DAYS = "minimum_age_days"
EXCEPTIONS = "age_exceptions"
AGE_FIELDS = (DAYS, EXCEPTIONS)
MOST_DAYS = 3650
MOST_EXCEPTIONS = 1_000
LONGEST_SPEC = 200
_KEYS = ("spec", "expires_at")


def age_problems(filters: Mapping[str, object], spec: Callable[[str], Spec]) -> list[Problem]:
    """All that is wrong with the fields on age."""
    return [
        *_days_problems(filters.get(DAYS)),
        *_exceptions_problems(filters.get(EXCEPTIONS), spec),
    ]


def normalized_age(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The fields on age in their canonical form; `filters` must have no problems."""
    exceptions = {
        (entry["spec"].strip(), _iso(entry.get("expires_at"))): None
        for entry in filters.get(EXCEPTIONS) or ()
    }
    return {
        DAYS: filters.get(DAYS) or 0,
        EXCEPTIONS: [{"spec": text, "expires_at": last} for text, last in exceptions],
    }


def _days_problems(days: object) -> list[Problem]:
    if days is None:
        return []
    fits = isinstance(days, int) and not isinstance(days, bool) and 0 <= days <= MOST_DAYS
    why = f"the minimum age is a whole number of days from 0 to {MOST_DAYS:,}"
    return [] if fits else [Problem(DAYS, None, why)]


def _exceptions_problems(exceptions: object, spec: Callable[[str], Spec]) -> list[Problem]:
    if exceptions is None:
        return []
    if not isinstance(exceptions, list | tuple):
        why = f'"{EXCEPTIONS}" is a list of objects with the keys {" and ".join(_KEYS)}'
        return [Problem(EXCEPTIONS, None, why)]
    if len(exceptions) > MOST_EXCEPTIONS:
        why = f"{len(exceptions):,} exceptions are given, and at most {MOST_EXCEPTIONS:,} are taken"
        return [Problem(EXCEPTIONS, None, why)]
    return [
        Problem(EXCEPTIONS, index, why)
        for index, entry in enumerate(exceptions)
        if (why := _entry_problem(entry, spec))
    ]


def _entry_problem(entry: object, spec: Callable[[str], Spec]) -> str:
    if not isinstance(entry, Mapping):
        return f"{short(entry)} is not an object with the keys {' and '.join(_KEYS)}"
    if unknown := [short(key) for key in entry if key not in _KEYS]:
        return f"an exception has the keys {' and '.join(_KEYS)}, and not {', '.join(unknown)}"
    text = entry.get("spec")
    if not isinstance(text, str) or not text.strip():
        return 'the exception has no "spec" that names a package'
    if len(text) > LONGEST_SPEC:
        return f"the spec has {len(text)} characters, and at most {LONGEST_SPEC} are taken"
    try:
        spec(text.strip())
        day(entry.get("expires_at"))
    except (SpecError, ValueError) as error:
        return str(error)
    return ""


def _iso(value: object) -> str | None:
    last = day(value)
    return None if last is None else last.isoformat()
