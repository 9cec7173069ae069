"""Steps 4 and 5 of a run: judge without writing, and compare with the current revision.

What an active run downloads, what a preview shows and what a run in a frozen
channel counts are read off the same pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from channels import shards
from channels.file_difference import file_difference
from channels.models import Channel, Package
from channels.texts import storable
from ecosystems.progress import Progress, Stop
from ecosystems.records import Record
from publishing.download_plan import DownloadPlan
from publishing.judge import judge_packages
from publishing.outcomes import PackageRecords, SectionInputs, SourceRecords, State
from publishing.tallies import Tally, add_tally, tally_of

EXAMPLES = 20
"""How many file names of each kind are remembered."""
NAMES_AT_ONCE = 100

Scope = tuple[SectionInputs, Collection[str] | None]
"""A section, and the names to judge in it; None for all."""
Example = str | tuple[str, str]
"""A file name, of an excluded file with the rule's detail."""


@dataclass(slots=True)
class ContentDifference:
    """What listing everything that is kept would change, counted in files.

    `tallies`: by mirror id; `examples`: first file names by "added", "replaced", "removed" and by
    the key of an excluding outcome ("mirror.license", ...).
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0
    fetch_files: int = 0
    fetch_bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0
    tallies: dict[int, Tally] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.added:,} files to add, {self.replaced:,} to replace, {self.removed:,} to remove"
        )

    def add_example(self, key: str, example: Example) -> None:
        """Remember the first few of each kind."""
        examples = self.examples.setdefault(key, [])
        if len(examples) < EXAMPLES:
            examples.append(example)

    def add_files(self, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> None:
        """Count how a package's files differ; both as verbatim records by file name."""
        changes = file_difference(old, new)
        self.added += len(changes.added)
        self.replaced += len(changes.replaced)
        self.removed += len(changes.removed)
        for kind, filenames in changes._asdict().items():
            for filename in filenames[:EXAMPLES]:
                self.add_example(kind, filename)


def compare(
    channel: Channel,
    scopes: Iterable[Scope],
    *,
    stop: Stop,
    progress: Progress,
    mirror_id: int,
    plan: DownloadPlan | None = None,
    planning: bool = True,
) -> ContentDifference:
    """Judge these sections for the mirror `mirror_id`, and compare with what is listed now.

    `plan` gets what an active mirror has to download. `planning`: what will be listed once all of
    that has come; else what a publication would list now.
    """
    difference = ContentDifference()
    # Names first: progress is shown as a part of all of them, so their number has to be known.
    work = [
        (section, section.names() if names is None else sorted(names), names is None)
        for section, names in scopes
    ]
    total = sum(len(names) for _, names, _ in work)
    done = 0
    for section, names, whole in work:
        for batch in judge_packages(section, names, stop=stop, planning=planning):
            bodies = _published_bodies(channel, section, [package.name for package in batch])
            for package in batch:
                _add_mirror(difference, section, package, mirror_id, plan)
                new = _listed(package, planning=planning)
                old = _entries(section, bodies.get(package.name))
                difference.add_files(old, new)
            done += len(batch)
            progress(done, total)
        if whole:
            _add_gone(difference, channel, section, set(names))
    return difference


def _add_mirror(
    difference: ContentDifference,
    section: SectionInputs,
    package: PackageRecords,
    mirror_id: int,
    plan: DownloadPlan | None,
) -> None:
    """Count, and plan to download, the mirror's own records of a package."""
    for part in package.sources:
        if part.source.mirror_id == mirror_id:
            _add_outcomes(difference, part)
            if plan is not None and part.source.active:
                plan.add_missing(section.section, package.name, part)


def _add_outcomes(difference: ContentDifference, part: SourceRecords) -> None:
    add_tally(difference.tallies.setdefault(part.source.mirror_id, {}), tally_of(part))
    for record, outcome in part.decided():
        if outcome.reason is not None:
            example = (storable(record.filename), storable(outcome.reason.detail))
            difference.add_example(outcome.key, example)
        elif isinstance(record, Record):
            # An unknown size is -1.
            size = max(record.size, 0)
            difference.kept_files += 1
            difference.kept_bytes += size
            if outcome.state != State.PRESENT:
                difference.fetch_files += 1
                difference.fetch_bytes += size


def _listed(package: PackageRecords, *, planning: bool) -> dict[str, bytes]:
    """What is listed now, or will be: verbatim records by file name; the older mirror's counts."""
    records: dict[str, bytes] = {}
    for part in package.sources:
        waiting = [old.record for old in part.staying().values()] if planning else []
        for record in (*part.kept(), *waiting) if planning else part.listed():
            records.setdefault(record.filename, record.raw)
    return records


def _entries(section: SectionInputs, body: bytes | None) -> dict[str, bytes]:
    return section.ecosystem.entries(body) if body else {}


def _add_gone(
    difference: ContentDifference, channel: Channel, section: SectionInputs, judged: set[str]
) -> None:
    """Count the files of packages that no source has any more."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel,
        section=section.section,
        family=section.ecosystem.family,
        shard__isnull=False,
    )
    # Judged by name here and not in the query: SQLite limits the parameters of a statement.
    gone = [name for name in rows.values_list("name", flat=True) if name not in judged]
    for start in range(0, len(gone), NAMES_AT_ONCE):
        names = gone[start : start + NAMES_AT_ONCE]
        for body in _published_bodies(channel, section, names).values():
            difference.add_files(_entries(section, body), {})


def _published_bodies(
    channel: Channel, section: SectionInputs, names: list[str]
) -> dict[str, bytes]:
    """The bodies that the current revision lists for these names."""
    rows = Package.objects.at(channel.current).filter(
        channel=channel, section=section.section, name__in=names, shard__isnull=False
    )
    stored = rows.values_list("name", "shard__body")
    return {name: shards.decompress(body) for name, body in stored}
