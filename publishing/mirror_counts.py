"""What each mirror of a channel shows: every file of its index, by what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels.models import Channel, Package
from ecosystems import registry
from filters.rules.model import Rule
from mirrors.models import Mirror, Snapshot
from publishing.listings import count


def recount(channel: Channel) -> None:
    """Let each mirror of the channel show what the publication has just judged."""
    totals: dict[str, dict[str, int]] = {}
    rows = Package.objects.at(channel.current).filter(channel=channel)
    for tallies in rows.values_list("tally", flat=True).iterator():
        for mirror_id, tally in tallies.items():
            total = totals.setdefault(mirror_id, {})
            for key, number in tally.items():
                total[key] = total.get(key, 0) + number
    mirrors = Mirror.objects.filter(channel=channel, deleted_at=None)
    for mirror in mirrors.select_related("filter", "upstream"):
        counts = count([totals.get(str(mirror.pk), {})])
        add_index(counts, mirror, mirror.filter.terms)
        if counts != mirror.counts:
            Mirror.objects.filter(pk=mirror.pk).update(counts=counts)


def add_index(counts: dict[str, Any], mirror: Mirror, terms: Mapping[str, Any]) -> None:
    """Add what the accepted indexes list, and what is unreadable in them."""
    asked = set(registry.get(mirror.kind).sections(terms.get("subdirs") or []))
    counts["listed"] = invalid = 0
    for snapshot in Snapshot.objects.filter(accepted__mirror=mirror, section__in=asked):
        invalid += snapshot.invalid
        counts["listed"] += snapshot.listed
    if invalid:
        filtered = counts["mirror_filtered"]
        filtered[Rule.INVALID] = filtered.get(Rule.INVALID, 0) + invalid
