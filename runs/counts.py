"""What a run has counted at its end: every file that the upstream lists, by what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from channels.models import Channel, Package, Revision
from ecosystems import registry
from mirrors.models import Mirror, Run
from publishing.diff import compare
from publishing.inputs import as_begun, gather
from publishing.listings import UNKNOWN_LICENSE, count
from publishing.mirror_counts import add_index
from runs.context import Work


def listed(work: Work, channel: Channel) -> dict[str, Any]:
    """The counts as the publication wrote them."""
    rows = Package.objects.at(channel.current).filter(channel=channel)
    key = str(work.run.mirror_id)
    tallies = rows.values_list("tally", flat=True).iterator()
    saved = Mirror.objects.select_related("filter").get(pk=work.run.mirror_id)
    return _counts(work, count(tally[key] for tally in tallies if key in tally), saved.filter.terms)


def unpublished(work: Work, channel: Channel) -> dict[str, Any]:
    """The counts where nothing is published: what a publication would count now."""
    run = work.run
    inputs = as_begun(gather(channel), run.mirror_id, run.terms)
    ecosystem = registry.get(run.mirror.kind)
    difference = compare(
        channel,
        [(inputs.case(ecosystem, section), None) for section in inputs.sections(ecosystem)],
        stop=work.check,
        progress=work.progress,
        mirror_id=run.mirror_id,
        here_only=True,
    )
    work.log(difference.words)
    return _counts(work, count([difference.tallies.get(run.mirror_id, {})]), run.terms)


def _counts(work: Work, counts: dict[str, Any], terms: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the counts of what `terms` ask for: failures, and records that are unreadable."""
    run = work.run
    add_index(counts, run.mirror, terms)
    missing = counts.pop("missing")
    counts["failed"] = run.failures.count()
    counts["active_planned"] = counts["active"] + missing if run.mirror.active else 0
    counts["unsettled"] = bool(missing or counts["failed"])
    return counts


def unlicensed(run: Run, *, most: int) -> list[str]:
    """The first packages with files whose license is unknown."""
    channel = Channel.objects.get(pk=run.mirror.channel_id)
    rows = Package.objects.at(channel.current).filter(channel=channel).order_by("name")
    found = (
        name
        for name, tally in rows.values_list("name", "tally").iterator()
        if tally.get(str(run.mirror_id), {}).get(UNKNOWN_LICENSE)
    )
    return list(islice(found, most))


def files(number: int) -> str:
    """ "1 file", "1,234 files"."""
    return f"{number:,} file{'' if number == 1 else 's'}"


NOTHING = {"added": 0, "replaced": 0, "removed": 0}
"""What a run changed that published nothing."""


def changes(mirror: Mirror, since: int) -> dict[str, Any]:
    """What the revisions published during this run changed in the channel, and which these are."""
    revisions = Revision.objects.filter(channel_id=mirror.channel_id, number__gt=since)
    found = list(revisions.order_by("number"))
    sums = {key: sum(getattr(one, key) for one in found) for key in NOTHING}
    return {**sums, "revisions": [since, found[-1].number]} if found else sums
