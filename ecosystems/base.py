"""What the three ecosystems have in common: records, shards, documents, errors.

Nothing here knows Django, a database or a particular index format.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

if TYPE_CHECKING:
    from ecosystems.upstream import Client


class EcosystemError(Exception):
    """Base of every error this package raises on purpose."""


class SpecError(EcosystemError):
    """A package spec that cannot be parsed; `str()` is the parser's words."""


class BadIndex(EcosystemError):
    """An index that is not what its address promises; `str()` is a sentence."""


NAMED = 3
"""So many names stand in a sentence; the rest is a number."""
LONGEST_NAMED = 100


def first_names(names: Sequence[str], total: int | None = None) -> str:
    """ "a, b, c and 12 more" of `total` names (all of `names`, if not said)."""
    total = len(names) if total is None else total
    shown = [name if len(name) <= LONGEST_NAMED else f"{name[:LONGEST_NAMED]}…" for name in names]
    more = total - len(shown[:NAMED])
    return ", ".join(shown[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


class Record(msgspec.Struct, gc=False, kw_only=True):
    """One file as the upstream lists it, with the fields that rules look at.

    `raw` is the upstream's record, byte for byte. `timestamp` is the build
    time in milliseconds since 1970 UTC, None where the record has none that
    makes sense. Missing text fields are "", a missing size is -1.
    """

    filename: str = ""
    raw: bytes = b""
    name: str = ""
    version: str = ""
    build: str = ""
    build_number: int = 0
    license: str = ""
    license_family: str = ""
    license_known: bool = True
    """False: the index does not say it; the file itself may."""
    timestamp: int | None = None
    size: int = -1
    sha256: str = ""
    md5: str = ""
    address: str = ""
    """Where the file lies, absolute or as seen from its origin; "" = under its own name there."""
    archived: bool = False
    """The index does not show it as a current version, but in its archive."""
    beside: tuple[Record, ...] = ()
    """Small files that belong to this one (a wheel's metadata); it is whole only with them."""

    def value(self, key: str) -> str | int | None:
        """The record's own value of `key` (any text or integer field), or None."""
        raise NotImplementedError


@dataclass(slots=True)
class Invalid:
    """A record that the upstream lists and that must not be published."""

    filename: str
    why: str


@dataclass(slots=True)
class Shard:
    """All records of one package name in one section.

    `body` is the ecosystem's own canonical form of the records, verbatim
    inside; equal bodies mean equal content, whatever order the upstream used.
    """

    section: str
    name: str
    body: bytes
    count: int = 0  # of the records in it, where the reader knows it


class Spec(Protocol):
    """A parsed package spec."""

    text: str
    name_only: bool  # True: says nothing but the name, so it decides for the whole shard

    def matches_name(self, name: str) -> bool: ...
    def matches(self, record: Record) -> bool: ...


@dataclass(slots=True)
class Document:
    """An index file as served, written to the temporary file `path` (whose hash is `sha256`).

    `packed`: the file is the zstd form of what is served. `size` and `etag`
    (strong, quoted) are of the bytes that clients get.
    """

    name: str
    path: Path
    sha256: str
    size: int
    etag: str
    media_type: str = "application/octet-stream"
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Spot:
    """What a path behind an ecosystem's prefix names: an index file, a page, or a file.

    `name` is the package's; "" for index files, which are found by `section` and
    `filename`. A page has a name and no file name. `moved`: the address, as seen
    from the one that was asked for, under which this is really served.
    """

    section: str
    name: str = ""
    filename: str = ""
    moved: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A package's index page in one of its forms; `etag` is strong and quoted."""

    body: bytes
    etag: str
    media_type: str


NAMES = "names"
"""The extra of an index whose packages are fetched when asked for: their names, one a line."""

Order = tuple[Any, ...]
"""Sorts versions of one type; only compared with its like."""

Stop = Callable[[], None]
"""Called between chunks; raises to end the work."""


Held = Callable[[str], Path | None]
"""Where the file with this SHA-256 lies, None where it is not here. Threads may call it."""


def nothing_held(sha256: str) -> Path | None:
    """A `Held` that has no file."""
    del sha256
    return None


def never_stop() -> None:
    """A `Stop` that never stops."""


@dataclass(slots=True)
class Seen:
    """What is known of an index from the last time it was read.

    `etag` and `last_modified` are empty where another part of the index was read then: what
    is unchanged since says nothing of the part that is asked for now.
    """

    address: str
    sha256: str
    etag: str
    last_modified: str
    pack: Path


@dataclass(slots=True)
class Raw:
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
    kept: dict[str, str] = field(default_factory=dict)
    """What `read` has to know of it: the parts of it that stay as they were, by name."""


@dataclass(slots=True)
class Read:
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
    raw: Raw | None = None
    """The form of the index that was read, if not the one that was fetched first."""


@dataclass(slots=True)
class Extras:
    """Further files of an upstream that go with a section's index, which can do without.

    `files` are those that came, by name (temporary files). `kept` cannot be had or read now, by
    name with the reason: they stay as they were and are asked for again. The upstream has no
    others.
    """

    files: dict[str, Path] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    """As in `Read`."""


@dataclass(slots=True)
class Unchanged:
    """The index is what it was when it was last read."""

    warnings: list[str] = field(default_factory=list)
    """What belongs to the index and could not be had this time, in sentences."""


@dataclass(slots=True)
class Brought:
    """One package, fetched by itself: its body, its number of records, and what is odd about it."""

    body: bytes
    count: int
    warnings: list[str] = field(default_factory=list)


Progress = Callable[[float, float], None]
"""Called with what is done and the total (0 = unknown)."""


class Whole:
    """For types whose index is fetched whole and whose sections are addresses as they are."""

    prefix = ""
    scope = ""
    names_only = False
    sizes_apart = False

    def narrowed(self, only: Sequence[Spec], *, active: bool, licenses: bool) -> Self:
        """The same: there is nothing to be left out."""
        del only, active, licenses
        return self

    def having(self, names: Collection[str], held: Held = nothing_held) -> Self:
        """The same: nothing waits to be asked for."""
        del names, held
        return self

    def license_in(self, path: Path, filename: str) -> tuple[str, str] | None:
        """Nothing: the index states what there is to know."""
        del path, filename
        return None

    def inside(self, path: Path, filename: str) -> bytes | None:
        """Nothing: no files lie beside others."""
        del path, filename
        return None

    def goes_with(self, filename: str) -> str:
        """Every file stands for itself."""
        del filename
        return ""

    def alone(self, record: Record) -> Record:
        """The same: nothing goes with it."""
        return record

    def bring(self, client: Client, base_url: str, name: str, *, work: Path) -> Brought | None:
        """Nothing is fetched by itself."""
        raise NotImplementedError

    def taken_back(self, body: bytes, before: bytes = b"") -> frozenset[str] | None:
        """Nothing: this type has no word for it."""
        del body, before
        return frozenset()

    def optional(self, section: str) -> tuple[str, ...]:
        """Nothing: its index files say all there is to say."""
        del section
        return ()

    def extras(
        self, client: Client, address: str, section: str, work: Path, *, stop: Stop
    ) -> Extras:
        """None: its indexes are fetched with all that goes with them."""
        del client, address, section, work, stop
        return Extras()

    def key(self, section: str, name: str, filename: str) -> str:
        """Below the section."""
        del name
        return f"{section}/{filename}"

    def path(self, section: str, name: str, filename: str) -> str:
        """The key behind the prefix."""
        inside = self.key(section, name, filename)
        return f"{self.prefix}/{inside}" if self.prefix else inside

    def shown(self, raw: bytes) -> dict[str, Any]:
        """The record as it is: JSON."""
        return msgspec.json.decode(raw, type=dict[str, Any])

    def moved(self, section: str, filename: str) -> str:
        """Nowhere: files stay where they are."""
        del section, filename
        return ""

    def locate(self, path: str, form: str) -> Spot | None:
        """Nothing: addresses without a prefix are read by those who serve them."""
        del path, form
        return None

    def form(self, accept: str) -> str:
        """There is one form of everything."""
        del accept
        return ""

    def page(self, served: bytes, digest: str, form: str) -> Page:
        """Packages have no pages of their own."""
        raise NotImplementedError


class Ecosystem(Protocol):
    """What the product asks of a type. Shard bodies are opaque to everybody else."""

    kind: str
    """The API's name of the type."""
    family: str
    """The artifact family in events and the API."""
    prefix: str
    """The first part of its addresses in a channel; "" where sections come first."""
    scope: str
    """What `narrowed` left of the index, as a key; "" = all of it."""
    names_only: bool
    """Whether `documents` looks at the names of a section's shards only."""
    sizes_apart: bool
    """Whether sizes stand in another document than hashes do, which may be older or newer: a hash
    decides alone."""

    def narrowed(self, only: Sequence[Spec], *, active: bool, licenses: bool) -> Ecosystem:
        """This ecosystem, fetching no more than what a mirror can use.

        `only`: specs of which a package must match one, none = all packages.
        `licenses`: rules ask for licenses, which may cost requests of their own.
        """

    def having(self, names: Collection[str], held: Held = nothing_held) -> Ecosystem:
        """This ecosystem, fetching these packages too where only what was asked for is fetched.

        `held`: where files lie that are here, to read what the index does not say.
        """

    def license_in(self, path: Path, filename: str) -> tuple[str, str] | None:
        """What a file states as its license, and its family; None where it cannot be known."""

    def inside(self, path: Path, filename: str) -> bytes | None:
        """What the file at `path` holds of one beside it; unverified, None where it has nothing."""

    def goes_with(self, filename: str) -> str:
        """The name of the file that a small one beside it goes with; "" for any other file."""

    def alone(self, record: Record) -> Record:
        """The record, published without what lies beside its file."""

    def bring(self, client: Client, base_url: str, name: str, *, work: Path) -> Brought | None:
        """One package by itself; None: the upstream has no such package.

        `base_url` is that of the index in which the name is listed.
        """

    def owns(self, section: str) -> bool:
        """Whether this can be the name of one of its sections."""

    def key(self, section: str, name: str, filename: str) -> str:
        """A file's key among the files of a channel ("ckey" in the API)."""

    def path(self, section: str, name: str, filename: str) -> str:
        """The address of a package's file inside a channel."""

    def shown(self, raw: bytes) -> dict[str, Any]:
        """A verbatim record as plain values, for people and the API."""

    def metadata(self, record: Record) -> dict[str, Any]:
        """What the API calls a file's metadata, in the shape that the vendor's clients read."""

    def order(self, version: str) -> Order:
        """What versions are sorted by; what is no version comes before all that are."""

    def moved(self, section: str, filename: str) -> str:
        """Where (as an `address`) a file goes that is no longer current; "" = it stays."""

    def locate(self, path: str, form: str) -> Spot | None:
        """What a path behind `prefix` and a slash names in this form; None for nothing."""

    def form(self, accept: str) -> str:
        """Which form of its index pages and files an `Accept` header prefers; "" = there is one."""

    def page(self, served: bytes, digest: str, form: str) -> Page:
        """A package's page, from the served form of its shard, whose hash is `digest`."""

    def sections(self, asked: Sequence[str]) -> list[str]:
        """The sections to look for: those asked for, or all that are known."""

    def fetch(
        self,
        client: Client,
        base_url: str,
        section: str,
        *,
        seen: Seen | None,
        work: Path,
        stop: Stop,
        progress: Progress,
    ) -> Raw | Unchanged | None:
        """Fetch a section's index into the folder `work`; None: the upstream has none.

        Raises `UpstreamError` for every other answer.
        """

    def read(
        self,
        client: Client,
        raw: Raw,
        section: str,
        *,
        seen: Seen | None,
        work: Path,
        stop: Stop,
    ) -> Read:
        """Group a fetched index by name into a pack; raises `BadIndex`."""

    def optional(self, section: str) -> tuple[str, ...]:
        """Names of index files that say more than the records: what mirrors of ours take along."""

    def extras(
        self, client: Client, address: str, section: str, work: Path, *, stop: Stop
    ) -> Extras:
        """Fetch the optional files of a section, into a new folder below `work`.

        `address`: of the section's index; for the root (section "") of the upstream.
        """

    def spec(self, text: str) -> Spec:
        """Parse a package spec, or raise `SpecError` with the parser's words."""

    def normalize(self, name: str) -> str:
        """The one spelling of a package name."""

    def name_of(self, filename: str) -> str | None:
        """The package name that a file name says, None where it is not one of ours."""

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        """The records of a shard body, decoded as far as rules look at them."""

    def entries(self, body: bytes) -> dict[str, bytes]:
        """File name -> verbatim record."""

    def taken_back(self, body: bytes, before: bytes = b"") -> frozenset[str] | None:
        """The files that the upstream says it has removed on purpose; None = all there were.

        `before`: what it said of the package earlier. Either is b"" where there was nothing.
        """

    def rewrites(self, body: bytes) -> bool:
        """Whether `build` would publish these records otherwise than they came."""

    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        """The canonical body of these records of `bodies`, with what these say of the package."""

    def served(self, body: bytes) -> bytes:
        """The form that clients fetch by its hash; b"" where there is none."""

    def documents(
        self,
        section: str,
        shards: Callable[[], Iterator[tuple[str, bytes, str]]],
        folder: Path,
        extras: Mapping[str, Sequence[Path]],
    ) -> Iterator[Document]:
        """The index files of a section, from (name, body, hash of the served form).

        `shards` may be called more than once. `extras` are upstream files that
        go with the index, by name, one for each source. Section "" is the root.
        """
