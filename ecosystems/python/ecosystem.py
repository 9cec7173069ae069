"""The standard python type (the Simple API, PEP 503 and 691) as the rest of the product sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from ecosystems.base import Ecosystem, Shards, VersionKey
from ecosystems.documents import Document, Location, Page
from ecosystems.indexes import (
    NAMES,
    FetchContext,
    FetchedIndex,
    FetchedPackage,
    FetchLimits,
    FindFile,
    IndexNotModified,
    ParsedIndex,
    no_files,
)
from ecosystems.kinds import Family, Kind
from ecosystems.pack import Pack
from ecosystems.python import body as shard_body
from ecosystems.python import fetch, pages, records, specifiers, wheels
from ecosystems.python.fetch import SECTION
from ecosystems.python.names import METADATA, WHEEL, is_file, is_name, name_of, normalize
from ecosystems.python.page_fetcher import PageFetcher, PageRequest
from ecosystems.python.previous import PagesMeta, PreviousPack
from ecosystems.python.selection import Selection
from ecosystems.records import Invalid, Record, Spec


class PythonSimple(Ecosystem):
    """Indexes of the Simple API. Limited, it fetches the pages of some projects."""

    kind = Kind.PYTHON
    family = Family.PYTHON
    prefix = SECTION
    names_only = True
    learns_from_files = True

    def __init__(self, selection: Selection | None = None) -> None:
        self._selection = selection or Selection()
        self.scope = self._selection.key()

    def parse_spec(self, text: str) -> Spec:
        return specifiers.parse(text)

    def normalize_name(self, name: str) -> str:
        return normalize(name)

    def package_name(self, filename: str) -> str | None:
        return name_of(filename)

    def version_key(self, version: str) -> VersionKey:
        try:
            return 1, Version(version)
        except InvalidVersion:
            return 0, version

    def owns_section(self, section: str) -> bool:
        return section == SECTION

    def sections(self, requested: Sequence[str]) -> list[str]:
        del requested  # Platforms are conda's.
        return [SECTION]

    def locate(self, path: str, form: str) -> Location | None:
        name, slash, filename = path.partition("/")
        # PEP 503: addresses end in a slash, and other spellings of a name are redirected.
        if not path:
            return Location(SECTION, moved=f"{SECTION}/")
        if path == "/":
            return Location(SECTION, filename=pages.INDEX_NAMES[form or pages.TEXT])
        if not is_name(name) or (filename and not is_file(filename)):
            return None
        normalized = normalize(name)
        if not slash:
            return Location(SECTION, moved=f"{normalized}/")
        if normalized != name:
            return Location(SECTION, moved=f"../{normalized}/{filename}")
        return Location(SECTION, name, filename)

    def preferred_form(self, accept: str) -> str:
        return pages.form(accept)

    def file_key(self, section: str, name: str, filename: str) -> str:
        return f"{section}/{name}/{filename}"

    def file_path(self, section: str, name: str, filename: str) -> str:
        return self.file_key(section, name, filename)

    def limited_to(self, limits: FetchLimits) -> PythonSimple:
        only, active, licenses = tuple(limits.only), limits.active, limits.licenses
        return PythonSimple(Selection(only, active, licenses))

    def including(self, names: Collection[str], find_file: FindFile = no_files) -> PythonSimple:
        requested = frozenset(names)
        return PythonSimple(replace(self._selection, requested=requested, find_file=find_file))

    def fetch(
        self, base_url: str, section: str, context: FetchContext
    ) -> FetchedIndex | IndexNotModified | None:
        return fetch.fetch(base_url, section, context, self._selection)

    def parse(self, fetched: FetchedIndex, section: str, context: FetchContext) -> ParsedIndex:
        # All was read while it was fetched.
        target = context.folder / f"{section}.pack"
        fetched.path.rename(target)
        with target.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with Pack(target) as pack:
            meta = PagesMeta.of(pack)
            entries = pack.names().values()
            return ParsedIndex(
                pack=target,
                pack_sha256=sha256,
                base_url=fetched.address,
                listed=sum(entry.count for entry in entries),
                names=len(entries),
                newest=meta.newest,
                warnings=[*meta.list_warnings, *meta.page_warnings],
                extras={NAMES: context.folder / NAMES} if self._selection.on_demand else {},
            )

    def fetch_package(
        self, base_url: str, name: str, context: FetchContext
    ) -> FetchedPackage | None:
        fetcher = PageFetcher(base_url, context, self._selection, previous=PreviousPack())
        page = fetcher.fetch(PageRequest(name))
        return None if page is None else FetchedPackage(page.body, page.count, fetcher.warnings())

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        del section  # There is one.
        return records.records(body, name=name)

    def entries(self, body: bytes) -> dict[str, bytes]:
        return shard_body.entries(body)

    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        files = list(entries)
        name = name_of(files[0][0].removesuffix(METADATA)) if files else ""
        sources = list(bodies)
        return shard_body.build(files, sources, name="" if sources else name or "")

    def withdrawn(self, body: bytes, previous: bytes = b"") -> frozenset[str] | None:
        """All files of a quarantined project, and those that were yanked before they went."""
        if body and records.quarantined(shard_body.split(body).status):
            return None
        return records.yanked(previous) if previous else frozenset()

    def hash_of(self, raw: bytes) -> str:
        hashes = self.record_fields(raw).get("hashes")
        stated = hashes if isinstance(hashes, dict) else {}
        return str(stated.get("sha256") or next(iter(stated.values()), ""))

    def metadata(self, record: Record) -> dict[str, object]:
        return records.metadata(record)

    def read_license(self, path: Path, filename: str) -> tuple[str, str] | None:
        return wheels.license_in(path) if filename.endswith(WHEEL) else None

    def extract_companion(self, path: Path, filename: str) -> bytes | None:
        return wheels.whole_metadata_in(path) if filename.endswith(WHEEL + METADATA) else None

    def companion_name(self, filename: str) -> str:
        return filename + METADATA if filename.endswith(WHEEL) else ""

    def with_companion(self, record: Record, sha256: str) -> Record:
        return records.with_metadata(record, sha256)

    def main_file(self, filename: str) -> str:
        return filename.removesuffix(METADATA) if filename.endswith(METADATA) else ""

    def with_sha256(self, record: Record) -> Record:
        return records.with_sha256(record)

    def without_companions(self, record: Record) -> Record:
        return records.without_metadata(record)

    def stamped(self, record: Record, first_seen: int, *, at_first_run: bool) -> Record:
        del at_first_run  # Nothing else tells how old the file is.
        return records.with_upload_time(record, first_seen)

    def served(self, body: bytes) -> bytes:
        return pages.served(body)

    def page(self, served: bytes, digest: str, form: str) -> Page:
        return pages.page(served, digest, form)

    def refused_page(self, name: str, reason: str, form: str) -> Page:
        return pages.refused_page(name, reason, form)

    def documents(
        self, section: str, shards: Shards, folder: Path, extras: Mapping[str, Sequence[Path]]
    ) -> Iterator[Document]:
        if section:
            names = {name for name, _, _ in shards()}
            names.update(*(path.read_text().split() for path in extras.get(NAMES, ())))
            yield from pages.index(sorted(names), folder)
