"""Keeps `ListedAdvisory` rows as the listings and the advisories are: what the pages on CVEs read.

It follows publications, also in frozen channels, whose content advisories are about just the same.
Only packages are looked at whose listing or whose advisories changed since the last time; of those
only the ones with any advisory are opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q

from advisories import change_log
from advisories.matching.facts import Match
from channels.models import Channel, ListedAdvisory, Package
from ecosystems.progress import Stop, never_stop
from publishing import file_advisories
from publishing.changed_names import packages_named
from publishing.published_records import records_of

BATCH = 200
"""Packages of one transaction."""


class _Place(NamedTuple):
    family: str
    section: str
    name: str


def outdated() -> list[Channel]:
    """Channels of which something changed since they were indexed last."""
    number = change_log.last_number()
    # Number 0: nothing was ever imported, so no channel has rows.
    if not number:
        return []
    behind = Q(indexed_advisories__lt=number) | ~Q(indexed_revision=F("current"))
    return list(Channel.objects.filter(behind, deleted_at=None).order_by("pk"))


def update(channel: Channel, *, stop: Stop = never_stop) -> None:
    """Bring the rows of a channel up to date."""
    # Before the rows are read: what changes meanwhile is looked at the next time.
    number = change_log.last_number()
    channel.refresh_from_db(fields=["current", "indexed_revision", "indexed_advisories"])
    revision = channel.current
    for places in _batches(_changed(channel)):
        stop()
        _index(channel, places)
    # After the rows: an indexing that dies in between is done again from where it began.
    Channel.objects.filter(pk=channel.pk).update(
        indexed_revision=revision, indexed_advisories=number
    )


def _changed(channel: Channel) -> list[_Place]:
    """The packages whose rows may be others now, by section."""
    rows = Package.objects.filter(channel=channel)
    since, listed_since = channel.indexed_advisories, channel.indexed_revision
    # Rows tell by themselves what revisions changed, so no difference has to be computed.
    moved = Q(added_in__gt=listed_since, added_in__lte=channel.current) | Q(
        removed_in__gt=listed_since, removed_in__lte=channel.current
    )
    places = {_Place(*values) for values in rows.filter(moved).values_list(*_Place._fields)}
    changed = change_log.names_since(since)
    if changed:
        named = packages_named(channel, changed)
        places |= {_Place(row.family, row.section, row.name) for row in named}
    return sorted(places)


def _batches(places: Iterable[_Place]) -> Iterable[Sequence[_Place]]:
    # `places` are sorted by family and section, which `groupby` relies on.
    for _, of_section in groupby(places, key=lambda place: place[:2]):
        while batch := list(islice(of_section, BATCH)):
            yield batch


def _index(channel: Channel, places: Sequence[_Place]) -> None:
    family, section, _ = places[0]
    names = [place.name for place in places]
    with transaction.atomic():
        # One at a time: two would write the same rows.
        Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
        # Also of packages that are gone or have no advisory any more: they get no new rows.
        ListedAdvisory.objects.filter(channel=channel, section=section, package__in=names).delete()
        rows = (
            Package.objects.at(channel.current)
            .filter(channel=channel, section=section, name__in=names, shard__isnull=False)
            .select_related("shard")
        )
        ListedAdvisory.objects.bulk_create(
            listed
            for name, matches in _matches(family, list(rows)).items()
            for listed in _rows(channel, _Place(family, section, name), matches)
        )


def _matches(family: str, rows: list[Package]) -> dict[str, list[Match]]:
    """The matches of all listed files, by package: one for each file and advisory."""
    with_advisories = file_advisories.names_with_any(family, [row.name for row in rows])
    opened = {
        # Purls name packages that the name alone does not tell of, so these are always opened.
        row.name: records_of(row)
        for row in rows
        if row.has_purls or row.name in with_advisories
    }
    facts = file_advisories.load(family, opened)
    return {
        name: [match for record in opened[name] for match in of_file(record).matches]
        for name, of_file in facts.items()
    }


def _rows(channel: Channel, place: _Place, matches: list[Match]) -> list[ListedAdvisory]:
    rows: dict[tuple[str, str], ListedAdvisory] = {}
    for match in matches:
        key = match.id, str(match.status)
        row = rows.get(key)
        if row is None:
            rows[key] = _row(channel, place, match)
        else:
            row.files += 1
            row.malware = row.malware or match.malware
    return list(rows.values())


def _row(channel: Channel, place: _Place, match: Match) -> ListedAdvisory:
    score = match.score
    return ListedAdvisory(
        channel=channel,
        family=place.family,
        section=place.section,
        package=place.name,
        advisory=match.id,
        status=match.status,
        severity=match.severity,
        score=score.value if score else None,
        score_version=score.version if score else "",
        malware=match.malware,
        matched_by=match.matched_by,
        files=1,
    )
