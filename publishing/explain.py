"""Why is a file (not) in a channel? The rule, and the value it looked at.

The rule: only the records of the package that is asked for are read, and of those no more than
`RECORDS`, whatever there are of sections and mirrors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import zstandard

from channels.listed_from import entry_of
from channels.models import Channel, Package
from channels.texts import UNREADABLE
from ecosystems import registry
from ecosystems.base import Ecosystem
from filters.rules import Reason, judge
from filters.rules.model import Rule
from publishing.inputs import Inputs, gather
from publishing.judge import judge_name, resolve
from publishing.outcomes import Case, Part, State

MOST = 1000
"""Files that one question is answered for."""
RECORDS = 20_000
"""Records that one question reads; what a first mirror has of a package is read whole."""
OLDER = "It is listed as it was before; what the upstream lists now is not downloaded yet."
DROPPED = "The upstream no longer lists it; it stays until a run of the mirror is complete."
ROWS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What one mirror's and the channel's rules say about one file."""

    filename: str
    section: str
    name: str
    mirror: str
    kept: bool
    state: str
    """As `publishing.outcomes.State`."""
    by: str = ""
    rule: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say about one file; `message` is a whole sentence for the client."""

    refused: bool
    message: str


@dataclass(slots=True)
class Answers:
    """The answers to one question, and whether there may be more files that fit it."""

    items: list[dict[str, object]]
    more: bool = False


def why(channel: Channel, query: str) -> Answers:
    """An answer per file for a package name or a file name; none where no upstream lists it."""
    inputs, budget = gather(channel), _Budget()
    found: list[dict[str, object]] = []
    for ecosystem in inputs.ecosystems():
        for section in inputs.sections(ecosystem):
            for answer in _asked(inputs, ecosystem, section, query, budget):
                if len(found) == MOST:
                    return Answers(found, more=True)
                found.append(asdict(answer))
    return Answers(found, more=budget.exceeded)


class _Budget:
    """The records that one question may still read."""

    def __init__(self) -> None:
        self._left = RECORDS
        self.exceeded = False

    def within(self, case: Case, name: str) -> Case:
        """The case with as many of its sources as may be read.

        The oldest ones: what becomes of a file does not depend on newer mirrors.
        """
        sources = []
        for source in case.sources:
            entry = source.pack.names().get(name)
            records = entry.count if entry else 0
            if records > self._left and self._left < RECORDS:
                self.exceeded = True
                break
            self._left -= records
            sources.append(source)
        return case if len(sources) == len(case.sources) else replace(case, sources=tuple(sources))


def _asked(
    inputs: Inputs, ecosystem: Ecosystem, section: str, query: str, budget: _Budget
) -> Iterator[Answer]:
    """Of a package's files, or of the one file that `query` names, whatever its name is like."""
    name = ecosystem.package_name(query)
    plain = ecosystem.normalize_name(query) if name is None else name
    case = inputs.case(ecosystem, section, names=[plain])
    answers = _answers(budget.within(case, plain), plain)
    if name is not None:
        yield from (one for one in answers if one.filename == query)
        return
    yield from answers
    # A file whose name is no file name of this type: it is among what was left out.
    for odd in sorted(_left_out_of(case, plain)):
        some = _answers(budget.within(case, odd), odd)
        yield from (one for one in some if one.filename == query)
    for one in inputs.mirrors:
        snapshot = one.snapshots.get(section) if one.ecosystem.kind == ecosystem.kind else None
        if snapshot is not None and query in snapshot.invalid_names:
            reason = ("mirror", Rule.INVALID, UNREADABLE)
            yield Answer(query, section, "", one.mirror.name, False, "left_out", *reason)


def _left_out_of(case: Case, text: str) -> set[str]:
    """The packages with invalid records whose name `text` begins with."""
    beginnings = {text[:end] for end in range(1, len(text))}
    return {name for source in case.sources for name in beginnings & source.pack.left_out.keys()}


def verdict(channel: Channel, section: str, filename: str) -> Verdict | None:
    """What today's rules say of a file: for clients' 404s and for files of older revisions."""
    inputs = gather(channel)
    for ecosystem in inputs.ecosystems():
        name = ecosystem.package_name(filename) if ecosystem.owns_section(section) else None
        if name is None:
            continue
        if section not in inputs.sections(ecosystem):
            return _from_rows(inputs, section, name, filename)
        case = inputs.case(ecosystem, section, names=[name])
        answers = [answer for answer in _answers(case, name) if answer.filename == filename]
        if not answers and _withdrawn(case, name):
            return Verdict(True, f"The upstream has withdrawn all files of {name}.")
        if not answers:
            return _from_rows(inputs, section, name, filename)
        kept = [answer for answer in answers if answer.kept]
        if not kept:
            first = answers[0]
            reason = Reason(first.by, Rule(first.rule), first.detail)
            return Verdict(True, _sentence(filename, first.mirror, reason))
        if kept[0].state == "missing":
            return Verdict(
                False,
                f"{filename} passes the filters; the mirror {kept[0].mirror} "
                "has not downloaded it yet.",
            )
        return Verdict(False, f"{filename} passes the filters of {channel.path}.")
    return None


def _withdrawn(case: Case, name: str) -> bool:
    """Whether an upstream says that nothing of the package may be used, and none has any of it."""
    bodies = [one.pack.read(name) for one in case.sources if name in one.pack.names()]
    return any(case.ecosystem.withdrawn(body) is None for body in bodies)


def _answers(case: Case, name: str) -> list[Answer]:
    judged = judge_name(case, name)
    resolve(case, [judged])
    return [answer for part in judged.parts for answer in _answers_of(case, name, part)]


def _answers_of(case: Case, name: str, part: Part) -> Iterator[Answer]:
    for record, reason, state in zip(part.records, part.reasons, part.states, strict=True):
        shared = (record.filename, case.section, name, part.source.mirror_name)
        if reason is not None:
            yield Answer(*shared, False, "left_out", *reason)
        elif record.filename in part.stays:
            yield Answer(*shared, True, "active", detail=OLDER)
        else:
            yield Answer(*shared, True, str(state))
    for filename in part.dropped():
        shared = (filename, case.section, name, part.source.mirror_name)
        yield Answer(*shared, True, str(State.STAYS), detail=DROPPED)


def _from_rows(inputs: Inputs, section: str, name: str, filename: str) -> Verdict | None:
    """A file that no upstream lists any more is judged by the record that was published."""
    rows = Package.objects.filter(
        channel=inputs.channel, section=section, name=name, shard__isnull=False
    )
    for row in rows.select_related("shard").order_by("-added_in")[:ROWS]:
        known, answer = _from_row(inputs, row, filename)
        if known:
            return answer
    return None


def _from_row(inputs: Inputs, row: Package, filename: str) -> tuple[bool, Verdict | None]:
    """Whether the row lists the file, and what the rules of the mirror it came from say."""
    ecosystem = registry.of_family(row.family)
    assert row.shard is not None
    body = zstandard.ZstdDecompressor().decompress(bytes(row.shard.body))
    records = ecosystem.records(body, section=row.section, name=row.name)
    if all(record.filename != filename for record in records):
        return False, None
    entry = entry_of(row.sources, filename)
    mirror_id = entry.mirror_id if entry else None
    for one in inputs.mirrors:
        if one.mirror.pk == mirror_id:
            reasons = judge(
                row.section,
                row.name,
                records,
                mirror=one.rules,
                channels=inputs.channel_rules[ecosystem.family],
                kind=ecosystem.family,
            )
            for record, reason in zip(records, reasons, strict=True):
                if record.filename == filename and reason is not None:
                    return True, Verdict(True, _sentence(filename, one.mirror.name, reason))
    return True, Verdict(False, f"The upstream no longer lists {filename}.")


def _sentence(filename: str, mirror: str, reason: Reason) -> str:
    whose = (
        f"the filter of the mirror {mirror}" if reason.by == "mirror" else "the channel's filter"
    )
    return f"{filename} is left out by {whose}: {reason.detail}."
