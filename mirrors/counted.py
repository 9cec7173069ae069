"""What a run has counted at its end: every file that the upstream lists, by what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from channels.models import Channel, Package, Revision
from ecosystems import registry
from mirrors.compare import compare
from mirrors.inputs import as_begun, gather
from mirrors.judge import UNKNOWN_LICENSE, count
from mirrors.models import Mirror, Run, Snapshot
from mirrors.work import Work


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
    )
    work.log(difference.words)
    return _counts(work, count([difference.tallies.get(run.mirror_id, {})]), run.terms)


def _counts(work: Work, counts: dict[str, Any], terms: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the counts of what `terms` ask for: failures, and records that are unreadable."""
    run = work.run
    asked = set(registry.get(run.mirror.kind).sections(terms.get("subdirs") or []))
    invalid = listed = 0
    for snapshot in Snapshot.objects.filter(accepted__mirror=run.mirror):
        if snapshot.section in asked:
            invalid += snapshot.invalid
            listed += snapshot.listed
    if invalid:
        filtered = counts["mirror_filtered"]
        filtered["invalid"] = filtered.get("invalid", 0) + invalid
    missing = counts.pop("missing")
    counts["failed"] = run.failures.count()
    counts["active_planned"] = counts["active"] + missing if run.mirror.active else 0
    counts["listed"] = listed
    counts["unsettled"] = bool(missing or counts["failed"])
    return counts


def unlicensed(run: Run, *, most: int) -> list[str]:
    """The first packages with files whose licence is unknown."""
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


def removed(mirror: Mirror, since: int) -> dict[str, Any]:
    """Files that revisions published during this run took from the channel, and which these are."""
    revisions = Revision.objects.filter(channel_id=mirror.channel_id, number__gt=since)
    numbers = list(revisions.order_by("number").values_list("number", "removed"))
    files = sum(count for _, count in numbers)
    return {"removed": files, "revisions": [since, numbers[-1][0]]} if files else {"removed": 0}
