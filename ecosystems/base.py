"""What the product asks of a type of packages.

Nothing here knows Django, a database or a particular index format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from ecosystems.documents import Document, Location, Page
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    FetchedPackage,
    FetchLimits,
    FindFile,
    IndexNotModified,
    OptionalFiles,
    ParsedIndex,
    no_files,
)
from ecosystems.kinds import Family, Kind
from ecosystems.records import Invalid, Record, Spec

VersionKey = tuple[Any, ...]
"""Sorts versions of one type; only compared with its like."""

Shards = Callable[[], Iterator[tuple[str, bytes, str]]]
"""(name, body, SHA-256 of the served form) in the order of the names; may be called again."""


class Ecosystem(ABC):
    """One type of packages. Shard bodies are opaque to everybody else.

    The defaults are those of a type whose index is fetched whole, whose records are JSON, and
    whose files have neither companions nor pages.
    """

    kind: Kind
    family: Family
    prefix = ""
    """The first part of its addresses in a channel; "" where sections come first."""
    scope = ""
    """What `limited_to` left of the index, as a key; "" = all of it."""
    names_only = False
    """Whether `documents` looks at the names of a section's shards only."""
    root_files: frozenset[str] = frozenset()
    """Index files at the root of a channel."""
    permanent_sections: tuple[str, ...] = ()
    """Sections whose documents every channel has, mirrored or not ("" is the root)."""
    sizes_apart = False
    """Whether sizes stand in another document than hashes do, which may be older or newer: a hash
    decides alone."""
    learns_from_files = False
    """Whether stored files tell clients what an index need not: their SHA-256, their license."""

    # Names: specs, versions, sections, addresses.

    @abstractmethod
    def parse_spec(self, text: str) -> Spec:
        """Parse a package spec, or raise `SpecError` with the parser's words."""

    @abstractmethod
    def normalize_name(self, name: str) -> str:
        """The one spelling of a package name."""

    @abstractmethod
    def package_name(self, filename: str) -> str | None:
        """The package name that a file name says, None where it is not one of ours."""

    @abstractmethod
    def version_key(self, version: str) -> VersionKey:
        """What versions are sorted by; what is no version comes before all that are."""

    @abstractmethod
    def owns_section(self, section: str) -> bool:
        """Whether this can be the name of one of its sections."""

    @abstractmethod
    def sections(self, requested: Sequence[str]) -> list[str]:
        """The sections to look for: those requested, or all that are known."""

    @abstractmethod
    def locate(self, path: str, form: str) -> Location | None:
        """What a path behind `prefix` and a slash names in this form; None for nothing."""

    # Parameters of defaults are positional and underscored: types that use them choose the names.
    def preferred_form(self, _accept: str, /) -> str:
        """Which form of its index pages and files an `Accept` header prefers; "" = there is one."""
        return ""

    def file_key(self, section: str, _name: str, filename: str, /) -> str:
        """A file's key among the files of a channel ("ckey" in the API)."""
        return f"{section}/{filename}"

    def file_path(self, section: str, name: str, filename: str) -> str:
        """The address of a package's file inside a channel."""
        key = self.file_key(section, name, filename)
        return f"{self.prefix}/{key}" if self.prefix else key

    def archive_address(self, _section: str, _filename: str, /) -> str:
        """Where (as a record's `address`) a file goes that is no longer current; "" = it stays."""
        return ""

    def rebuilds(self, _section: str, /) -> bool:
        """Whether files of a section get new bytes under their names as a matter of course."""
        return False

    # An upstream's index.

    def limited_to(self, _limits: FetchLimits, /) -> Ecosystem:
        """This ecosystem, fetching no more than what a mirror can use."""
        return self

    def including(self, _names: Collection[str], _find_file: FindFile = no_files, /) -> Self:
        """This ecosystem, fetching these packages too where packages are fetched on demand.

        `_find_file`: where stored files lie, to read what the index does not say.
        """
        return self

    @abstractmethod
    def fetch(
        self, base_url: str, section: str, context: FetchContext
    ) -> FetchedIndex | IndexNotModified | None:
        """Fetch a section's index; None: the upstream has none.

        Raises `UpstreamError` for every other answer.
        """

    @abstractmethod
    def parse(self, fetched: FetchedIndex, section: str, context: FetchContext) -> ParsedIndex:
        """Group a fetched index by name into a pack; raises `BadIndex`."""

    def fetch_package(
        self, base_url: str, name: str, context: FetchContext
    ) -> FetchedPackage | None:
        """One package by itself; None: the upstream has no such package.

        `base_url` is that of the index in which the name is listed.
        """
        raise NotImplementedError

    def optional_names(self, _section: str, /) -> tuple[str, ...]:
        """Names of index files that say more than the records: what mirrors of ours take along."""
        return ()

    def fetch_optional(
        self, _address: str, _section: str, _context: FetchContext, /
    ) -> OptionalFiles:
        """Fetch the optional files of a section, into a new folder below the context's.

        `_address`: of the section's index; for the root (section "") of the upstream.
        """
        return OptionalFiles()

    # Shards and their records.

    @abstractmethod
    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        """The records of a shard body, decoded as far as rules look at them."""

    @abstractmethod
    def entries(self, body: bytes) -> dict[str, bytes]:
        """File name -> verbatim record."""

    @abstractmethod
    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        """The canonical body of these records of `bodies`, with what these say of the package."""

    def rewrites(self, _body: bytes, /) -> bool:
        """Whether `build` would publish these records otherwise than they came."""
        return False

    def withdrawn(self, _body: bytes, _previous: bytes = b"", /) -> frozenset[str] | None:
        """The files that the upstream says it has removed on purpose; None = all there were.

        `_previous`: what it said of the package earlier. Either is b"" where there was nothing.
        """
        return frozenset()

    def record_fields(self, raw: bytes) -> dict[str, object]:
        """A verbatim record as plain values, for people and the API."""
        return msgspec.json.decode(raw, type=dict[str, object])

    def hash_of(self, raw: bytes) -> str:
        """The hash that a verbatim record states of its file's bytes; "" for none."""
        fields = self.record_fields(raw)
        stated = fields.get("sha256") or fields.get("md5")
        return stated if isinstance(stated, str) else ""

    @abstractmethod
    def metadata(self, record: Record) -> dict[str, object]:
        """What the API calls a file's metadata, in the shape that the vendor's clients read."""

    def with_sha256(self, record: Record) -> Record:
        """The record, published with its SHA-256, which its index does not state."""
        return record

    def may_stamp(self, _extras: Collection[str], /) -> bool:
        """Whether records of an index with these optional files may be given a time by us."""
        return True

    def stamped(self, record: Record, _first_seen: int, /, *, at_first_run: bool) -> Record:
        """The record, published with the time (ms) at which its file was first seen here.

        For records that state no such time themselves. `at_first_run`: the file was there already
        when its index was first read. A type whose records have no such time leaves them alone.
        """
        del at_first_run
        return record

    # Files, and the small ones that belong to them.

    def read_license(self, _path: Path, _filename: str, /) -> tuple[str, str] | None:
        """What a file states as its license, and its family; None where it cannot be known."""
        return None

    def extract_companion(self, _path: Path, _filename: str, /) -> bytes | None:
        """The companion of this name out of the file at `_path`, unverified; None for none."""
        return None

    def companion_name(self, _filename: str, /) -> str:
        """The name of the companion that can be taken out of a file; "" for none."""
        return ""

    def with_companion(self, record: Record, _sha256: str, /) -> Record:
        """The record, published with the companion that its own file holds."""
        return record

    def main_file(self, _filename: str, /) -> str:
        """The name of the file that a companion belongs to; "" for any other file."""
        return ""

    def without_companions(self, record: Record) -> Record:
        """The record, published without a word of its companions."""
        return record

    # What clients are given.

    def shard_digest(self, _filename: str, /) -> str:
        """The SHA-256 of the served shard that a file name means; "" for none."""
        return ""

    def default_document(self, _section: str, _filename: str, /) -> bytes | None:
        """The JSON of an index file that is there though none was published; None for no such."""
        return None

    def served(self, _body: bytes, /) -> bytes:
        """The form of a shard that clients fetch by its hash; b"" where there is none."""
        return b""

    def page(self, served: bytes, digest: str, form: str) -> Page:
        """A package's page, from the served form of its shard, whose hash is `digest`."""
        raise NotImplementedError

    def refused_page(self, _name: str, _reason: str, _form: str, /) -> Page | None:
        """The page of a package of which every file is refused; None where clients know none."""
        return None

    @abstractmethod
    def documents(
        self, section: str, shards: Shards, folder: Path, extras: Mapping[str, Sequence[Path]]
    ) -> Iterator[Document]:
        """The index files of a section, written to `folder`. Section "" is the root.

        `extras` are upstream files that go with the index, by name, one for each source.
        """
