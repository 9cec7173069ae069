"""The standard R type as the rest of the product sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ecosystems.base import (
    BadIndex,
    Document,
    Held,
    Invalid,
    Order,
    Progress,
    Raw,
    Read,
    Record,
    Seen,
    Spec,
    Spot,
    Stop,
    Unchanged,
    Whole,
    first_names,
    nothing_held,
)
from ecosystems.cran import contents, documents, forms, layout, meta, packages, spec, versions
from ecosystems.cran.contents import Facts
from ecosystems.cran.meta import Meta
from ecosystems.pack import Pack, PackWriter
from ecosystems.upstream import Client, UpstreamError

SEEN = "seen"
"""Under which `read` finds what identifies the files of the Meta folder."""


class Cran(Whole):
    """Implements `ecosystems.base.Ecosystem`."""

    kind = "CRAN"
    family = "cran"
    prefix = layout.PREFIX
    sizes_apart = True

    def __init__(self, forms: set[str] | None = None) -> None:
        """`forms`: learns in which forms the upstream has been read before; None = nothing."""
        self._forms = forms

    def having(self, names: Collection[str], held: Held = nothing_held) -> Cran:
        """One for a single look at an upstream: it learns on the way how that one writes."""
        del names, held
        return Cran(set())

    def owns(self, section: str) -> bool:
        return layout.is_section(section)

    def locate(self, path: str, form: str) -> Spot | None:
        del form
        found = layout.locate(path)
        if found is None:
            return None
        section, filename = found
        return Spot(section, self.name_of(filename) or "", filename)

    def shown(self, raw: bytes) -> dict[str, Any]:
        return dict(packages.fields(packages.stanza(raw)))

    def metadata(self, record: Record) -> dict[str, Any]:
        return self.shown(record.raw)

    def order(self, version: str) -> Order:
        return (1, versions.parse(version)) if versions.is_version(version) else (0, version)

    def moved(self, section: str, filename: str) -> str:
        parts = layout.file_parts(filename)
        if parts is None or section != layout.SOURCE:
            return ""
        return layout.archive_place(parts[0], filename)

    def sections(self, asked: Sequence[str]) -> list[str]:
        del asked  # Platforms are conda's: what the upstream has of these is mirrored.
        return list(layout.SECTIONS)

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
        folder = f"{base_url.rstrip('/')}/{section}"

        # Some fifty folders are looked for every time: one that has never been there is asked for
        # in the forms in which the upstream writes the others.
        only = frozenset(self._forms or ()) if seen is None and section != layout.SOURCE else ()
        if self._forms is not None and seen is not None:
            self._forms.add(seen.address.rpartition("/")[2])

        def ask(known: Seen | None) -> Raw | Unchanged | None:
            return forms.fetch(
                client, folder, work, seen=known, stop=stop, progress=progress, only=only
            )

        try:
            found = ask(seen)
        except (UpstreamError, BadIndex) as error:
            # Stores of files and simple servers answer otherwise than 404 where nothing is.
            lasting = isinstance(error, BadIndex) or error.permanent
            if seen is None and section != layout.SOURCE and lasting:
                return None
            raise
        if section != layout.SOURCE or found is None:
            return found
        before = meta.known(seen.pack if seen else None)
        same = isinstance(found, Unchanged)
        folders = meta.fetch(client, folder, work, before=before, ask=same, stop=stop)
        if isinstance(found, Unchanged):
            if not meta.changed(folders, before):
                return Unchanged(folders.warnings)
            # The packages are what they were, but what is known of their files is not.
            found = ask(None)
            folders = meta.fetch(client, folder, work, before=before, ask=False, stop=stop)
            if not isinstance(found, Raw):
                return found
        return _with_meta(found, folders)

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
        del client  # All was fetched before.
        target = work / f"{section.replace('/', '-')}.pack"
        old = Pack(seen.pack) if seen is not None else None
        facts = Facts()
        known: dict[str, list[str]] = msgspec.json.decode(raw.kept.get(SEEN, "{}"))
        warnings = meta.read(raw.kept, work, old=old, facts=facts, seen=known)
        found = contents.read(forms.blocks(raw), section=section, facts=facts, stop=stop)

        def checked(name: str, body: bytes) -> list[Record | Invalid]:
            return self.records(body, section=section, name=name)

        with PackWriter(target, old=old, records=checked) as writer:
            for number, (name, body, count) in enumerate(found.bodies()):
                if number % contents.STOP_EVERY == 0:
                    stop()
                writer.add(name, body, count)
            sha256 = writer.close({meta.STORED: known})
        return Read(
            pack=target,
            pack_sha256=sha256,
            base_url=raw.address.rpartition("/")[0] + "/",
            listed=found.count + len(found.invalid),
            names=len(found.packages),
            newest=found.newest,
            invalid=len(found.invalid),
            invalid_names=found.invalid[:1000],
            warnings=[*warnings, *_warnings(facts, found.repeated)],
        )

    def spec(self, text: str) -> Spec:
        return spec.parse(text)

    def normalize(self, name: str) -> str:
        return name.strip()

    def name_of(self, filename: str) -> str | None:
        parts = layout.file_parts(filename)
        return parts[0] if parts else None

    def records(self, body: bytes, *, section: str, name: str) -> list[Record | Invalid]:
        return packages.records(body, section=section, name=name)

    def entries(self, body: bytes) -> dict[str, bytes]:
        return packages.entries(body)

    def rewrites(self, body: bytes) -> bool:
        del body  # What leads clients away is cut when an index is read.
        return False

    def build(self, entries: Iterable[tuple[str, bytes]], bodies: Iterable[bytes]) -> bytes:
        del bodies
        return packages.build(entries)

    def served(self, body: bytes) -> bytes:
        del body
        return b""

    def documents(
        self,
        section: str,
        shards: Callable[[], Iterator[tuple[str, bytes, str]]],
        folder: Path,
        extras: Mapping[str, Sequence[Path]],
    ) -> Iterator[Document]:
        del extras
        return documents.documents(section, shards, folder)


def _with_meta(raw: Raw, folder: Meta) -> Raw:
    """An index together with what goes with it."""
    raw.sha256 = hashlib.sha256(f"{raw.sha256}{folder.identity}".encode()).hexdigest()
    raw.warnings = folder.warnings
    raw.kept = {
        **{name: str(state) for name, state in folder.states.items()},
        SEEN: msgspec.json.encode(folder.seen).decode(),
    }
    return raw


def _warnings(facts: Facts, repeated: list[str]) -> list[str]:
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
