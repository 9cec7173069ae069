"""Counts outcomes: by package, by mirror, and in the shape in which runs and the API show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TypedDict

from django.db.models import QuerySet

from channels.models import Channel, Package
from ecosystems import registry
from filters.rules.form import Terms
from filters.rules.model import Rule
from filters.rules.vulnerabilities import unscored_names
from mirrors.models import Mirror, Snapshot
from publishing.outcomes import SourceRecords, State

LICENSE_UNKNOWN = "license_unknown"
"""Counts kept files on which license rules cannot act, because nobody has said the license."""

CVE_UNKNOWN = "cve_unknown"
"""Counts kept files that a rule on scores cannot judge: nobody scores one of their advisories."""

Tally = dict[str, int]
"""How many files became what, by `Outcome.key`; with `LICENSE_UNKNOWN` and `CVE_UNKNOWN`. No
zeros."""


class FileCounts(TypedDict):
    """Every file that a mirror's indexes list, by what became of it.

    active + passive + missing + all filtered = listed. Filtered are counted by rule, no zeros.
    """

    active: int
    passive: int
    missing: int
    stays: int
    """Not among those listed: the upstream has dropped them."""
    license_unknown: int
    """Among active, passive and missing."""
    cve_unknown: int
    """Among active, passive and missing."""
    mirror_filtered: dict[str, int]
    channel_filtered: dict[str, int]
    listed: int


def tally_of(part: SourceRecords) -> Tally:
    """How many of a source's records became what: `Package.tally` of its mirror."""
    tally: Tally = dict(Counter(outcome.key for _, outcome in part.decided()))
    if part.licenses:
        unknown = sum(not record.license_known for record in part.kept())
        tally |= {LICENSE_UNKNOWN: unknown} if unknown else {}
    if part.advisories is not None and part.scores:
        unscored = sum(bool(unscored_names(part.advisories(record))) for record in part.kept())
        tally |= {CVE_UNKNOWN: unscored} if unscored else {}
    if part.dropped:
        tally[str(State.STAYS)] = len(part.dropped)
    return tally


def by_package(rows: QuerySet[Package], mirror_id: int) -> Iterator[tuple[str, str, Tally]]:
    """Section, name and tally of each package that this mirror has records of."""
    # JSON has texts for keys.
    key = str(mirror_id)
    for section, name, tallies in rows.values_list("section", "name", "tally").iterator():
        if key in tallies:
            yield section, name, tallies[key]


def add_tally(total: Tally, tally: Mapping[str, int]) -> None:
    """Add a tally to `total`."""
    for key, number in tally.items():
        total[key] = total.get(key, 0) + number


def file_counts(tallies: Iterable[Mapping[str, int]], snapshots: Iterable[Snapshot]) -> FileCounts:
    """Tallies of one mirror added up, and what its snapshots list and cannot read."""
    total: Tally = {}
    for tally in tallies:
        add_tally(total, tally)
    counts = FileCounts(
        active=total.pop(State.PRESENT, 0),
        passive=total.pop(State.ON_DEMAND, 0),
        missing=total.pop(State.MISSING, 0),
        stays=total.pop(State.STAYS, 0),
        license_unknown=total.pop(LICENSE_UNKNOWN, 0),
        cve_unknown=total.pop(CVE_UNKNOWN, 0),
        mirror_filtered={},
        channel_filtered={},
        listed=0,
    )
    # What is left are excluded files, as "mirror.license".
    for key, number in sorted(total.items()):
        by, rule = key.split(".", 1)
        filtered = counts["mirror_filtered"] if by == "mirror" else counts["channel_filtered"]
        filtered[rule] = number
    for snapshot in snapshots:
        counts["listed"] += snapshot.listed
        if snapshot.invalid:
            add_tally(counts["mirror_filtered"], {Rule.INVALID: snapshot.invalid})
    return counts


def planned(counts: FileCounts, mirror: Mirror) -> int:
    """How many files an active mirror has or is to download; 0 for a passive one."""
    return counts["active"] + counts["missing"] if mirror.active else 0


def accepted_snapshots(mirror: Mirror, terms: Terms) -> list[Snapshot]:
    """The snapshots that the mirror publishes from, of the sections that `terms` ask for."""
    asked = registry.get(mirror.kind).sections(terms.get("subdirs") or [])
    return list(Snapshot.objects.filter(accepted__mirror=mirror, section__in=asked))


def recount(channel: Channel) -> None:
    """Let each mirror of the channel show what the publication has just judged."""
    totals: dict[str, Tally] = {}
    rows = Package.objects.at(channel.current).filter(channel=channel)
    # Added up here: no query can add up keys of JSON on both databases.
    for tallies in rows.values_list("tally", flat=True).iterator():
        for mirror_id, tally in tallies.items():
            add_tally(totals.setdefault(mirror_id, {}), tally)
    mirrors = Mirror.objects.filter(channel=channel, deleted_at=None)
    for mirror in mirrors.select_related("filter", "upstream"):
        snapshots = accepted_snapshots(mirror, mirror.filter.terms)
        counts = file_counts([totals.get(str(mirror.pk), {})], snapshots)
        # Most publications change one mirror of a channel: the others cost no write.
        if counts != mirror.counts:
            Mirror.objects.filter(pk=mirror.pk).update(counts=counts)
