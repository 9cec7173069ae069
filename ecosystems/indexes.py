"""An upstream's index on its way here: what was read last, what came, what was read from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecosystems.progress import Progress, Stop, never_stop, no_progress
from ecosystems.records import Spec
from ecosystems.upstream.client import Client

NAMES = "names"
"""The extra of an index whose packages are fetched on demand: their names, one a line."""

FindFile = Callable[[str], Path | None]
"""Where the stored file with this SHA-256 lies, None where there is none. Threads may call it."""


def no_files(_sha256: str) -> Path | None:
    """A `FindFile` that has no file."""
    return None


@dataclass(slots=True)
class PreviousIndex:
    """What is known of an index from the last time it was read.

    `etag` and `last_modified` are empty where another part of the index was read then: what
    is unchanged since says nothing of the part that is asked for now.
    """

    address: str
    sha256: str
    etag: str
    last_modified: str
    pack: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a type needs to fetch and read: the client, a folder for temporary files, callbacks."""

    client: Client
    folder: Path
    stop: Stop = never_stop
    progress: Progress = no_progress
    previous: PreviousIndex | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What a mirror can use of an index.

    `only`: specs of which a package must match one, none = all packages. `active`: its files
    are fetched in the run. `licenses`: rules ask for licenses, which may cost requests of their
    own.
    """

    only: Sequence[Spec] = ()
    active: bool = True
    licenses: bool = False


@dataclass(slots=True)
class FetchedIndex:
    """An index as it came, in the temporary file `path`, whose hash is `sha256`."""

    address: str
    path: Path
    sha256: str
    etag: str
    last_modified: str
    note: str = ""
    """How the index was asked for, for the log; "" for nothing to tell."""
    warnings: list[str] = field(default_factory=list)
    """What belongs to the index and could not be had this time, in sentences."""
    notes: list[str] = field(default_factory=list)
    """What is odd about this index as long as it is published, in sentences."""
    parts: dict[str, str] = field(default_factory=dict)
    """What `parse` has to know of its further files, by name."""
    further_bytes: int = 0
    """Size of the further files that came with it."""


@dataclass(slots=True)
class IndexNotModified:
    """The index is what it was when it was last read."""

    warnings: list[str] = field(default_factory=list)
    """What belongs to the index and could not be had this time, in sentences."""


@dataclass(slots=True)
class ParsedIndex:
    """A fetched index grouped by name into the temporary file `pack`.

    `base_url` is where its files lie; `newest` is the newest build time (ms);
    `extras` are files that say more of it, by name (temporary files).
    """

    pack: Path
    pack_sha256: str
    base_url: str
    listed: int
    names: int
    newest: int = 0
    invalid: int = 0
    """How many of `listed` are in no shard, because not even their name can be read."""
    invalid_names: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What was dropped, skipped or kept from an earlier state: sentences with counts and first
    names (`first_names`). They are shown on every mirror that publishes from this index."""
    extras: dict[str, Path] = field(default_factory=dict)
    fetched: FetchedIndex | None = None
    """The form of the index that was read, if not the one that was fetched first."""


@dataclass(slots=True)
class OptionalFiles:
    """Further files of an upstream that go with a section's index, which can do without.

    `files` are those that came, by name (temporary files). `missed` cannot be had or read now, by
    name with the reason: they stay as they were and are asked for again. The upstream has no
    others.
    """

    files: dict[str, Path] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    """As in `ParsedIndex`."""


@dataclass(slots=True)
class FetchedPackage:
    """One package, fetched by itself: its body, its number of records, and what is odd about it."""

    body: bytes
    count: int
    warnings: list[str] = field(default_factory=list)
