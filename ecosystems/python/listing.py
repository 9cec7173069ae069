"""The list of an index's projects: fetched, read, and how far its serials can be trusted.

Rule: a serial tells that a page is what it was only where the serials of an index differ
between its projects and have been seen to rise. Others (Pulp states one constant for all)
say nothing, and every page is asked for conditionally.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecosystems.base import Seen, Spec, Stop, first_names
from ecosystems.python import ask, simple
from ecosystems.python.known import Known
from ecosystems.upstream import Client, NotModified

TRUSTED = "Serials: only projects whose serial has changed are asked for."
CONSTANT = "The list's serials are all the same, so every page is asked for conditionally."
WAITING = (
    "The list's serials have not been seen to rise yet, so every page is asked for conditionally."
)
NONE = "The list has no serials, so every page is asked for conditionally."


@dataclass(slots=True)
class Listed:
    """The projects to ask for; `trusted`: their serials tell which pages are what they were."""

    names: dict[str, int | None]
    etag: str = ""
    last_modified: str = ""
    trusted: bool = False
    note: str = ""
    warnings: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    """What the next reading of the list has to know."""


def fetch(
    client: Client,
    root: str,
    path: Path,
    *,
    known: Known,
    seen: Seen | None,
    asked: Collection[str],
    stop: Stop,
) -> Listed | None:
    """The list as it is now; None: it is what it was, and so is every page."""
    same = seen is not None and _tells_all(known, asked)
    try:
        answer = ask.projects(
            client,
            root,
            path,
            etag=seen.etag if same and seen else "",
            last_modified=seen.last_modified if same and seen else "",
            stop=stop,
        )
        if isinstance(answer, NotModified):
            return None
        index = simple.index(path.read_bytes(), found=answer.final_url)
    finally:
        path.unlink(missing_ok=True)
    listed = Listed(index.names, answer.etag, answer.last_modified)
    _judge_serials(listed, known)
    if index.others:
        listed.warnings.append(
            f"{len(index.others):,} entries of the list are no names of projects: "
            f"{first_names(index.others)}."
        )
    return listed


def _tells_all(known: Known, asked: Collection[str]) -> bool:
    """Whether an unchanged list leaves nothing unsaid of the pages."""
    if known.pack is None or known.failed or known.again:
        return False
    pages = known.pack.names()
    return (known.risen or not pages) and all(name in pages for name in asked)


def _judge_serials(listed: Listed, known: Known) -> None:
    serials = [serial for serial in listed.names.values() if serial is not None]
    top = max(serials, default=0)
    differ = len(serials) == len(listed.names) and len(set(serials)) > 1
    rises = (known.risen and top >= known.top) or 0 < known.top < top
    listed.trusted = differ and rises
    listed.meta = {"top": top, "risen": listed.trusted}
    if listed.trusted:
        listed.note = TRUSTED
    elif differ:
        listed.note = WAITING
    else:
        listed.note = CONSTANT if serials else NONE


def only(listed: Listed, specs: Sequence[Spec]) -> None:
    """Leave out the projects that no spec names."""
    if specs:
        listed.names = {
            name: serial
            for name, serial in listed.names.items()
            if any(spec.matches_name(name) for spec in specs)
        }
