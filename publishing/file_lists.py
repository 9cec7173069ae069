"""The files behind the numbers of a run, computed again from what it judged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from channels.errors import WrongState
from channels.models import Channel
from channels.rules import channel_rules
from channels.texts import UNREADABLE
from ecosystems.progress import Stop, never_stop
from ecosystems.records import Record
from mirrors.models import Run, Snapshot
from publishing.inputs import Inputs, gather, mirror_inputs
from publishing.judge import judge_packages
from publishing.outcomes import SourceRecords, State


class Line(NamedTuple):
    """One file of a list: what became of it and why."""

    section: str
    filename: str
    reason: str
    """`failed`, or as `Outcome.key`."""
    detail: str
    size: int


def files(
    run: Run,
    reason: str | None = None,
    *,
    among: Mapping[str, Collection[str]] | None = None,
    stop: Stop = never_stop,
) -> Iterator[Line]:
    """The run's files, all or those of one reason; `WrongState` once its snapshots are gone.

    `among`: only files of these packages, by section.
    """
    if reason == "failed":
        for failure in run.failures.order_by("section", "filename"):
            yield Line(failure.section, failure.filename, "failed", failure.message, -1)
        return
    inputs = _inputs(run)
    ecosystem = inputs.mirrors[0].ecosystem
    for name in inputs.sections(ecosystem):
        section = inputs.section(ecosystem, name)
        names = section.names() if among is None else sorted(among.get(name, ()))
        for batch in judge_packages(section, names, stop=stop):
            for part in (part for package in batch for part in package.sources):
                if part.source.mirror_id == run.mirror_id:
                    yield from _lines(name, part, reason)
    if reason in (None, "mirror.invalid"):
        yield from _unnamed_invalid(run)


def _lines(section: str, part: SourceRecords, reason: str | None) -> Iterator[Line]:
    """The lines of the reason; of what the upstream lists, if none is given."""
    if reason == State.STAYS:
        for filename, published in sorted(part.dropped.items()):
            yield Line(section, filename, str(State.STAYS), "", published.record.size)
    for record, outcome in part.decided():
        if reason in (None, outcome.key):
            detail = outcome.reason.detail if outcome.reason else ""
            size = record.size if isinstance(record, Record) else -1
            yield Line(section, record.filename, outcome.key, detail, size)


def _inputs(run: Run) -> Inputs:
    """The channel's inputs with the run's mirror as it was: its filter, its snapshots."""
    stored = Snapshot.objects.in_bulk(list(run.snapshots.values()))
    # A part of them would give lists that contradict the run's counts, so there are none.
    if len(stored) < len(run.snapshots):
        raise WrongState(f"The snapshots of {run} are no longer kept, so it has no lists.")
    channel = Channel.objects.select_related("filter", "parent__filter").get(
        pk=run.mirror.channel_id
    )
    snapshots = {section: stored[pk] for section, pk in run.snapshots.items()}
    # The others as they are now: which duplicates they hide is not kept with the run.
    others = [mirror for mirror in gather(channel).mirrors if mirror.mirror.pk != run.mirror_id]
    mine = mirror_inputs(run.mirror, run.filters, snapshots)
    # The older mirror wins a file name, so their order is part of the answer.
    mirrors = sorted([*others, mine], key=lambda inputs: inputs.mirror.pk)
    mirrors = [inputs for inputs in mirrors if inputs.ecosystem.kind == mine.ecosystem.kind]
    return Inputs(channel, channel_rules(channel), tuple(mirrors))


def _unnamed_invalid(run: Run) -> Iterator[Line]:
    """Records of which not even the package can be read; no shard has them."""
    for snapshot in Snapshot.objects.filter(pk__in=run.snapshots.values()):
        for name in snapshot.invalid_names:
            yield Line(snapshot.section, name, "mirror.invalid", UNREADABLE, -1)
