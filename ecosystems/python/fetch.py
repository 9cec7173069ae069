"""Fetches an index of the Simple API: its list of projects, then the pages that are needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ecosystems.errors import BadIndex
from ecosystems.indexes import (
    NAMES,
    FetchContext,
    FetchedIndex,
    IndexNotModified,
    PreviousIndex,
)
from ecosystems.python import listing
from ecosystems.python.collect import Collector
from ecosystems.python.listing import Listing
from ecosystems.python.previous import PreviousPack
from ecosystems.python.selection import Selection
from ecosystems.upstream import NotFound, UpstreamError

SECTION = "simple"


def fetch(
    base_url: str, section: str, context: FetchContext, selection: Selection
) -> FetchedIndex | IndexNotModified | None:
    """The pages of the selected projects, collected into a pack; None where there is no index."""
    refusal: UpstreamError | BadIndex | None = None
    for root in _roots(base_url, context.previous):
        try:
            index = _fetch_at(root, section, context, selection)
        except (UpstreamError, BadIndex) as error:
            # A welcome page, or what a server says where it has no index.
            if isinstance(error, UpstreamError) and not error.permanent:
                raise
            refusal = refusal or error
            continue
        if index is not None:
            return index
    if refusal is not None:
        raise refusal
    return None


def _roots(base_url: str, previous: PreviousIndex | None) -> list[str]:
    """Where the index may be: at the address given, or in its folder `simple`."""
    base = base_url.rstrip("/") + "/"
    roots = [base] if base.endswith("simple/") else [base, f"{base}{SECTION}/"]
    # Where it was found the last time: the other address is not asked again.
    if previous is not None and previous.address in roots:
        return [previous.address]
    return roots


def _fetch_at(
    root: str, section: str, context: FetchContext, selection: Selection
) -> FetchedIndex | IndexNotModified | None:
    """The index at one address; None: there is none."""
    previous = PreviousPack.open(context.previous.pack if context.previous else None, root)
    try:
        projects = _list(root, context, selection, previous)
    except NotFound:
        return None
    if projects is None:
        return IndexNotModified()
    collector = Collector(root, context, selection, listing=projects, previous=previous)
    path = context.folder / f"{section}.collected"
    state = collector.collect(path)
    # The list was not asked for: where no project is there, there may be no index either.
    if selection.names is not None and not collector.pages and not collector.failed:
        path.unlink()
        return None
    names = _names_digest(context.folder) if selection.on_demand else ""
    content = f"{selection.key()}\0{state}\0{names}\0{projects.trusted}"
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return FetchedIndex(root, path, sha256, projects.etag, projects.last_modified, projects.note)


def _list(
    root: str, context: FetchContext, selection: Selection, previous: PreviousPack
) -> Listing | None:
    """The projects to ask for; None: nothing has changed. NotFound: there is no list."""
    if selection.names is not None:
        return Listing(dict.fromkeys(selection.names))
    projects = listing.fetch(root, context, pack=previous, requested=selection.requested)
    if projects is None:
        return None
    projects.limit_to(selection.only)
    if selection.on_demand:
        (context.folder / NAMES).write_text("\n".join(sorted(projects.names)))
        pages = selection.requested.union(previous.pack.names() if previous.pack else ())
        projects.names = {name: serial for name, serial in projects.names.items() if name in pages}
    return projects


def _names_digest(folder: Path) -> str:
    """A hash of the names that are listed without their pages."""
    return hashlib.sha256((folder / NAMES).read_bytes()).hexdigest()
