"""From outcomes to what a publication writes of a package: its body, tally and file sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from channels.listed_from import ListedFrom
from channels.package_rows import Listing
from ecosystems.progress import Stop
from ecosystems.records import Record
from filters.rules.model import Rule
from publishing.judge import judge_packages
from publishing.outcomes import PackageRecords, SectionInputs, SourceRecords, State
from publishing.tallies import tally_of


def listings(section: SectionInputs, names: Iterable[str], *, stop: Stop) -> Iterator[Listing]:
    """What is to be listed of each name."""
    for batch in judge_packages(section, names, stop=stop):
        for package in batch:
            yield listing(section, package)


def listing(section: SectionInputs, package: PackageRecords) -> Listing:
    """What is to be listed of a judged package."""
    result = Listing(package.name, b"", [], 0)
    entries: list[tuple[str, bytes]] = []
    for part in package.sources:
        listed = part.listed()
        entries += [(record.filename, record.raw) for record in listed]
        _count(part, listed, result)
        _note_file_sources(part, listed, result, several=len(section.sources) > 1)
    moments = [part.ages.next_change_at for part in package.sources if part.ages is not None]
    changes_at = min((at for at in moments if at is not None), default=None)
    if changes_at is not None:
        result.judge_again_at = datetime.fromtimestamp(changes_at / 1000, UTC)
    result.filenames = [filename for filename, _ in entries]
    if not entries:
        return result
    part = package.sources[0]
    if _as_upstream_has_it(package, len(entries)) and not section.ecosystem.rewrites(part.body):
        # Neither decoded nor compressed again: the pack's bytes become the shard's.
        result.body = part.body
        result.digest = part.source.pack.names()[package.name].digest.hex()
        result.packed = part.source.pack.read_compressed(package.name)
    else:
        result.body = section.ecosystem.build(entries, _bodies(package))
    return result


def _as_upstream_has_it(package: PackageRecords, listed: int) -> bool:
    """Whether everything of one source's body is listed, and nothing else."""
    part = package.sources[0]
    return (
        len(package.sources) == 1
        and not part.altered
        and not part.staying()
        and listed == len(part.records)
    )


def _bodies(package: PackageRecords) -> list[bytes]:
    """Of each source what it says of the package now, or said when its records were listed."""
    return [
        part.body or next(iter(part.dropped.values())).body
        for part in package.sources
        if part.body or part.dropped
    ]


def _count(part: SourceRecords, listed: list[Record], result: Listing) -> None:
    tally = tally_of(part)
    result.tally[str(part.source.mirror_id)] = tally
    staying = part.staying()
    missing = list(part.in_state(State.MISSING))
    held = any(reason and reason.rule == Rule.REPLACED for reason in part.reasons)
    result.stale = result.stale or bool(staying) or bool(missing) or held
    result.has_purls = result.has_purls or any(
        isinstance(record, Record) and record.purls for record in part.records
    )
    result.present += tally.get(State.PRESENT, 0) + tally.get(State.STAYS, 0)
    # Their new bytes are missing or wait, and the old ones are served.
    waiting = part.in_state(State.MISSING, State.EXCLUDED)
    result.present += sum(record.filename in staying for record in waiting)
    result.size += sum(max(record.size, 0) for record in listed)


def _note_file_sources(
    part: SourceRecords, listed: list[Record], result: Listing, *, several: bool
) -> None:
    """Where each file comes from; what stays may come from where the mirror was before."""
    mirror_id, file_source_id = part.source.mirror_id, part.source.file_source_id
    moved: dict[int, list[str]] = {}
    for filename, published in part.staying().items():
        if published.file_source_id != file_source_id:
            moved.setdefault(published.file_source_id, []).append(filename)
    result.sources += [ListedFrom(pk, mirror_id, files) for pk, files in moved.items()]
    from_earlier = {filename for files in moved.values() for filename in files}
    filenames = [record.filename for record in listed if record.filename not in from_earlier]
    if filenames:
        named = filenames if several else None
        result.sources.append(ListedFrom(file_source_id, mirror_id, named))
