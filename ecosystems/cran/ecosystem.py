"""The standard R type (a CRAN-like repository) as the rest of the product sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from ecosystems.base import Ecosystem, Shards, VersionKey
from ecosystems.cran import contents, documents, fetch, layout, meta, packages, spec, versions
from ecosystems.cran.contents import FileFacts
from ecosystems.cran.meta import Meta
from ecosystems.documents import Document, Location
from ecosystems.errors import BadIndex
from ecosystems.indexes import (
    FetchContext,
    FetchedIndex,
    FindFile,
    IndexNotModified,
    ParsedIndex,
    no_files,
)
from ecosystems.kinds import Family, Kind
from ecosystems.pack import Pack, PackWriter
from ecosystems.records import Invalid, Record, Spec
from ecosystems.sentences import first_names
from ecosystems.upstream import UpstreamError

VALIDATORS = "validators"
"""Under which `parse` finds what identifies the files of the Meta folder."""


class Cran(Ecosystem):
    """CRAN-like repositories of R packages."""

    kind = Kind.CRAN
    family = Family.CRAN
    prefix = layout.PREFIX
    sizes_apart = True

    def __init__(self, forms: set[str] | None = None) -> None:
        """`forms`: collects the forms in which the upstream was read before; None = it does not."""
        self._forms = forms

    def parse_spec(self, text: str) -> Spec:
        return spec.parse(text)

    def normalize_name(self, name: str) -> str:
        return name.strip()

    def package_name(self, filename: str) -> str | None:
        parts = layout.file_parts(filename)
        return parts[0] if parts else None

    def version_key(self, version: str) -> VersionKey:
        return (1, versions.parse(version)) if versions.is_version(version) else (0, version)

    def owns_section(self, section: str) -> bool:
        return layout.is_section(section)

    def sections(self, requested: Sequence[str]) -> list[str]:
        del requested  # Platforms are conda's: what the upstream has of these is mirrored.
        return list(layout.SECTIONS)

    def locate(self, path: str, form: str) -> Location | None:
        del form  # Each of R's files has one.
        place = layout.locate(path)
        if place is None:
            return None
        section, filename = place
        return Location(section, self.package_name(filename) or "", filename)

    def archive_address(self, section: str, filename: str) -> str:
        parts = layout.file_parts(filename)
        if parts is None or section != layout.SOURCE:
            return ""
        return layout.archive_place(parts[0], filename)

    def rebuilds(self, section: str) -> bool:
        return section != layout.SOURCE

    def including(self, names: Collection[str], find_file: FindFile = no_files) -> Cran:
        """One for a single look at an upstream: it learns on the way how that one writes."""
        del names, find_file
        return Cran(set())

    def fetch(
        self, base_url: str, section: str, context: FetchContext
    ) -> FetchedIndex | IndexNotModified | None:
        folder_url = f"{base_url.rstrip('/')}/{section}"
        if section == layout.SOURCE:
            return self._fetch_source(folder_url, context)
        return self._fetch_binaries(folder_url, context)

    def _fetch_binaries(
        self, folder_url: str, context: FetchContext
    ) -> FetchedIndex | IndexNotModified | None:
        # Some fifty folders are looked for every time: one that has never been there is asked for
        # in the forms in which the upstream writes the others.
        only = frozenset(self._forms or ()) if context.previous is None else frozenset()
        self._remember_form(context)
        try:
            return fetch.fetch(folder_url, context, only=only)
        except (UpstreamError, BadIndex) as error:
            # Stores of files and simple servers answer otherwise than 404 where nothing is.
            lasting = isinstance(error, BadIndex) or error.permanent
            if context.previous is None and lasting:
                return None
            raise

    def _fetch_source(
        self, folder_url: str, context: FetchContext
    ) -> FetchedIndex | IndexNotModified | None:
        """The index of the sources, with the Meta folder that goes with it."""
        self._remember_form(context)
        index = fetch.fetch(folder_url, context)
        if index is None:
            return None
        before = meta.validators(context.previous.pack if context.previous else None)
        conditional = isinstance(index, IndexNotModified)
        folder = meta.fetch(folder_url, context, before=before, conditional=conditional)
        if isinstance(index, IndexNotModified):
            if not meta.changed(folder, before):
                return IndexNotModified(folder.warnings)
            # The packages are what they were, but what is known of their files is not.
            index = fetch.fetch(folder_url, replace(context, previous=None))
            folder = meta.fetch(folder_url, context, before=before, conditional=False)
            if not isinstance(index, FetchedIndex):
                return index
        return _with_meta(index, folder)

    def _remember_form(self, context: FetchContext) -> None:
        if self._forms is not None and context.previous is not None:
            self._forms.add(context.previous.address.rpartition("/")[2])

    def parse(self, fetched: FetchedIndex, section: str, context: FetchContext) -> ParsedIndex:
        target = context.folder / f"{section.replace('/', '-')}.pack"
        old = Pack(context.previous.pack) if context.previous is not None else None
        facts = FileFacts()
        validators: dict[str, list[str]] = msgspec.json.decode(fetched.parts.get(VALIDATORS, "{}"))
        warnings = meta.read(
            fetched.parts, context.folder, old=old, facts=facts, validators=validators
        )
        index = contents.read(
            fetch.blocks(fetched), section=section, facts=facts, stop=context.stop
        )

        def checked(name: str, body: bytes) -> list[Record | Invalid]:
            return self.records(body, section=section, name=name)

        with PackWriter(target, old=old, records=checked) as writer:
            for number, (name, body, count) in enumerate(index.bodies()):
                if number % contents.STOP_EVERY == 0:
                    context.stop()
                writer.add(name, body, count)
            sha256 = writer.close({meta.STORED: validators})
        return ParsedIndex(
            pack=target,
            pack_sha256=sha256,
            base_url=fetched.address.rpartition("/")[0] + "/",
            listed=index.count + len(index.invalid),
            names=len(index.packages),
            newest=index.newest,
            invalid=len(index.invalid),
            invalid_names=index.invalid[:1000],
            warnings=[*warnings, *_warnings(facts, index.repeated)],
        )

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        return packages.records(body, section=section, name=name)

    def entries(self, body: bytes) -> dict[str, bytes]:
        return packages.entries(body)

    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        del bodies  # Stanzas say all there is to say.
        return packages.build(entries)

    def record_fields(self, raw: bytes) -> dict[str, object]:
        return dict(packages.fields(packages.stanza(raw)))

    def hash_of(self, raw: bytes) -> str:
        stated = self.record_fields(raw).get("MD5sum")
        return stated.lower() if isinstance(stated, str) else ""

    def metadata(self, record: Record) -> dict[str, object]:
        return self.record_fields(record.raw)

    def documents(
        self, section: str, shards: Shards, folder: Path, extras: Mapping[str, Sequence[Path]]
    ) -> Iterator[Document]:
        del extras  # The Meta folder is written from the stanzas.
        return documents.documents(section, shards, folder)


def _with_meta(index: FetchedIndex, folder: Meta) -> FetchedIndex:
    """An index together with what goes with it."""
    identity = f"{index.sha256}{folder.identity}"
    index.sha256 = hashlib.sha256(identity.encode()).hexdigest()
    index.warnings = folder.warnings
    index.parts = {
        **{name: str(state) for name, state in folder.states.items()},
        VALIDATORS: msgspec.json.encode(folder.validators).decode(),
    }
    return index


def _warnings(facts: FileFacts, repeated: list[str]) -> list[str]:
    warnings = []
    if facts.odd:
        warnings.append(
            f"{facts.odd:,} files of the archive are passed over: their names are no package's."
        )
    if repeated:
        entry = "1 entry lists" if len(repeated) == 1 else f"{len(repeated):,} entries list"
        warnings.append(
            f"{entry} a version again, of {first_names(list(dict.fromkeys(repeated)))}: the first"
            " of them counts, as in R, or the one whose file lies in the folder itself."
        )
    return warnings
