"""Judge what the mirrors of a channel have in one section, name by name.

Reads packs, rules and what is listed now; writes nothing. A run plans downloads from it, a
publication lists from it, a preview only counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import islice

from channels import blobs, pins, side_files
from channels.blobs import Audience
from ecosystems.progress import Stop
from ecosystems.records import Invalid, Record
from filters.rules import Reason, judge, twins
from filters.rules.model import Rule
from publishing import file_licenses
from publishing.outcomes import Case, Judged, Part, Source, State, complete, digest, digests
from publishing.published import ByMirror, Listed

NAMES_AT_ONCE = 100


def judged(
    case: Case, names: Iterable[str], *, stop: Stop, expected: bool = False
) -> Iterator[list[Judged]]:
    """Verdicts in batches of names.

    `expected`: as if every file came that is to be downloaded, which is what a run plans.
    """
    rest = iter(names)
    while some := list(islice(rest, NAMES_AT_ONCE)):
        stop()
        batch = [judge_name(case, name) for name in some]
        resolve(case, batch, expected=expected)
        yield batch


def judge_name(case: Case, name: str) -> Judged:
    """The verdict of every mirror's and the channel's rules on each record of `name`."""
    result = Judged(name)
    for source in case.sources:
        body, records = b"", list[Record | Invalid]()
        if name in source.pack.names():
            body = source.pack.read(name)
            records = case.ecosystem.records(body, section=case.section, name=name)
        reasons = _verdicts(case, source, name, records)
        licenses = file_licenses.needed((source.rules, *case.channel_rules))
        result.parts.append(Part(source, body, records, reasons, licenses=licenses))
    return result


def resolve(case: Case, batch: Sequence[Judged], *, expected: bool = False) -> None:
    """What becomes of each record, now that it is known whose bytes are here."""
    parts = [part for one in batch for part in one.parts]
    _detach(case, batch)
    kept = ((part.source.file_source_id, record) for part in parts for record in part.kept())
    here = present(kept, case.audience)
    for part in parts:
        part.states = [_state(part, at, here) for at in range(len(part.records))]
    if not expected:
        _keep_earlier(case, batch)
    for one in batch:
        claimed: dict[str, str] = {}
        for part in one.parts:
            if case.ecosystem.family == "conda" and not part.source.rules.keep_legacy:
                _leave_out_twins(part, claimed, expected=expected)
            _claim(part, claimed)
        one.parts = [part for part in one.parts if part.records or part.stays]


def _detach(case: Case, batch: Sequence[Judged]) -> None:
    """Let files be listed alone whose metadata cannot be had, so that it is not offered."""
    parts = [(one.name, part) for one in batch for part in one.parts]
    wanted = {
        (part.source.file_source_id, name)
        for name, part in parts
        if any(record.companions for record in part.kept())
    }
    if not wanted:
        return
    lost = side_files.known({origin for origin, _ in wanted}, {name for _, name in wanted})
    for _, part in parts if lost else ():
        for at, record in enumerate(part.records):
            if (
                isinstance(record, Record)
                and side_files.key(part.source.file_source_id, record) in lost
            ):
                part.records[at] = case.ecosystem.without_companions(record)
                part.altered = True


def present(records: Iterable[tuple[int, Record]], audience: Audience) -> Set[str]:
    """Digests of those records (each with the id of its origin) that the audience may have now.

    Records without a hash get that of the bytes that came first, and those without a size the one
    of the bytes that are here.
    """
    some = list(records)
    pins.fill(some)
    here = blobs.present((known for _, record in some for known in digests(record)), audience)
    for _, record in some:
        if record.size < 0:
            record.size = here.get(digest(record), -1)
    return here.keys()


def _verdicts(
    case: Case, source: Source, name: str, records: Sequence[Record | Invalid]
) -> list[Reason | None]:
    if not records:
        return []
    if file_licenses.needed((source.rules, *case.channel_rules)):
        file_licenses.fill(case.ecosystem, records)
    return judge(
        case.section,
        name,
        records,
        mirror=source.rules,
        channels=case.channel_rules,
        kind=case.ecosystem.family,
    )


def _state(part: Part, at: int, here: Set[str]) -> State:
    record = part.records[at]
    if part.reasons[at] is not None or isinstance(record, Invalid):
        return State.LEFT_OUT
    if complete(record, here):
        return State.ACTIVE
    return State.MISSING if part.source.active else State.PASSIVE


def _keep_earlier(case: Case, batch: Sequence[Judged]) -> None:
    """Let records stay that are listed now, where an active mirror has nothing as good yet."""
    names = [one.name for one in batch if any(map(_may_keep, one.parts))]
    if not names:
        return
    listed = case.earlier.of(names)
    known = [old for mirrors in listed.values() for some in mirrors.values() for old in some]
    here = present(((old.file_source_id, old.record) for old in known), case.audience)
    for one in batch:
        for part in one.parts:
            if one.name in listed and _may_keep(part):
                _keep(case, one.name, part, listed[one.name], here)


def _may_keep(part: Part) -> bool:
    return part.source.active and (part.source.incomplete or State.MISSING in part.states)


def _keep(case: Case, name: str, part: Part, listed: ByMirror, here: Set[str]) -> None:
    """Rules act at once, and so does what the upstream says it has taken back."""
    mine = [old for old in listed.get(part.source.mirror_id, []) if complete(old.record, here)]
    reasons = _verdicts(case, part.source, name, [old.record for old in mine])
    old = {
        one.record.filename: one for one, reason in zip(mine, reasons, strict=True) if not reason
    }
    if not old:
        return
    taken_back = case.ecosystem.withdrawn(part.body, mine[0].body)
    if taken_back is None:
        return
    new = {
        record.filename: state
        for record, state in zip(part.records, part.states, strict=True)
        if isinstance(record, Record)
    }
    for filename, one in old.items():
        if new.get(filename) == State.MISSING or _is_current_alone(part, one, new):
            part.stays[filename] = one
    dropped = {key: one for key, one in old.items() if key not in new and key not in taken_back}
    # Without them a package would be gone whose new files all failed.
    alone = not part.stays and not any(part.in_state(State.ACTIVE))
    if part.source.incomplete or (alone and State.MISSING in part.states):
        part.stays.update(dropped)


def _is_current_alone(part: Part, old: Listed, new: dict[str, State]) -> bool:
    """Whether a version stays the current one, because the next one's bytes are not here."""
    if old.record.archived or new.get(old.record.filename) != State.ACTIVE:
        return False
    kept = {state for record, state in _with_states(part) if not record.archived}
    return State.MISSING in kept and State.ACTIVE not in kept


def _with_states(part: Part) -> Iterator[tuple[Record, State]]:
    for record, state in zip(part.records, part.states, strict=True):
        if isinstance(record, Record):
            yield record, state


def _leave_out_twins(part: Part, claimed: dict[str, str], *, expected: bool) -> None:
    """A `.tar.bz2` gives way to its `.conda` only where that is listed, or is expected to be."""
    missing = {one.filename for one in part.in_state(State.MISSING)} if expected else set()
    shown = part.filenames() | set(claimed) | missing
    filenames = [record.filename for record in part.records]
    for at, (old, new) in twins(filenames, shown).items():
        if part.states[at] == State.LEFT_OUT:
            continue
        record = part.records[at]
        if new in missing and part.states[at] == State.MISSING:
            assert isinstance(record, Record)
            part.instead[new] = record
        why = f"the same package is kept as {new}"
        part.leave_out(at, Reason(part.source.rules.by, Rule.LEGACY, why))
        part.stays.pop(old, None)
    for old, _ in twins(list(part.stays), shown).values():
        part.stays.pop(old)


def _claim(part: Part, claimed: dict[str, str]) -> None:
    """The older mirror that lists a file wins its name; the other's is left out, with that reason.

    One that has yet to bring the file does not keep it from those that have it.
    """
    mine = part.source.mirror_name
    for at, record in enumerate(part.records):
        winner = claimed.get(record.filename, mine)
        if part.states[at] != State.LEFT_OUT and winner != mine:
            why = f"the mirror {winner} already provides this file"
            part.leave_out(at, Reason("channel", Rule.DUPLICATE, why))
    for filename in list(part.stays):
        if claimed.get(filename, mine) != mine:
            del part.stays[filename]
    for filename in part.filenames():
        claimed[filename] = mine
