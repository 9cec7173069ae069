"""What is to be listed of a name, with the tally of everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from channels.listed_from import ListedFrom
from channels.package_rows import Listing
from ecosystems.progress import Stop
from ecosystems.records import Record
from publishing.judge import judged
from publishing.outcomes import Case, Judged, Part, State

UNKNOWN_LICENSE = "license_unknown"
"""Counts kept files on which license rules cannot act, because nobody has said the license."""


def listings(case: Case, names: Iterable[str], *, stop: Stop) -> Iterator[Listing]:
    """What is to be listed of each name."""
    for batch in judged(case, names, stop=stop):
        for one in batch:
            yield listing(case, one)


def listing(case: Case, one: Judged) -> Listing:
    """What is to be listed of a judged name."""
    result = Listing(one.name, b"", [], 0)
    entries: list[tuple[str, bytes]] = []
    whole = len(one.parts) == 1
    for part in one.parts:
        listed = entries_of(part)
        entries += [(record.filename, record.raw) for record in listed]
        whole = whole and not part.altered and not part.stays and len(listed) == len(part.records)
        _count(part, listed, result)
        _name_origins(part, listed, result, several=len(case.sources) > 1)
    result.filenames = [filename for filename, _ in entries]
    if not entries:
        return result
    part = one.parts[0]
    if whole and not case.ecosystem.rewrites(part.body):
        result.body = part.body
        result.digest = part.source.pack.names()[one.name].digest.hex()
        result.packed = part.source.pack.read_compressed(one.name)
    else:
        result.body = case.ecosystem.build(entries, _bodies(one))
    return result


def entries_of(part: Part) -> list[Record]:
    """The records that a part lists, new ones and those that stay."""
    new = part.in_state(State.ACTIVE, State.PASSIVE)
    return [
        *(record for record in new if record.filename not in part.stays),
        *(old.record for old in part.stays.values()),
    ]


def _bodies(one: Judged) -> list[bytes]:
    """Of each part what the upstream says of the package now, or said when it listed it."""
    return [
        part.body or next(iter(part.stays.values())).body
        for part in one.parts
        if part.body or part.stays
    ]


def _count(part: Part, listed: list[Record], result: Listing) -> None:
    tally = tally_of(part)
    result.tally[str(part.source.mirror_id)] = tally
    result.stale = result.stale or bool(part.stays) or State.MISSING in part.states
    result.present += tally.get(State.ACTIVE, 0) + sum(
        new.filename in part.stays for new in part.in_state(State.MISSING)
    )
    result.present += tally.get(State.STAYS, 0)
    result.size += sum(max(record.size, 0) for record in listed)


def _name_origins(part: Part, listed: list[Record], result: Listing, *, several: bool) -> None:
    """Where each file comes from; what stays may come from where the mirror was before."""
    mirror_id = part.source.mirror_id
    stays: dict[int, list[str]] = {}
    for filename, old in part.stays.items():
        if old.file_source_id != part.source.file_source_id:
            stays.setdefault(old.file_source_id, []).append(filename)
    result.sources += [ListedFrom(pk, mirror_id, filenames) for pk, filenames in stays.items()]
    elsewhere = {filename for files in stays.values() for filename in files}
    rest = [record.filename for record in listed if record.filename not in elsewhere]
    if rest:
        filenames = rest if several else None
        result.sources.append(ListedFrom(part.source.file_source_id, mirror_id, filenames))


def tally_of(part: Part) -> dict[str, int]:
    """How many of a part's records became what: `Package.tally` of its mirror."""
    tally: dict[str, int] = {}
    for reason, state in zip(part.reasons, part.states, strict=True):
        key = str(state) if reason is None else f"{reason.by}.{reason.rule}"
        tally[key] = tally.get(key, 0) + 1
    if part.licenses:
        unknown = sum(not record.license_known for record in part.kept())
        tally |= {UNKNOWN_LICENSE: unknown} if unknown else {}
    if dropped := len(part.dropped()):
        tally[str(State.STAYS)] = dropped
    return tally


def count(tallies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Tallies of one mirror added up, in the API's shape (`count` of `sync_state`)."""
    total: dict[str, int] = {}
    for tally in tallies:
        for key, value in tally.items():
            total[key] = total.get(key, 0) + value
    counts: dict[str, Any] = {
        **{
            str(state): total.pop(str(state), 0)
            for state in (State.ACTIVE, State.PASSIVE, State.MISSING, State.STAYS)
        },
        "mirror_filtered": {},
        "channel_filtered": {},
    }
    if unknown := total.pop(UNKNOWN_LICENSE, 0):
        counts[UNKNOWN_LICENSE] = unknown
    for key, value in sorted(total.items()):
        by, rule = key.split(".", 1)
        counts[f"{by}_filtered"][rule] = value
    return counts
