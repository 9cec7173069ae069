"""The files behind the numbers of a run, computed again from what it judged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from channels.errors import WrongState
from channels.models import Channel
from channels.rules import channel_rules
from channels.texts import UNREADABLE
from ecosystems.progress import Stop
from ecosystems.records import Record
from mirrors.models import Run, Snapshot
from publishing.inputs import Inputs, gather, one_input
from publishing.judge import judged
from publishing.outcomes import Part, State


class Line(NamedTuple):
    """One file of a list: what became of it and why."""

    section: str
    filename: str
    reason: str
    """`active`, `passive`, `missing`, `stays`, `failed`, or `mirror.<rule>` / `channel.<rule>`."""
    detail: str
    size: int


def files(
    run: Run,
    reason: str | None = None,
    *,
    among: Mapping[str, Collection[str]] | None = None,
    stop: Stop = lambda: None,
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
    for section in inputs.sections(ecosystem):
        case = inputs.case(ecosystem, section)
        names = case.names() if among is None else sorted(among.get(section, ()))
        for batch in judged(case, names, stop=stop):
            parts = (part for one in batch for part in one.parts)
            for part in parts:
                if part.source.mirror_id == run.mirror_id:
                    yield from _asked(_lines(section, part), part, section, reason)
    if reason in (None, "mirror.invalid"):
        yield from _invalid(run)


def _asked(lines: Iterator[Line], part: Part, section: str, reason: str | None) -> Iterator[Line]:
    """The lines of the reason; of what the upstream lists, if none is given."""
    if reason == State.STAYS:
        for filename in sorted(part.dropped()):
            size = part.stays[filename].record.size
            yield Line(section, filename, str(State.STAYS), "", size)
    yield from (line for line in lines if reason in (None, line.reason))


def _lines(section: str, part: Part) -> Iterator[Line]:
    for record, why, state in zip(part.records, part.reasons, part.states, strict=True):
        if why is not None:
            size = record.size if isinstance(record, Record) else -1
            yield Line(section, record.filename, f"{why.by}.{why.rule}", why.detail, size)
            continue
        assert isinstance(record, Record)
        yield Line(section, record.filename, str(state), "", record.size)


def _inputs(run: Run) -> Inputs:
    """The channel's inputs with the run's mirror as it was: its filter, its snapshots."""
    snapshots = Snapshot.objects.in_bulk(list(run.snapshots.values()))
    if len(snapshots) < len(run.snapshots):
        raise WrongState(f"The snapshots of {run} are no longer kept, so it has no lists.")
    channel = Channel.objects.select_related("filter", "parent__filter").get(
        pk=run.mirror.channel_id
    )
    was = {section: snapshots[pk] for section, pk in run.snapshots.items()}
    others = [one for one in gather(channel).mirrors if one.mirror.pk != run.mirror_id]
    mine = one_input(run.mirror, run.terms, was)
    mirrors = sorted([*others, mine], key=lambda one: one.mirror.pk)
    mirrors = [one for one in mirrors if one.ecosystem.kind == mine.ecosystem.kind]
    return Inputs(channel, channel_rules(channel), tuple(mirrors))


def _invalid(run: Run) -> Iterator[Line]:
    for snapshot in Snapshot.objects.filter(pk__in=run.snapshots.values()):
        for name in snapshot.invalid_names:
            yield Line(snapshot.section, name, "mirror.invalid", UNREADABLE, -1)
