"""The list of an index's projects: fetched, read, and how far its serials can be trusted.

Rule: a serial tells that a page is what it was only where the serials of an index differ
between its projects and have been seen to rise. Others (Pulp states one constant for all)
say nothing, and every page is asked for conditionally.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ecosystems.indexes import FetchContext
from ecosystems.python import requests, simple
from ecosystems.python.previous import PreviousPack, Serials
from ecosystems.records import Spec
from ecosystems.sentences import first_names
from ecosystems.upstream import NotModified

TRUSTED = "Serials: only projects whose serial has changed are asked for."
CONSTANT = "The list's serials are all the same, so every page is asked for conditionally."
WAITING = (
    "The list's serials have not been seen to rise yet, so every page is asked for conditionally."
)
NONE = "The list has no serials, so every page is asked for conditionally."


@dataclass(slots=True)
class Listing:
    """The projects to ask for; `trusted`: their serials tell which pages are what they were."""

    names: dict[str, int | None]
    etag: str = ""
    last_modified: str = ""
    trusted: bool = False
    note: str = ""
    warnings: list[str] = field(default_factory=list)
    serials: Serials = field(default_factory=Serials)
    """What the next reading of the list has to know of this one's."""

    def limit_to(self, specs: Sequence[Spec]) -> None:
        """Leave out the projects that no spec names; without specs none."""
        if specs:
            self.names = {
                name: serial
                for name, serial in self.names.items()
                if any(spec.matches_name(name) for spec in specs)
            }


def fetch(
    root: str, context: FetchContext, *, pack: PreviousPack, requested: Collection[str]
) -> Listing | None:
    """The list as it is now; None: it is what it was, and so is every page."""
    # An unchanged list is no reason to leave pages as they were unless it speaks for them.
    conditional = context.previous if _tells_all(pack, requested) else None
    path = context.folder / "projects"
    try:
        answer = requests.projects(
            context.client,
            root,
            path,
            etag=conditional.etag if conditional else "",
            last_modified=conditional.last_modified if conditional else "",
            stop=context.stop,
        )
        if isinstance(answer, NotModified):
            return None
        index = simple.index(path.read_bytes(), url=answer.final_url)
    finally:
        path.unlink(missing_ok=True)
    projects = Listing(index.names, answer.etag, answer.last_modified)
    _judge_serials(projects, pack)
    if index.others:
        projects.warnings.append(
            f"{len(index.others):,} entries of the list are no names of projects: "
            f"{first_names(index.others)}."
        )
    return projects


def _tells_all(pack: PreviousPack, requested: Collection[str]) -> bool:
    """Whether an unchanged list leaves nothing unsaid of the pages."""
    last = pack.meta
    if pack.pack is None or last.failed or last.license_retries:
        return False
    pages = pack.pack.names()
    return (last.list_serials.risen or not pages) and all(name in pages for name in requested)


def _judge_serials(projects: Listing, pack: PreviousPack) -> None:
    serials = [serial for serial in projects.names.values() if serial is not None]
    highest, last = max(serials, default=0), pack.meta.list_serials
    differ = len(serials) == len(projects.names) and len(set(serials)) > 1
    # Once seen to rise they may stand still; falling, the index is another or was set back.
    rises = (last.risen and highest >= last.highest) or 0 < last.highest < highest
    projects.trusted = differ and rises
    projects.serials = Serials(highest, projects.trusted)
    if projects.trusted:
        projects.note = TRUSTED
    elif differ:
        projects.note = WAITING
    else:
        projects.note = CONSTANT if serials else NONE
