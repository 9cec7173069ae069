"""Which packages have to be judged again, since when: the log that publications read.

Whoever changes what is known of a package notes it here in the same transaction. Each note gets
the next number, and a publication remembers the number up to which it has judged, so neither a
crash between the two nor a rollback to an older revision loses a change. Of each package only the
last change is kept: the log is no larger than the list of packages that advisories are about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import F

from advisories import rows
from advisories.formats import purl
from advisories.models import AffectedPackage, ChangeCounter, ChangedPackage, Mapping

ROW = 1
_KEY = ("family", "name", "malware")

Package = tuple[str, str]
"""Ecosystem and name, as advisories name packages."""
Name = tuple[str, str]
"""Artifact family (`conda`, `python`, `cran`) and name, as `catalog.curated_name` spells it."""


@dataclass
class Changes:
    """What one transaction changes, by packages of ecosystems and by names of files."""

    packages: set[Package] = field(default_factory=set)
    names: set[Name] = field(default_factory=set)
    """Files that a curation or a mapping is about."""
    malware: set[Package | Name] = field(default_factory=set)
    """Those of `packages` and `names` of which malware is, or was, reported."""


class ProjectNames:
    """The conda packages that hold a Python project: the name mapping, read backwards, once."""

    def __init__(self) -> None:
        self._conda_names: dict[str, list[str]] | None = None

    def conda_names(self, project: str) -> list[str]:
        """Also by entries that one by hand overrules: to judge a package in vain harms nothing."""
        if self._conda_names is None:
            self._conda_names = defaultdict(list)
            entries = Mapping.objects.exclude(projects=None)
            for conda_name, projects in entries.values_list("conda_name", "projects").iterator():
                for project_name in projects or ():
                    self._conda_names[project_name].append(conda_name)
        return self._conda_names.get(project, [])


def note(changes: Changes, projects: ProjectNames | None = None) -> None:
    """Log changes; call it inside their transaction, after they are written."""
    reverse = projects or ProjectNames()
    changed: set[tuple[str, str, bool]] = set()
    for ecosystem, name in changes.packages:
        malware = (ecosystem, name) in changes.malware
        changed.update((*key, malware) for key in names_of(ecosystem, name, reverse))
    for key in changes.names:
        changed.add((*key, key in changes.malware))
    if not changed:
        return
    # Only now: the counter's row stays locked from here to the end of the transaction.
    number = _next_number()
    logged = [(*key, number) for key in sorted(changed)]
    rows.insert(ChangedPackage, (*_KEY, "number"), logged, unique=_KEY)


def last_number() -> int:
    """The number of the last change whose transaction has ended."""
    number = ChangeCounter.objects.filter(pk=ROW).values_list("number", flat=True).first()
    return number or 0


def names_since(number: int, *, malware_only: bool = False) -> dict[str, set[str]]:
    """The names that changed after `number`, by artifact family."""
    changed = ChangedPackage.objects.filter(number__gt=number)
    if malware_only:
        changed = changed.filter(malware=True)
    names: dict[str, set[str]] = {}
    for family, name in changed.values_list("family", "name").iterator():
        names.setdefault(family, set()).add(name)
    return names


def with_malware(packages: Iterable[Package]) -> set[Package]:
    """Those of the packages that any source reports malware of."""
    by_ecosystem: dict[str, list[str]] = {}
    for ecosystem, name in packages:
        by_ecosystem.setdefault(ecosystem, []).append(name)
    reported: set[Package] = set()
    for ecosystem, names in by_ecosystem.items():
        affected = AffectedPackage.objects.filter(
            ecosystem=ecosystem, name__in=names, record__malware=True
        )
        reported.update((ecosystem, name) for name in affected.values_list("name", flat=True))
    return reported


def names_of(ecosystem: str, name: str, projects: ProjectNames) -> Iterator[Name]:
    """The files that an advisory of a package can be about: `candidates`, read backwards."""
    if ecosystem == purl.PYPI:
        yield "python", name
        yield from (("conda", conda_name) for conda_name in projects.conda_names(name))
    elif ecosystem == purl.CRAN:
        yield "cran", name
        yield "conda", f"r-{name}"
    # R channels list packages of both repositories, whose names do not overlap.
    elif ecosystem == purl.BIOCONDUCTOR:
        yield "cran", name
        yield "conda", f"bioconductor-{name}"
    elif ecosystem == purl.CONDA:
        yield "conda", name


def _next_number() -> int:
    """One more than before. The row stays locked until the transaction ends.

    So numbers become visible in their order: whoever has read n has seen every change up to n.
    """
    if not ChangeCounter.objects.filter(pk=ROW).update(number=F("number") + 1):
        # The first change ever. Two may come at once: the second finds the row and waits for its
        # lock.
        ChangeCounter.objects.get_or_create(pk=ROW)
        ChangeCounter.objects.filter(pk=ROW).update(number=F("number") + 1)
    return last_number()
