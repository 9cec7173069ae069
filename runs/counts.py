"""What a run has counted at its end: every file that the upstream lists, by what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, TypedDict

from channels.models import Channel, Package, Revision
from ecosystems import registry
from mirrors.models import Mirror, Run
from publishing.diff import compare
from publishing.inputs import gather, with_terms
from publishing.tallies import (
    LICENSE_UNKNOWN,
    Tally,
    accepted_snapshots,
    by_package,
    file_counts,
    planned,
)
from runs.context import RunContext


class ChannelChanges(TypedDict):
    """What the revisions that a run published changed in the channel, in files."""

    added: int
    replaced: int
    removed: int
    revisions: list[int]
    """The one before, and the last; empty where there is none."""


class RunCounts(ChannelChanges):
    """`Run.counts`. active + passive + failed + all filtered = listed, once nothing is missing.

    Filtered files are counted by rule, without zeros.
    """

    active: int
    passive: int
    failed: int
    active_planned: int
    """Of an active mirror: what is here or still to be downloaded."""
    stays: int
    license_unknown: int
    cve_unknown: int
    mirror_filtered: dict[str, int]
    channel_filtered: dict[str, int]
    listed: int
    unsettled: bool
    """Whether a file is missing or failed, so that the next run has something to do."""


NO_CHANGES = ChannelChanges(added=0, replaced=0, removed=0, revisions=[])


def published(context: RunContext, channel: Channel, changes: ChannelChanges) -> RunCounts:
    """The counts as the publication wrote them."""
    rows = Package.objects.at(channel.current).filter(channel=channel)
    # The publication judged by the saved filter, which may have changed since the run began.
    saved = Mirror.objects.select_related("filter").get(pk=context.run.mirror_id)
    tallies = (tally for *_, tally in by_package(rows, context.run.mirror_id))
    return _counts(context.run, tallies, saved.filter.terms, changes)


def unpublished(context: RunContext, channel: Channel, changes: ChannelChanges) -> RunCounts:
    """The counts where nothing is published: what a publication would count now."""
    run = context.run
    inputs = with_terms(gather(channel), run.mirror_id, run.filters)
    ecosystem = registry.get(run.mirror.kind)
    difference = compare(
        channel,
        [(inputs.section(ecosystem, section), None) for section in inputs.sections(ecosystem)],
        stop=context.check,
        progress=context.progress,
        mirror_id=run.mirror_id,
        planning=False,
    )
    context.log(str(difference))
    return _counts(run, [difference.tallies.get(run.mirror_id, {})], run.filters, changes)


def _counts(
    run: Run, tallies: Iterable[Tally], terms: Mapping[str, Any], changes: ChannelChanges
) -> RunCounts:
    """The counts of what `terms` ask for, with the run's failures."""
    counts = file_counts(tallies, accepted_snapshots(run.mirror, terms))
    failed = run.failures.count()
    return RunCounts(
        active=counts["active"],
        passive=counts["passive"],
        failed=failed,
        active_planned=planned(counts, run.mirror),
        stays=counts["stays"],
        license_unknown=counts["license_unknown"],
        cve_unknown=counts["cve_unknown"],
        mirror_filtered=counts["mirror_filtered"],
        channel_filtered=counts["channel_filtered"],
        listed=counts["listed"],
        unsettled=bool(counts["missing"] or failed),
        **changes,
    )


def packages_of_unknown_license(run: Run, *, most: int) -> list[str]:
    """The first packages with files whose license is unknown."""
    channel = Channel.objects.get(pk=run.mirror.channel_id)
    rows = Package.objects.at(channel.current).filter(channel=channel).order_by("name")
    names = (
        name for _, name, tally in by_package(rows, run.mirror_id) if tally.get(LICENSE_UNKNOWN)
    )
    return list(islice(names, most))


def files(number: int) -> str:
    """ "1 file", "1,234 files"."""
    return f"{number:,} file{'' if number == 1 else 's'}"


def changes_since(mirror: Mirror, since: int) -> ChannelChanges:
    """What the revisions after `since` changed in the mirror's channel."""
    newer = Revision.objects.filter(channel_id=mirror.channel_id, number__gt=since)
    revisions = list(newer.order_by("number"))
    return ChannelChanges(
        added=sum(revision.added for revision in revisions),
        replaced=sum(revision.replaced for revision in revisions),
        removed=sum(revision.removed for revision in revisions),
        revisions=[since, revisions[-1].number] if revisions else [],
    )
