"""The standard R type as the rest of the product sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecosystems.base import (
    BadIndex,
    Document,
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
)
from ecosystems.cran import contents, documents, layout, packages, spec, versions
from ecosystems.cran.contents import Facts
from ecosystems.pack import Pack, PackWriter
from ecosystems.upstream import Client, NotFound, NotModified, UpstreamError, open_decoded
from ecosystems.upstream.decode import Encoding

FORMS: tuple[tuple[str, Encoding], ...] = (
    (f"{layout.INDEX}.gz", "gz"),
    (layout.INDEX, "identity"),
)
"""What to ask an upstream for, in this order. PACKAGES.rds is never asked for."""

INDEX_CAP = 256 << 20
META_CAP = 192 << 20
"""Decoded bytes; the main CRAN's index has 15 MB, its archive's table about 50 MB."""

_GZIP = b"\x1f\x8b"


class Cran(Whole):
    """Implements `ecosystems.base.Ecosystem`."""

    kind = "CRAN"
    family = "cran"
    prefix = layout.PREFIX

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
        for name, _ in FORMS:
            url = f"{base_url.rstrip('/')}/{section}/{name}"
            known = seen if seen is not None and seen.address == url else None
            path = work / f"{section.replace('/', '-')}-{name}"
            try:
                answer = client.fetch_index(
                    url,
                    path,
                    etag=known.etag if known else None,
                    last_modified=known.last_modified if known else None,
                    stop=stop,
                    progress=progress,
                    cap=INDEX_CAP,
                )
            except NotFound:
                path.unlink(missing_ok=True)
                continue
            except UpstreamError as error:
                path.unlink(missing_ok=True)
                # Stores of files and simple servers answer otherwise than 404 where nothing is.
                if seen is None and section != layout.SOURCE and error.permanent:
                    return None
                raise
            if isinstance(answer, NotModified):
                path.unlink(missing_ok=True)
                return Unchanged()
            return Raw(url, path, answer.sha256, answer.etag, answer.last_modified)
        return None

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
        facts, warnings = Facts(), []
        if section == layout.SOURCE:
            warnings = _read_meta(client, raw.address.rpartition("/")[0], facts, work, stop=stop)
        encoding: Encoding = "gz" if raw.address.endswith(".gz") else "identity"
        blocks = open_decoded(raw.path, encoding, cap=INDEX_CAP)
        found = contents.read(blocks, section=section, facts=facts, stop=stop)
        target = work / f"{section.replace('/', '-')}.pack"
        old = Pack(seen.pack) if seen is not None else None

        def checked(name: str, body: bytes) -> list[Record | Invalid]:
            return self.records(body, section=section, name=name)

        with PackWriter(target, old=old, records=checked) as writer:
            for number, (name, body, count) in enumerate(found.bodies()):
                if number % contents.STOP_EVERY == 0:
                    stop()
                writer.add(name, body, count)
            sha256 = writer.close()
        return Read(
            pack=target,
            pack_sha256=sha256,
            base_url=raw.address.rpartition("/")[0] + "/",
            listed=found.count + len(found.invalid),
            names=len(found.packages),
            newest=found.newest,
            invalid=len(found.invalid),
            invalid_names=found.invalid[:1000],
            warnings=[*warnings, *_warnings(facts)],
        )

    def root_extras(self, client: Client, base_url: str, work: Path, *, stop: Stop) -> list[Path]:
        del client, base_url, work, stop
        return []

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


def _read_meta(client: Client, base: str, facts: Facts, work: Path, *, stop: Stop) -> list[str]:
    """Fill `facts` from the upstream's Meta folder, where it has one that can be read.

    An upstream that does not answer now fails the run: without its archive all
    of the old versions would seem to be gone.
    """
    warnings: list[str] = []
    for name, take in (
        (layout.META_CURRENT, contents.add_current),
        (layout.META_ARCHIVE, contents.add_archive),
    ):
        path = work / name.replace("/", "-")
        try:
            client.fetch_index(f"{base}/{name}", path, stop=stop, cap=META_CAP)
            with path.open("rb") as file:
                encoding: Encoding = "gz" if file.read(2) == _GZIP else "identity"
            take(facts, b"".join(open_decoded(path, encoding, cap=META_CAP)))
        except NotFound:
            continue
        except BadIndex as error:
            warnings.append(f"{name} of the upstream is passed over: {error}")
        except UpstreamError as error:
            if not error.permanent:
                raise
            warnings.append(f"{name} of the upstream is passed over: {error}")
        finally:
            path.unlink(missing_ok=True)
    return warnings


def _warnings(facts: Facts) -> list[str]:
    warnings = []
    if facts.odd:
        warnings.append(
            f"{facts.odd:,} files of the archive are passed over: their names are no package's."
        )
    return warnings
