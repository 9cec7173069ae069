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
- `Mirror.counts` and `Mirror.waiting`: files that the upstream dropped and that stay, because no
  run has been complete since, or because too many new files failed.

Name the first few with `ecosystems.base.first_names`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from django.db.models import Count, OuterRef, Q, Subquery

from channels.models import UnavailableFile
from channels.states import JobState
from ecosystems.sentences import SHOWN_NAMES, first_names
from mirrors.models import AcceptedSnapshot, Mirror, Run

BATCH = 500


def of(mirror: Mirror) -> list[str]:
    """The warnings of one mirror."""
    return of_all([mirror])[mirror.pk]


def of_all(mirrors: Iterable[Mirror]) -> dict[int, list[str]]:
    """The warnings of each mirror, by its id; a handful of queries, however many there are."""
    found: dict[int, list[str]] = {}
    rest = iter(mirrors)
    while batch := list(islice(rest, BATCH)):
        ids = [mirror.pk for mirror in batch]
        indexes, runs, lost = _of_indexes(ids), _of_runs(ids), of_withheld(ids)
        for mirror in batch:
            said = [*of_waiting(mirror), *mirror.warnings, *indexes[mirror.pk], *runs[mirror.pk]]
            said += lost[mirror.pk]
            found[mirror.pk] = list(dict.fromkeys(said))
    return found


def of_waiting(mirror: Mirror) -> Iterator[str]:
    """Whether files stay that the upstream no longer lists, and until when."""
    kept = mirror.counts.get("stays", 0)
    if kept and mirror.waiting:
        yield waiting(mirror.waiting, kept)
    elif kept:
        stays = "stays" if kept == 1 else "stay"
        until = "until a complete run" if mirror.incomplete else "until newer ones are here"
        yield f"{_counted(kept, 'file')} that the upstream dropped {stays} {until}."


def waiting(facts: dict[str, Any], kept: int) -> str:
    """Why `kept` files that the upstream no longer lists are still listed here."""
    failed, planned = facts["failed"], facts["planned"]
    names = first_names(facts["names"], facts["failed"])
    what = _counted(planned, "new file")
    stays = "stays" if kept == 1 else "stay"
    return (
        f"{failed:,} of {what} could not be downloaded; {_counted(kept, 'file')} that the upstream "
        f"dropped {stays} until a complete run. Failed: {names}."
    )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _of_indexes(ids: list[int]) -> dict[int, list[str]]:
    """What was odd about the indexes that the mirrors publish from."""
    found: dict[int, list[str]] = defaultdict(list)
    silent = Q(snapshot__warnings=[], snapshot__extras_warnings=[])
    rows = AcceptedSnapshot.objects.filter(mirror__in=ids).exclude(silent).order_by("section")
    lines = rows.values_list(
        "mirror_id", "section", "snapshot__warnings", "snapshot__extras_warnings"
    )
    for mirror, section, *texts in lines:
        found[mirror] += [f"{section}: {text}" for text in chain(*texts)]
    roots = Mirror.objects.filter(pk__in=ids).exclude(upstream__warnings=[])
    for mirror, texts in roots.values_list("pk", "upstream__warnings"):
        found[mirror] += texts
    return found


def of_withheld(ids: list[int]) -> dict[int, list[str]]:
    """Files that are listed without their metadata, because it cannot be had."""
    found: dict[int, list[str]] = defaultdict(list)
    accepted = AcceptedSnapshot.objects.filter(mirror__in=ids)
    places = accepted.values_list("mirror_id", "section", "snapshot__file_source_id")
    counts: dict[int, int] = dict(
        UnavailableFile.objects.filter(file_source__in=accepted.values("snapshot__file_source"))
        .order_by()
        .values_list("file_source")
        .annotate(count=Count("pk"))
    )
    for mirror, section, origin in places if counts else ():
        if count := counts.get(origin, 0):
            first = UnavailableFile.objects.filter(file_source=origin).order_by("filename")[
                :SHOWN_NAMES
            ]
            names = first_names([one.filename for one in first], count)
            found[mirror].append(
                f"{section}: {_counted(count, 'file')} listed without metadata, which is asked for"
                f" again in every run: {names} ({first[0].message})"
            )
    return found


def _of_runs(ids: list[int]) -> dict[int, list[str]]:
    """What the last completed run of each mirror had to say."""
    last = Run.objects.filter(mirror=OuterRef("mirror"), state=JobState.COMPLETED).order_by(
        "-number"
    )
    rows = Run.objects.filter(mirror__in=ids, pk=Subquery(last.values("pk")[:1]))
    found: dict[int, list[str]] = defaultdict(list)
    found.update(rows.values_list("mirror_id", "warnings"))
    return found
