"""What advisories say of the files that are judged: loaded for many packages at once.

Nothing is asked of the database that no rule needs: without rules on scores and statuses only
malware is looked for, and that only where any source reports some.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence

from advisories import catalog
from advisories.matching.facts import AdvisoryFacts, PackageAdvisories
from ecosystems.records import Invalid, Record
from filters.rules import Rules
from filters.rules.age import looks_at_age
from filters.rules.vulnerabilities import looks_at_scores


class Need(enum.IntEnum):
    """Which advisories rules have to know."""

    NOTHING = 0
    MALWARE = 1
    ALL = 2


class FileFacts:
    """What is known of each file of one package."""

    __slots__ = ("_advisories",)

    def __init__(self, advisories: PackageAdvisories) -> None:
        self._advisories = advisories

    def __call__(self, record: Record) -> AdvisoryFacts:
        return self._advisories.facts(record.version, record.filename, record.purls)


def need_of(rules: Iterable[Rules]) -> Need:
    """What these rules need together."""
    need = Need.NOTHING
    for filter_ in rules:
        # A young file that fixes an advisory is let through.
        if looks_at_scores(filter_) or looks_at_age(filter_):
            return Need.ALL
        if filter_.exclude_malware:
            need = Need.MALWARE
    return need


def load(
    family: str,
    packages: Mapping[str, Sequence[Record | Invalid]],
    need: Need = Need.ALL,
) -> dict[str, FileFacts]:
    """What is known of packages, by name; a package that no advisory is about has no entry."""
    # Malware is looked for in most channels; where no source reports any, one query is all it
    # costs.
    if need is Need.NOTHING or (need is Need.MALWARE and not catalog.has_malware()):
        return {}
    names = {
        name: {record.purls for record in records if isinstance(record, Record) and record.purls}
        for name, records in packages.items()
    }
    loaded = catalog.load(family, names, malware_only=need is Need.MALWARE)
    return {name: FileFacts(advisories) for name, advisories in loaded.items() if advisories}


def names_with_any(family: str, names: Iterable[str]) -> set[str]:
    """Those of the names that any advisory is about, as far as names and the mapping tell."""
    loaded = catalog.load(family, dict.fromkeys(names))
    return {name for name, advisories in loaded.items() if advisories}
