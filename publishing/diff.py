"""Steps 4 and 5: judge without writing, and compare with the current revision.

What an active run downloads, what a preview shows and what a run in a frozen
channel counts are read off the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zstandard

from channels.models import Channel, Package
from channels.texts import storable
from ecosystems.progress import Progress, Stop
from ecosystems.records import Record
from publishing.download_plan import Beside, Plan, Wanted
from publishing.judge import judged
from publishing.listings import entries_of, tally_of
from publishing.outcomes import Case, Judged, Part, State

EXAMPLES = 20


@dataclass(slots=True)
class Difference:
    """What listing everything that is kept would change, counted in files.

    `tallies`: by mirror id, as in `Package.tally`; `examples`: first file names by
    "added", "replaced", "removed" and by reason ("mirror.license", ...).
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0
    fetch_files: int = 0
    fetch_bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0
    tallies: dict[int, dict[str, int]] = field(default_factory=dict)
    examples: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """For a run's log."""
        return (
            f"{self.added:,} files to add, {self.replaced:,} to replace, {self.removed:,} to remove"
        )

    def example(self, key: str, value: Any) -> None:
        """Remember the first few of each kind."""
        some = self.examples.setdefault(key, [])
        if len(some) < EXAMPLES:
            some.append(value)


def compare(
    channel: Channel,
    cases: Iterable[tuple[Case, Iterable[str] | None]],
    *,
    stop: Stop,
    progress: Progress,
    mirror_id: int,
    plan: Plan | None = None,
    here_only: bool = False,
) -> Difference:
    """Judge the cases (of all names where None is given) for the mirror `mirror_id`.

    `plan` gets what an active mirror has to download. `here_only`: what a publication would list
    now; else what will be listed once all of that has come.
    """
    difference = Difference()
    work = [(case, sorted(names) if names is not None else None) for case, names in cases]
    counted = [len(case.names()) if names is None else len(names) for case, names in work]
    done, total = 0, sum(counted)
    for case, names in work:
        seen: set[str] = set()
        every = case.names() if names is None else names
        for batch in judged(case, every, stop=stop, expected=not here_only):
            bodies = _listed(channel, case, [one.name for one in batch])
            for one in batch:
                for part in one.parts:
                    if part.source.mirror_id == mirror_id:
                        _tally(difference, part)
                        if plan is not None and part.source.active:
                            _plan(plan, case, one.name, part)
                kept = _kept(one, here_only=here_only)
                _compare(difference, case, kept, bodies.get(one.name, b""))
            if names is None:
                seen.update(one.name for one in batch)
            done += len(batch)
            progress(done, total)
        if names is None:
            _gone(difference, channel, case, seen)
    return difference


def _tally(difference: Difference, part: Part) -> None:
    tally = difference.tallies.setdefault(part.source.mirror_id, {})
    for key, number in tally_of(part).items():
        tally[key] = tally.get(key, 0) + number
    for record, reason, state in zip(part.records, part.reasons, part.states, strict=True):
        if reason is not None:
            key = f"{reason.by}.{reason.rule}"
            difference.example(key, [storable(record.filename), storable(reason.detail)])
            continue
        assert isinstance(record, Record)
        difference.kept_files += 1
        difference.kept_bytes += max(record.size, 0)
        if state != State.ACTIVE:
            difference.fetch_files += 1
            difference.fetch_bytes += max(record.size, 0)


def _plan(plan: Plan, case: Case, name: str, part: Part) -> None:
    """What is to be downloaded: of conda's two forms of a package the new one, while it can be."""
    for record in part.in_state(State.MISSING):
        wanted = _wanted(case, name, part, record)
        twin = part.instead.get(record.filename)
        if twin is not None:
            wanted = msgspec.structs.replace(wanted, instead=_wanted(case, name, part, twin))
        plan.add(wanted)


def _wanted(case: Case, name: str, part: Part, record: Record) -> Wanted:
    return Wanted(
        case.section,
        name,
        record.filename,
        record.size,
        record.sha256,
        record.md5,
        part.source.file_source_id,
        record.address,
        tuple(
            Beside(one.filename, one.size, one.sha256, one.md5, one.address)
            for one in record.companions
        ),
    )


def _kept(one: Judged, *, here_only: bool) -> dict[str, bytes]:
    """What is listed now, or will be."""
    found: dict[str, bytes] = {}
    for part in one.parts:
        for record in entries_of(part) if here_only else part.kept():
            found.setdefault(record.filename, record.raw)
    return found


def _compare(difference: Difference, case: Case, new: dict[str, bytes], old: bytes) -> None:
    """Count the files that differ from what is listed now."""
    before = case.ecosystem.entries(old) if old else {}
    for filename, raw in new.items():
        if filename not in before:
            difference.added += 1
            difference.example("added", filename)
        elif before[filename] != raw:
            difference.replaced += 1
            difference.example("replaced", filename)
    for filename in before:
        if filename not in new:
            difference.removed += 1
            difference.example("removed", filename)


def _gone(difference: Difference, channel: Channel, case: Case, seen: set[str]) -> None:
    """Count the files of names that no source has any more."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel,
        section=case.section,
        family=case.ecosystem.family,
        shard__isnull=False,
    )
    gone = [name for name in rows.values_list("name", flat=True) if name not in seen]
    for start in range(0, len(gone), 100):
        for body in _listed(channel, case, gone[start : start + 100]).values():
            _compare(difference, case, {}, body)


def _listed(channel: Channel, case: Case, names: list[str]) -> dict[str, bytes]:
    """The bodies that the current revision lists for these names."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=case.section, name__in=names, shard__isnull=False
    )
    expand = zstandard.ZstdDecompressor()
    stored = rows.values_list("name", "shard__body")
    return {name: expand.decompress(bytes(body)) for name, body in stored}
