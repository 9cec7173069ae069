"""`warnings[]` of a mirror: the one place for all that people must be told without asking.

Rule: whatever is dropped, skipped, or kept from an earlier state without the administrator having
asked for it stands here, in words, with counts and first names. Where a sentence comes from:

- `Mirror.warnings`: the saved form (conflicts of filters, the schedule); written when it is saved,
  or the channel's is (`mirrors.form_warnings`).
- `Snapshot.warnings`: a section's index. Ecosystems give them as `Read.warnings`; they show as
  "<section>: <sentence>" for as long as the mirror publishes from that snapshot. Those on its
  optional files are `Snapshot.extras_warnings`, and on files of the root `Upstream.warnings`.
- `Run.warnings`: one run. `RunContext.warn` adds to them and to the log; what a fetch meets beside
  the indexes goes into `Fetch.warnings`. Those of the last run that completed are shown.
- `mirrors.advisory_warnings`: filters by advisories that are not there, or too old.
- `mirrors.replaced_files`: new bytes under listed names, which wait for a release.
- `Mirror.counts` and `Mirror.withheld_removals`: files that the upstream dropped and that stay,
  because no run has been complete since, or because too many new files failed.

Name the first few with `ecosystems.base.first_names`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.db.models import Count, OuterRef, Q, Subquery

from channels.batches import batched
from channels.models import UnavailableFile
from channels.states import JobState
from ecosystems.sentences import SHOWN_NAMES, first_names
from mirrors import advisory_warnings, replaced_files
from mirrors.models import AcceptedSnapshot, Mirror, Run, WithheldRemovals

Warnings = dict[int, list[str]]
"""By the id of the mirror."""


def of(mirror: Mirror) -> list[str]:
    """The warnings of one mirror."""
    return of_all([mirror])[mirror.pk]


def of_all(mirrors: Iterable[Mirror]) -> Warnings:
    """The warnings of each mirror, by its id; a handful of queries, however many there are."""
    warnings: Warnings = {}
    for batch in batched(mirrors):
        ids = [mirror.pk for mirror in batch]
        advisories = advisory_warnings.of_all(batch)
        replaced = replaced_files.warnings(ids)
        indexes, runs, metadata = _of_indexes(ids), _of_runs(ids), of_unavailable_metadata(ids)
        for mirror in batch:
            sentences = [
                *of_withheld_removals(mirror),
                *mirror.warnings,
                *replaced.get(mirror.pk, ()),
                *advisories.get(mirror.pk, ()),
                *indexes[mirror.pk],
                *runs[mirror.pk],
                *metadata[mirror.pk],
            ]
            # The end of a run has warned of unavailable metadata in the same words.
            warnings[mirror.pk] = list(dict.fromkeys(sentences))
    return warnings


def of_withheld_removals(mirror: Mirror) -> Iterator[str]:
    """Whether files stay that the upstream no longer lists, and until when."""
    staying = mirror.counts.get("stays", 0)
    if staying and mirror.withheld_removals:
        yield withheld_removals(mirror.withheld_removals, staying)
    elif staying:
        stays = "stays" if staying == 1 else "stay"
        until = "until a complete run" if mirror.incomplete else "until newer ones are here"
        yield f"{_counted(staying, 'file')} that the upstream dropped {stays} {until}."


def withheld_removals(facts: WithheldRemovals, staying: int) -> str:
    """Why `staying` files that the upstream no longer lists are still listed here."""
    names = first_names(facts["names"], facts["failed"])
    stays = "stays" if staying == 1 else "stay"
    return (
        f"{facts['failed']:,} of {_counted(facts['planned'], 'new file')} could not be downloaded; "
        f"{_counted(staying, 'file')} that the upstream dropped {stays} until a complete run. "
        f"Failed: {names}."
    )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _of_indexes(ids: list[int]) -> Warnings:
    """What was odd about the indexes that the mirrors publish from."""
    warnings: Warnings = defaultdict(list)
    silent = Q(snapshot__warnings=[], snapshot__extras_warnings=[])
    rows = AcceptedSnapshot.objects.filter(mirror__in=ids).exclude(silent).order_by("section")
    lines = rows.values_list(
        "mirror_id", "section", "snapshot__warnings", "snapshot__extras_warnings"
    )
    for mirror, section, of_index, of_extras in lines:
        warnings[mirror] += [f"{section}: {text}" for text in (*of_index, *of_extras)]
    roots = Mirror.objects.filter(pk__in=ids).exclude(upstream__warnings=[])
    for mirror, texts in roots.values_list("pk", "upstream__warnings"):
        warnings[mirror] += texts
    return warnings


def of_unavailable_metadata(ids: list[int]) -> Warnings:
    """Files that are listed without their metadata, because it cannot be had."""
    warnings: Warnings = defaultdict(list)
    accepted = AcceptedSnapshot.objects.filter(mirror__in=ids)
    sections = accepted.values_list("mirror_id", "section", "snapshot__file_source_id")
    unavailable = UnavailableFile.objects.order_by()
    counts: dict[int, int] = dict(
        unavailable.filter(file_source__in=accepted.values("snapshot__file_source"))
        .values_list("file_source")
        .annotate(count=Count("pk"))
    )
    # Most servers have none: then the sections are not even asked for.
    for mirror, section, file_source in sections if counts else ():
        if count := counts.get(file_source, 0):
            files = unavailable.filter(file_source=file_source).order_by("filename")[:SHOWN_NAMES]
            names = first_names([file.filename for file in files], count)
            warnings[mirror].append(
                f"{section}: {_counted(count, 'file')} listed without metadata, which is asked for"
                f" again in every run: {names} ({files[0].message})"
            )
    return warnings


def _of_runs(ids: list[int]) -> Warnings:
    """What the last completed run of each mirror had to say."""
    completed = Run.objects.filter(mirror=OuterRef("mirror"), state=JobState.COMPLETED)
    last = completed.order_by("-number").values("pk")[:1]
    rows = Run.objects.filter(mirror__in=ids, pk=Subquery(last))
    warnings: Warnings = defaultdict(list)
    warnings.update(rows.values_list("mirror_id", "warnings"))
    return warnings
