"""Why is a file (not) in a channel? The outcome, and the value that the rule looked at.

Only the records of the package that is asked for are read, and of those no more than `RECORDS`,
whatever there are of sections and mirrors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from channels import shards
from channels.listed_from import entry_of
from channels.models import Channel, Package
from channels.texts import UNREADABLE
from ecosystems import registry
from ecosystems.base import Ecosystem
from ecosystems.records import Invalid, Record
from filters.rules import Reason
from filters.rules.model import Rule
from filters.rules.vulnerabilities import unscored_names
from publishing import file_advisories, file_ages
from publishing.inputs import Inputs, gather
from publishing.judge import apply_rules, decide_batch, rule_reasons
from publishing.outcomes import Outcome, SectionInputs, SourceRecords, State, excluded

MOST_FILES = 1000
"""Files that one question is answered for."""
RECORDS = 20_000
"""Records that one question reads; what a first mirror has of a package is read whole."""
ROWS = 20
"""Published rows that are searched for a file that no upstream lists."""
OLDER = "It is listed as it was before; what the upstream lists now is not downloaded yet."
DROPPED = "The upstream no longer lists it; it stays until a run of the mirror is complete."


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of one file of one mirror."""

    filename: str
    section: str
    name: str
    mirror: str
    kept: bool
    state: str
    """A `State`."""
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
    items: list[dict[str, object]] = []
    for ecosystem in inputs.ecosystems():
        for section in inputs.sections(ecosystem):
            for answer in _answers_in(inputs, ecosystem, section, query, budget):
                # Checked with one answer more in hand: exactly `MOST_FILES` are not "more".
                if len(items) == MOST_FILES:
                    return Answers(items, more=True)
                items.append(asdict(answer))
    return Answers(items, more=budget.exceeded)


class _Budget:
    """The records that one question may still read."""

    def __init__(self) -> None:
        self._left = RECORDS
        self.exceeded = False

    def within(self, section: SectionInputs, name: str) -> SectionInputs:
        """The section with as many of its sources as may be read.

        The oldest ones: what becomes of a file does not depend on newer mirrors.
        """
        sources = []
        for source in section.sources:
            entry = source.pack.names().get(name)
            records = entry.count if entry else 0
            # The first source is read whatever it has: an answer about a part of a package would
            # be wrong.
            if records > self._left and self._left < RECORDS:
                self.exceeded = True
                break
            self._left -= records
            sources.append(source)
        if len(sources) == len(section.sources):
            return section
        return replace(section, sources=tuple(sources))


def _answers_in(
    inputs: Inputs, ecosystem: Ecosystem, section_name: str, query: str, budget: _Budget
) -> Iterator[Answer]:
    """Of a package's files, or of the one file that `query` names, whatever its name is like."""
    file_of = ecosystem.package_name(query)
    name = ecosystem.normalize_name(query) if file_of is None else file_of
    section = inputs.section(ecosystem, section_name, names=[name])
    answers = _answers(budget.within(section, name), name)
    if file_of is not None:
        yield from (answer for answer in answers if answer.filename == query)
        return
    yield from answers
    yield from _invalid_answers(inputs, section, query, name, budget)


def _invalid_answers(
    inputs: Inputs, section: SectionInputs, query: str, name: str, budget: _Budget
) -> Iterator[Answer]:
    """Of a file whose name is no file name of this type: it is among the invalid records."""
    for package in sorted(_packages_with_invalid(section, name)):
        answers = _answers(budget.within(section, package), package)
        yield from (answer for answer in answers if answer.filename == query)
    for mirror in inputs.mirrors:
        same_type = mirror.ecosystem.kind == section.ecosystem.kind
        snapshot = mirror.snapshots.get(section.section) if same_type else None
        if snapshot is not None and query in snapshot.invalid_names:
            outcome = excluded(Reason("mirror", Rule.INVALID, UNREADABLE))
            yield _answer(query, section.section, "", mirror.mirror.name, outcome)


def _packages_with_invalid(section: SectionInputs, text: str) -> set[str]:
    """The packages with invalid records whose name `text` begins with."""
    # An invalid file name need not split into name and version, so every beginning is tried.
    beginnings = {text[:end] for end in range(1, len(text))}
    return {name for source in section.sources for name in beginnings & source.pack.left_out.keys()}


def verdict(channel: Channel, section: str, filename: str) -> Verdict | None:
    """What today's rules say of a file: for clients' 404s and for files of older revisions."""
    inputs = gather(channel)
    for ecosystem in inputs.ecosystems():
        name = ecosystem.package_name(filename) if ecosystem.owns_section(section) else None
        if name is not None:
            return _verdict(inputs, ecosystem, section, name, filename)
    return None


def package_verdict(channel: Channel, section: str, name: str) -> Verdict | None:
    """What today's rules say where nothing of a package is listed; None where they refuse nothing.

    The first file that a rule refuses speaks for all of them.
    """
    inputs = gather(channel)
    for ecosystem in inputs.ecosystems():
        if ecosystem.owns_section(section) and section in inputs.sections(ecosystem):
            answers = _answers(inputs.section(ecosystem, section, names=[name]), name)
            if answers and not any(answer.kept for answer in answers):
                first = answers[0]
                reason = Reason(first.by, Rule(first.rule), first.detail)
                return Verdict(True, _sentence(first.filename, first.mirror, reason))
    return None


def _verdict(
    inputs: Inputs, ecosystem: Ecosystem, section_name: str, name: str, filename: str
) -> Verdict | None:
    if section_name not in inputs.sections(ecosystem):
        return _from_rows(inputs, section_name, name, filename)
    section = inputs.section(ecosystem, section_name, names=[name])
    answers = [answer for answer in _answers(section, name) if answer.filename == filename]
    if not answers and _is_withdrawn(section, name):
        return Verdict(True, f"The upstream has withdrawn all files of {name}.")
    if not answers:
        return _from_rows(inputs, section_name, name, filename)
    passing = [answer for answer in answers if answer.kept]
    if not passing:
        first = answers[0]
        reason = Reason(first.by, Rule(first.rule), first.detail)
        return Verdict(True, _sentence(filename, first.mirror, reason))
    if passing[0].state == State.MISSING:
        mirror = passing[0].mirror
        return Verdict(
            False, f"{filename} passes the filters; the mirror {mirror} has not downloaded it yet."
        )
    return Verdict(False, f"{filename} passes the filters of {inputs.channel.path}.")


def _is_withdrawn(section: SectionInputs, name: str) -> bool:
    """Whether an upstream says that nothing of the package may be used, and none has any of it."""
    packs = [source.pack for source in section.sources if name in source.pack.names()]
    return any(section.ecosystem.withdrawn(pack.read(name)) is None for pack in packs)


def _answers(section: SectionInputs, name: str) -> list[Answer]:
    (package,) = apply_rules(section, [name])
    decide_batch(section, [package])
    return [
        _with_unscored(
            _with_let_through(
                _answer(record.filename, section.section, name, part.source.mirror_name, outcome),
                part,
            ),
            part,
            record,
        )
        for part in package.sources
        for record, outcome in _with_dropped(part)
    ]


def _with_dropped(part: SourceRecords) -> Iterator[tuple[Record | Invalid, Outcome]]:
    yield from part.decided()
    for published in part.dropped.values():
        yield published.record, Outcome(State.STAYS, published=published)


def _with_let_through(answer: Answer, part: SourceRecords) -> Answer:
    """The answer, which says of a young file why it is kept all the same."""
    why = part.ages.let_through.get(answer.filename) if answer.kept and part.ages else None
    if why is None:
        return answer
    text = f"It is younger than the minimum age, and let through because {why}."
    return replace(answer, detail=f"{answer.detail} {text}".strip())


def _with_unscored(answer: Answer, part: SourceRecords, record: Record | Invalid) -> Answer:
    """The answer, which says of a kept file that a rule on scores cannot act on it."""
    if not answer.kept or not part.scores or isinstance(record, Invalid) or not part.advisories:
        return answer
    unscored = unscored_names(part.advisories(record))
    if not unscored:
        return answer
    text = f"Rules on scores do not act on it: nobody has scored {', '.join(unscored[:3])}."
    return replace(answer, detail=f"{answer.detail} {text}".strip())


def _answer(filename: str, section: str, name: str, mirror: str, outcome: Outcome) -> Answer:
    if outcome.reason is not None and outcome.published is not None:
        # Its new bytes wait, and clients get the old ones.
        rule = outcome.reason
        return Answer(filename, section, name, mirror, True, str(State.PRESENT), *rule)
    if outcome.reason is not None:
        state, reason = State.EXCLUDED, outcome.reason
        return Answer(filename, section, name, mirror, False, str(state), *reason)
    if outcome.state == State.STAYS:
        return Answer(filename, section, name, mirror, True, str(State.STAYS), detail=DROPPED)
    if outcome.published is not None:
        return Answer(filename, section, name, mirror, True, str(State.PRESENT), detail=OLDER)
    return Answer(filename, section, name, mirror, True, str(outcome.state))


def _from_rows(inputs: Inputs, section: str, name: str, filename: str) -> Verdict | None:
    """A file that no upstream lists any more is judged by the record that was published."""
    rows = Package.objects.filter(
        channel=inputs.channel, section=section, name=name, shard__isnull=False
    )
    # The newest first: its record is the one that clients had last.
    for row in rows.select_related("shard").order_by("-added_in")[:ROWS]:
        records = _records(row)
        if any(record.filename == filename for record in records):
            return _from_row(inputs, row, records, filename)
    return None


def _records(row: Package) -> list[Record | Invalid]:
    assert row.shard is not None
    ecosystem = registry.of_family(row.family)
    body = shards.decompress(row.shard.body)
    return ecosystem.records(body, section=row.section, name=row.name)


def _from_row(
    inputs: Inputs, row: Package, records: list[Record | Invalid], filename: str
) -> Verdict:
    """What the rules say of a file that the row lists, by the mirror that it came from."""
    ecosystem = registry.of_family(row.family)
    # Rules of a mirror hold for its own files only.
    entry = entry_of(row.sources, filename)
    mirror_id = entry.mirror_id if entry else None
    for mirror in inputs.mirrors:
        if mirror.mirror.pk != mirror_id:
            continue
        rules = (mirror.rules, *inputs.channel_rules[ecosystem.family])
        need = file_advisories.need_of(rules)
        facts = file_advisories.load(row.family, {row.name: records}, need)
        reasons = rule_reasons(
            ecosystem,
            row.section,
            row.name,
            records,
            mirror_rules=mirror.rules,
            channel_rules=inputs.channel_rules[ecosystem.family],
            advisories=facts.get(row.name),
            ages=file_ages.of_published(ecosystem, inputs.now),
        )
        for record, reason in zip(records, reasons, strict=True):
            if record.filename == filename and reason is not None:
                return Verdict(True, _sentence(filename, mirror.mirror.name, reason))
    return Verdict(False, f"The upstream no longer lists {filename}.")


def _sentence(filename: str, mirror: str, reason: Reason) -> str:
    whose = (
        f"the filter of the mirror {mirror}" if reason.by == "mirror" else "the channel's filter"
    )
    return f"{filename} is left out by {whose}: {reason.detail}."
