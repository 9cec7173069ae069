"""Steps 4 and 5: judge without writing, and compare with the current revision.

What an active run downloads, what a preview shows and what a run in a frozen
channel counts are read off the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import zstandard

from channels.models import Channel, Package
from ecosystems.base import Progress, Record, Stop
from mirrors.judge import Case, Judged, complete, judged, present
from mirrors.plan import Beside, Plan, Wanted
from mirrors.texts import storable

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

    `plan` gets what an active mirror has to download; `here_only` leaves that
    out of the difference, for it cannot be listed yet.
    """
    difference = Difference()
    work = [(case, sorted(names) if names is not None else None) for case, names in cases]
    counted = [len(case.names()) if names is None else len(names) for case, names in work]
    done, total = 0, sum(counted)
    for case, names in work:
        seen: set[str] = set()
        for batch in judged(case, case.names() if names is None else names, stop=stop):
            here = present(batch)
            bodies = _listed(channel, case, [one.name for one in batch])
            for one in batch:
                _tally(difference, one, here, mirror_id, case, plan)
                kept = _kept(one, here if here_only else None)
                _compare(difference, case, kept, bodies.get(one.name, b""))
            if names is None:
                seen.update(one.name for one in batch)
            done += len(batch)
            progress(done, total)
        if names is None:
            _gone(difference, channel, case, seen)
    return difference


def _tally(
    difference: Difference,
    one: Judged,
    here: set[str],
    mirror_id: int,
    case: Case,
    plan: Plan | None,
) -> None:
    for part in one.parts:
        if part.source.mirror_id != mirror_id:
            continue
        tally = difference.tallies.setdefault(mirror_id, {})
        for record, reason in zip(part.records, part.reasons, strict=True):
            if reason is not None:
                key = f"{reason.by}.{reason.rule}"
                tally[key] = tally.get(key, 0) + 1
                difference.example(key, [storable(record.filename), storable(reason.detail)])
                continue
            assert isinstance(record, Record)
            difference.kept_files += 1
            difference.kept_bytes += max(record.size, 0)
            if complete(record, here):
                tally["active"] = tally.get("active", 0) + 1
                continue
            key = "missing" if part.source.active else "passive"
            tally[key] = tally.get(key, 0) + 1
            difference.fetch_files += 1
            difference.fetch_bytes += max(record.size, 0)
            if plan is not None and part.source.active:
                plan.add(
                    Wanted(
                        case.section,
                        one.name,
                        record.filename,
                        record.size,
                        record.sha256,
                        record.md5,
                        part.source.origin_id,
                        record.address,
                        tuple(
                            Beside(one.filename, one.size, one.sha256, one.md5, one.address)
                            for one in record.beside
                        ),
                    )
                )


def _kept(one: Judged, here: set[str] | None) -> dict[str, bytes]:
    """The records that are kept; with `here`, of active mirrors only those whose bytes are here."""
    return {
        record.filename: record.raw
        for part in one.parts
        for record in part.kept()
        if here is None or not part.source.active or complete(record, here)
    }


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
